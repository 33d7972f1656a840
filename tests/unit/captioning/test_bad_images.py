"""Images that are no molecule, through cleaning, the pretrained model and its notation: never a crash.

`pytest tests/unit/captioning/test_bad_images.py`
"""

import cv2
import numpy as np
import pytest
import torch

from lib.captioning.image_captioning import CleanedImage, ImageCaptioner, PredictedCaption
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED
from tests.known_molecules import ASPIRIN, CAFFEINE

torch.set_num_threads(1)  # threads would wait for each other longer than they compute


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused", "prediction.num_beams=2"])


@pytest.fixture(scope="module")
def captioner(settings: Settings) -> ImageCaptioner:
    return ImageCaptioner(PRETRAINED / "molecules", settings.prediction)


def read(pixels: np.ndarray, captioner: ImageCaptioner, settings: Settings) -> PredictedCaption:
    return captioner.caption([CleanedImage(clean_image(encode_png(pixels), settings.cleaning).pixels)])[0]


def photograph() -> np.ndarray:
    """Soft light in three colours, with clouds and grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:150, :200] / 50
    light = np.stack([128 + 90 * np.sin(x * along + y) for along in (0.7, 1.1, 1.6)], axis=2)
    clouds = cv2.GaussianBlur(rng.normal(0, 300, light.shape), (0, 0), 9)
    return (light + clouds + rng.normal(0, 8, light.shape)).clip(0, 255).astype(np.uint8)


def text() -> np.ndarray:
    page = np.full((120, 500), 255, np.uint8)
    for line, words in enumerate(("Table 3. Results of the", "experiment (see page 12)")):
        cv2.putText(page, words, (20, 50 + 45 * line), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 1)
    return page


def bars() -> np.ndarray:
    page = np.full((300, 400), 255, np.uint8)
    for index, height in enumerate((50, 120, 200, 90, 160)):
        cv2.rectangle(page, (60 + 60 * index, 260 - height), (100 + 60 * index, 260), 0, 1)
    return page


def test_an_image_of_text_gets_a_caption_of_little_confidence(captioner, settings):
    assert read(text(), captioner, settings).confidence < 0.5


@pytest.mark.parametrize("image", [photograph, bars])
def test_images_with_nothing_like_a_drawing_are_rejected(image, captioner, settings):
    with pytest.raises(CorruptImageError, match=r"blank_image|no_drawing"):
        read(image(), captioner, settings)


def test_two_molecules_get_little_confidence_and_one_of_them_alone_gets_much(captioner, settings):
    first, second = (
        draw_molecule(inchi, settings.drawing, np.random.default_rng(1)).pixels for inchi in (ASPIRIN, CAFFEINE)
    )
    height = max(len(first), len(second))
    both = np.hstack(
        [np.pad(pixels, ((0, height - len(pixels)), (0, 0)), constant_values=255) for pixels in (first, second)]
    )
    of_both, of_one = (read(pixels, captioner, settings).confidence for pixels in (both, first))
    assert of_both < 0.5 < of_one


@pytest.mark.parametrize("shade", [0, 255])
def test_an_empty_image_is_rejected_before_any_model_sees_it(shade, captioner, settings):
    with pytest.raises(CorruptImageError, match="blank_image"):
        read(np.full((200, 300), shade, np.uint8), captioner, settings)
