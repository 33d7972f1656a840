"""A model of the registry without MLflow: `pytest tests/unit/captioning/test_registered_captioner.py`."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.captioning.picture_captioning import PictureCaptioner
from lib.captioning.registered_captioner import PREDICTION, write_model
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.settings import load_settings
from model.checkpoint import PRETRAINED

ASPIRIN = "InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)"
SETTINGS = load_settings("molecules", "local")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A model's folder, and the module that is to load it."""
    folder = tmp_path_factory.mktemp("model")
    return folder, write_model(folder, PRETRAINED / "molecules", SETTINGS.prediction)


@pytest.mark.parametrize("registered", ["now", "before there were rooms"])
def test_a_registered_model_captions_pictures_and_says_nothing_of_what_is_none(
    folder: tuple[Path, str], registered: str
) -> None:
    place, loader = folder
    if registered != "now":  # there was a setting more
        prediction = json.loads((place / PREDICTION).read_text()) | {"length_penalty": 0.0}
        (place / PREDICTION).write_text(json.dumps(prediction))
    module = import_module(loader if registered == "now" else "lib.registered_captioner")
    picture = encode_png(draw_molecule(ASPIRIN, SETTINGS.drawing, np.random.default_rng(0)).pixels)
    captions = module._load_pyfunc(str(place)).predict(pd.DataFrame({"image": [b"none", picture]}))
    pixels = clean_image(picture, SETTINGS.cleaning).pixels
    (expected,) = PictureCaptioner(PRETRAINED / "molecules", SETTINGS.prediction).caption([pixels])
    assert captions.iloc[0].isna().all()
    assert captions.iloc[1].tolist() == [expected.caption, pytest.approx(expected.confidence), expected.is_valid]
