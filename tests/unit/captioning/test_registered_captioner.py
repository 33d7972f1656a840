"""A model of the registry without MLflow: `pytest tests/unit/captioning/test_registered_captioner.py`."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.captioning.registered_captioner import PREDICTION, write_model
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.settings import load_settings
from model.checkpoint import PRETRAINED
from tests.known_molecules import ASPIRIN

SETTINGS = load_settings("molecules", "local")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model's folder, and the module that is to load it."""
    folder = tmp_path_factory.mktemp("model")
    return folder, write_model(folder, PRETRAINED / "molecules", SETTINGS.prediction)


@pytest.mark.parametrize("registered", ["now", "before there were rooms"])
def test_a_registered_model_captions_images_and_says_nothing_of_what_is_none(
    folder: tuple[Path, str], registered: str
) -> None:
    folder_path, loader = folder
    if registered != "now":  # there were two settings more, and one less
        gone = {"length_penalty": 0.0, "is_traced": True}
        prediction = json.loads((folder_path / PREDICTION).read_text()) | gone
        del prediction["is_read_as_graph"]
        (folder_path / PREDICTION).write_text(json.dumps(prediction))
    module = import_module(loader if registered == "now" else "lib.registered_captioner")
    image = encode_png(draw_molecule(ASPIRIN, SETTINGS.drawing, np.random.default_rng(0)).pixels)
    captions = module._load_pyfunc(str(folder_path)).predict(pd.DataFrame({"image": [b"none", image]}))
    pixels = clean_image(image, SETTINGS.cleaning).pixels
    as_then = SETTINGS.prediction.model_copy(update={"is_read_as_graph": registered == "now"})
    (expected,) = ImageCaptioner(PRETRAINED / "molecules", as_then).caption([CleanedImage(pixels)])
    assert captions.iloc[0].drop("alternatives").isna().all()
    assert captions.iloc[0]["alternatives"] == []
    *told, alternatives = captions.iloc[1].tolist()
    assert told == [expected.caption, pytest.approx(expected.confidence), expected.is_valid]
    assert [one["caption"] for one in alternatives] == [caption for caption, _ in expected.alternatives]
