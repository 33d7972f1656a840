"""Drawn scenes: what they show is what their sentences say, in the layout of Flickr8k."""

from pathlib import Path

import cv2
import numpy as np

from bench.drawn_scenes import COLOURS, HEIGHT_PX, WIDTH_PX, draw_scene, make_scene, sentences, write_scenes


def test_things_lie_where_the_sentences_say_in_their_colours() -> None:
    relations = set()
    for seed in range(60):
        rng = np.random.default_rng(seed)
        scene = make_scene(rng)
        first, second = scene.first, scene.second
        pixels = draw_scene(scene, rng)
        for thing in (first, second):
            seen = pixels[thing.y - 2 : thing.y + 3, thing.x - 2 : thing.x + 3].reshape(-1, 3).mean(axis=0)
            nearest = min(COLOURS, key=lambda colour: np.abs(seen - COLOURS[colour]).sum())
            assert nearest == thing.colour, scene
        assert first.colour != second.colour
        if scene.relation == "next to":
            assert abs(first.x - second.x) > 100
        else:
            assert (first.y < second.y) == (scene.relation == "above")
        said = sentences(scene)
        assert len(set(said)) == 5
        assert all(str(first) in one and str(second) in one for one in said)
        assert said[0] == f"A {first} is {scene.relation} a {second} ."
        relations.add(scene.relation)
    assert relations == {"above", "below", "next to"}


def test_the_layout_is_flickr8ks_and_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "same"):
        write_scenes(tmp_path / name, 20)
    write_scenes(tmp_path / "other", 20, seed=1)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "same").rglob("*") if path.is_file()}
    assert files["scene_0000.jpg"] != (tmp_path / "other" / "Images" / "scene_0000.jpg").read_bytes()
    assert cv2.imread(str(tmp_path / "one" / "Images" / "scene_0003.jpg")).shape == (HEIGHT_PX, WIDTH_PX, 3)
    lines = files["Flickr8k.token.txt"].decode().splitlines()
    numbered = [line.partition("\t")[0] for line in lines[:6]]
    assert numbered == [*(f"scene_0000.jpg#{number}" for number in range(5)), "scene_0001.jpg#0"]
    lists = [files[f"Flickr_8k.{split}Images.txt"].decode().split() for split in ("train", "dev", "test")]
    assert [len(one) for one in lists] == [16, 2, 2]
    assert sorted(name for one in lists for name in one) == [f"scene_{number:04}.jpg" for number in range(20)]
