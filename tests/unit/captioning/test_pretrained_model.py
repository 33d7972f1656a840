"""The model that comes with the project: `pytest tests/unit/captioning/test_pretrained_model.py`."""

import numpy as np
import pytest

from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.molecules.smiles import inchi_of_smiles
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED

MOLECULES = PRETRAINED / "molecules"
SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "Clc1ccncc1"]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused"])


def test_it_is_no_larger_than_20_megabytes_and_has_a_card() -> None:
    assert sum(path.stat().st_size for path in MOLECULES.iterdir()) <= 20e6
    assert "What it cannot read" in (MOLECULES / "README.md").read_text()


def test_it_reads_worn_drawings_of_well_known_molecules(settings: Settings) -> None:
    inchis = [inchi_of_smiles(smiles) for smiles in SMILES]
    drawn = [draw_molecule(inchi, settings.drawing, np.random.default_rng(7)).pixels for inchi in inchis]
    images = [clean_image(encode_png(pixels), settings.cleaning).pixels for pixels in drawn]
    captions = ImageCaptioner(MOLECULES, settings.prediction).caption(list(map(CleanedImage, images)))
    assert [one.caption for one in captions] == inchis
    assert min(one.confidence for one in captions) > 0.8
