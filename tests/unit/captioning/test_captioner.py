"""Captions from Python: `pytest tests/unit/captioning/test_captioner.py`."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lib.captioning.caption_prediction import predict_batches
from lib.captioning.captioner import Captioner
from lib.errors import SettingsError
from lib.images.cleaning import clean_image, encode_png
from lib.lake.worker_counts import WorkerCounter
from lib.molecules.drawing import draw_molecule
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import free_style
from lib.molecules.smiles import inchi_of_smiles
from lib.settings import load_settings
from model.checkpoint import PRETRAINED
from model.errors import CheckpointError
from tests.known_molecules import ASPIRIN, CAFFEINE

torch.set_num_threads(1)  # threads would wait for each other longer than they compute

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("prediction.num_beams=2", "prediction.scales=[1.0]")


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.pretrained("molecules", QUICK)


def drawing(inchi: str) -> np.ndarray:
    return draw_molecule(inchi, load_settings("molecules", "local").drawing, np.random.default_rng(1)).pixels


def test_bytes_paths_and_arrays_are_captioned_in_the_order_given(captioner: Captioner, tmp_path: Path) -> None:
    grey = drawing(ASPIRIN)
    opaque = np.dstack([np.zeros((*grey.shape, 3), np.uint8), 255 - grey])  # black ink, and paper that is not there
    (tmp_path / "caffeine.png").write_bytes(encode_png(drawing(CAFFEINE)))
    captioned = captioner.caption(
        one
        for one in [
            encode_png(grey),
            tmp_path / "caffeine.png",
            grey,
            str(tmp_path / "caffeine.png"),
            np.dstack([grey] * 3),
            opaque,
        ]
    )
    assert [one.caption for one in captioned] == [ASPIRIN, CAFFEINE, ASPIRIN, CAFFEINE, ASPIRIN, ASPIRIN]
    assert all(one.is_valid and one.confidence > 0.5 and one.reason is None for one in captioned)
    assert all(one.caption not in dict(one.alternatives) for one in captioned)


def test_what_cannot_be_read_has_a_reason_and_leaves_the_others_alone(captioner: Captioner, tmp_path: Path) -> None:
    bad = [b"no image", "a\0.png", tmp_path / "nowhere.png", np.full((90, 90), 255, np.uint8), np.zeros((9, 9)), None]
    bad += [np.zeros((3, 9, 9), np.uint8)]  # the colours are in front, as torch has them
    *unread, read = captioner.caption([*bad, drawing(ASPIRIN)])
    assert read.caption == ASPIRIN
    assert all(one[:4] == (None, None, None, []) for one in unread)
    reasons = ["not_an_image: begins", "not_an_image: 'a\\x00.png'", "No such file", "blank_image"]
    reasons += ["array of float64", "NoneType is no", "array of uint8 (3, 9, 9): pixels must be uint8 of shape (H, W)"]
    assert [reason in one.reason for reason, one in zip(reasons, unread, strict=True)] == [True] * 7


def test_what_is_rejected_is_as_the_settings_say_and_not_as_it_was_in_training() -> None:
    (refused,) = Captioner.pretrained("molecules", (*QUICK, "cleaning.max_pixels=100")).caption([drawing(ASPIRIN)])
    assert (refused.caption, refused.reason.partition(":")[0]) == (None, "too_many_pixels")


@pytest.mark.parametrize("image", ["drawing.png", Path("drawing.png"), b"bytes", np.zeros((9, 9), np.uint8)])
def test_one_image_outside_a_list_is_refused_and_not_taken_for_many(captioner: Captioner, image: object) -> None:
    with pytest.raises(TypeError, match=r"write caption\(\[image\]\) for one"):
        captioner.caption(image)


def test_light_ink_on_clear_pixels_is_read_as_in_a_file(captioner: Captioner) -> None:
    ink = 255 - drawing(ASPIRIN)
    light = np.dstack([np.full_like(ink, 255)] * 3 + [ink])
    column = drawing(ASPIRIN)[..., np.newaxis]
    assert [one.caption for one in captioner.caption([light, column])] == [ASPIRIN, ASPIRIN]


def captioned_by_the_job(rows: pd.DataFrame) -> str:
    # Outside of a task the counter tells nobody.
    counter, prediction = WorkerCounter("127.0.0.1", 0, b""), load_settings("molecules", "local").prediction
    (predicted,) = predict_batches(iter([rows]), str(PRETRAINED / "molecules"), prediction, counter)
    (caption,) = predicted["caption"]
    return caption


@pytest.mark.parametrize(("smiles", "seed"), [("CSc1ccc(CCCS(=O)(=O)N)cc1", 0), ("Clc1ccc(CCOCCSC)cc1Br", 1)])
def test_a_drawing_that_stands_upright_is_read_so_by_the_captioner_and_by_the_job(smiles: str, seed: int) -> None:
    asked, inchi = load_settings("molecules", "local"), inchi_of_smiles(smiles)
    style = free_style((30.0, 30.0), np.random.default_rng(seed))._replace(
        layout="rdkit", turn_deg=90.0, is_mirrored=False, stroke_px=2.0, font="DejaVuSans.ttf", beside=""
    )
    style = style._replace(letter_height=0.34, letter_width=1.0, numbered_fraction=0.0, writes_carbons=False)
    pixels = draw_freely(inchi, style._replace(abbreviated_fraction=0.0), np.random.default_rng(0)).pixels
    clean = clean_image(encode_png(pixels), asked.cleaning)
    assert clean.rotation_deg == 90
    rows = pd.DataFrame(
        {
            "image_id": ["tall"],
            "image": [encode_png(clean.pixels)],
            "larger_image": [clean.larger if clean.larger is None else encode_png(clean.larger)],
            "rotation_deg": [clean.rotation_deg],
            "features": [None],
            "cleaning_version": ["v"],
        }
    )
    assert captioned_by_the_job(rows) == inchi
    assert Captioner.pretrained("molecules").caption([pixels])[0].caption == inchi


def test_the_job_and_the_captioner_read_the_larger_image_that_cleaning_keeps() -> None:
    asked = load_settings("molecules", "local")
    clean = clean_image(encode_png(drawing(CAFFEINE)), asked.cleaning)
    assert clean.larger is not None
    assert clean.larger.shape > clean.pixels.shape
    (row,) = [
        {
            "image_id": "a",
            "image": encode_png(np.full_like(clean.pixels, 255)),
            "larger_image": encode_png(clean.larger),
            "rotation_deg": 0,
            "features": None,
            "cleaning_version": "v",
        }
    ]
    assert captioned_by_the_job(pd.DataFrame([row])) == CAFFEINE
    assert captioned_by_the_job(pd.DataFrame([row | {"larger_image": None}])) != CAFFEINE


def test_no_image_gives_no_caption(captioner: Captioner) -> None:
    assert captioner.caption([]) == []


def test_ones_own_checkpoint_is_named_by_its_directory() -> None:
    captioner = Captioner(PRETRAINED / "molecules", overrides=QUICK)
    assert captioner.caption([drawing(ASPIRIN)])[0].caption == ASPIRIN


@pytest.mark.parametrize("dataset", ["maps", "graphs"])
def test_a_dataset_without_a_model_is_refused(dataset: str) -> None:
    with pytest.raises(SettingsError, match=f"no model for dataset {dataset} comes with the project"):
        Captioner.pretrained(dataset)


def test_a_name_that_is_no_directory_is_no_checkpoint() -> None:
    with pytest.raises(CheckpointError):
        Captioner("")


def test_the_snippet_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = (ROOT / "README.md").read_text()
    (snippet,) = re.findall(r"^```python\n(from lib.*?)^```", readme, re.MULTILINE | re.DOTALL)
    (tmp_path / "drawing.png").write_bytes(encode_png(drawing(ASPIRIN)))
    (tmp_path / "scan.tif").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    exec(snippet, {})
    read, unread = capsys.readouterr().out.splitlines()
    assert read.startswith(f"{ASPIRIN} 0.9")
    assert unread.startswith("None None None [] not_an_image")
