"""Draws scenes of two coloured things with five sentences each, laid out as Flickr8k is: images, caption file, splits.

`python -m bench.drawn_scenes --output FOLDER [--num-scenes 1000] [--seed 0]`
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from lib.progress import show_progress

WIDTH_PX, HEIGHT_PX = 320, 240
FINER = 4  # scenes are drawn so many times larger and shrunk, so that edges are smooth
# Words that Flickr8k's captions use often enough for the pretrained model to know them.
COLOURS = {
    "red": (205, 30, 35),
    "blue": (35, 70, 200),
    "green": (40, 150, 60),
    "yellow": (240, 215, 50),
    "white": (245, 245, 245),
    "black": (25, 25, 25),
}
WALLS = {"brown": (140, 100, 70), "pink": (235, 160, 190), "orange": (235, 140, 50), "purple": (120, 70, 150)}
_TENTHS, _RADII = np.arange(10) * np.pi / 5, np.array([1, 0.42] * 5)  # of a star's corners
CORNERS = {  # (x, y) for a thing of half height 1
    "box": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], np.float64),
    "star": np.stack((_RADII * np.sin(_TENTHS), -_RADII * np.cos(_TENTHS)), axis=1),
    "cross": np.reshape(
        [-3, -10, 3, -10, 3, -3, 10, -3, 10, 3, 3, 3, 3, 10, -3, 10, -3, 3, -10, 3, -10, -3, -3, -3], (-1, 2)
    )
    / 10,
}
THINGS = ("ball", *CORNERS)
SIZES = {"small": 28, "big": 48}  # half of a thing's height, in pixels
OPPOSITE = {"above": "below", "below": "above", "next to": "next to"}
SPLITS = {"train": 0.8, "dev": 0.1, "test": 0.1}  # fractions, under the names of Flickr8k's lists


class Thing(NamedTuple):
    """One of a scene's things, its middle in pixels."""

    colour: str
    name: str
    size: str
    x: int
    y: int

    def __str__(self) -> str:
        return f"{self.colour} {self.name}"


class Scene(NamedTuple):
    """Two things before a wall; `relation` says where the first is, seen from the second."""

    first: Thing
    second: Thing
    relation: str
    wall: str


def make_scene(rng: np.random.Generator) -> Scene:
    """A scene drawn by lot, whose things differ in colour."""
    relation = str(rng.choice(list(OPPOSITE)))
    offset = {"above": (0, -60), "below": (0, 60), "next to": (int(rng.choice([-80, 80])), 0)}[relation]
    middle = WIDTH_PX // 2 + int(rng.integers(-50, 51)) * (relation != "next to"), HEIGHT_PX // 2
    first, second = (
        Thing(
            str(colour),
            str(rng.choice(THINGS)),
            str(rng.choice(list(SIZES))),
            middle[0] + sign * offset[0] + int(rng.integers(-8, 9)),
            middle[1] + sign * offset[1] + int(rng.integers(-8, 9)),
        )
        for sign, colour in zip((1, -1), rng.choice(list(COLOURS), 2, replace=False), strict=True)
    )
    return Scene(first, second, relation, str(rng.choice(list(WALLS))))


def sentences(scene: Scene) -> list[str]:
    """Five sentences that say what a scene shows, in the words and the punctuation of Flickr8k."""
    first, second, relation, wall = scene
    return [
        f"A {first} is {relation} a {second} .",
        f"A {first} and a {second} in front of a {wall} wall .",
        f"There is a {first.size} {first} {relation} a {second.size} {second} .",
        f"The {second} is {OPPOSITE[relation]} the {first} .",
        f"A {first.size} {first} {relation} a {second} on a {wall} background .",
    ]


def draw_scene(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """The scene as pixels (HEIGHT_PX, WIDTH_PX, 3), RGB, uneven as a photograph is."""
    canvas = np.empty((HEIGHT_PX * FINER, WIDTH_PX * FINER, 3), np.uint8)
    canvas[:] = WALLS[scene.wall]
    for thing in (scene.second, scene.first):
        _draw(canvas, thing)
    pixels = cv2.resize(canvas, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    left, right = rng.uniform(0.85, 1.0, 2)
    light = np.linspace(left, right, WIDTH_PX)[None, :, None]
    uneven: np.ndarray = (pixels * light + rng.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8)
    return uneven


def _draw(canvas: np.ndarray, thing: Thing) -> None:
    colour, half = COLOURS[thing.colour], SIZES[thing.size] * FINER
    middle = np.array((thing.x, thing.y)) * FINER
    if thing.name == "ball":
        cv2.circle(canvas, tuple(map(int, middle)), half, colour, cv2.FILLED)
        return
    cv2.fillPoly(canvas, [np.rint(middle + half * CORNERS[thing.name]).astype(np.int32)], colour)


def write_scenes(folder: Path, num_scenes: int, seed: int = 0) -> None:
    """Write scenes as Flickr8k lies in its folder; the same seed gives the same files. What is there is replaced."""
    (folder / "Images").mkdir(parents=True, exist_ok=True)
    names = [f"scene_{number:04}.jpg" for number in range(num_scenes)]
    lines = []
    with show_progress("drawn_scenes", num_scenes) as line:
        for number, name in enumerate(names):
            rng = np.random.default_rng((seed, number))
            scene = make_scene(rng)
            pixels = cv2.cvtColor(draw_scene(scene, rng), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(folder / "Images" / name), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
            lines += [f"{name}#{index}\t{sentence}\n" for index, sentence in enumerate(sentences(scene))]
            line.update(number + 1)
    (folder / "Flickr8k.token.txt").write_text("".join(lines))
    bounds = np.rint(np.cumsum([0, *SPLITS.values()]) * num_scenes).astype(int)
    for split, begin, end in zip(SPLITS, bounds[:-1], bounds[1:], strict=True):
        (folder / f"Flickr_8k.{split}Images.txt").write_text("".join(f"{name}\n" for name in names[begin:end]))


def main() -> None:
    """Read the arguments and write the scenes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path, help="folder to write to")
    parser.add_argument("--num-scenes", type=int, default=1000, help="scenes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="other numbers give other scenes (default: %(default)s)")
    arguments = parser.parse_args()
    write_scenes(arguments.output, arguments.num_scenes, arguments.seed)
    print(f"wrote {arguments.num_scenes} scenes to {arguments.output}")


if __name__ == "__main__":
    main()
