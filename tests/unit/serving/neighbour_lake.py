"""A small real lake of coloured images: features of the photographs' encoder and captions, written without Spark."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from lib.captions.checkpoint_fit import learned_cleaning
from lib.images.cleaning import clean_image
from lib.images.frozen_features import encoder_version, extract
from lib.images.packed_features import pack_features
from lib.lake.models import pretrained_model
from model.checkpoint import load_config, load_provenance
from model.encoders import frozen_encoder
from tests.unit.reviewing.reviewed_lake import write

CHECKPOINT = pretrained_model("photos", "the test").directory
CONFIG = load_config(CHECKPOINT)
ENCODER_VERSION = encoder_version(CONFIG)
SQUARES = (0, 0, 255), 16
STRIPES = (0, 200, 0), 48
DISC = (200, 60, 0), 90
CAPTIONS = {"squares": ["squares in red", "red squares", "some red squares"], "stripes": ["green stripes"]}


def photograph(colour: tuple[int, int, int], step_px: int, seed: int = 0) -> bytes:
    """A pattern of that colour and size, with a little noise, as a PNG file."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:200, :260] // step_px
    pixels = np.where(((rows + columns) % 2)[..., None], colour, 230) + rng.integers(0, 20, (200, 260, 3))
    return bytes(cv2.imencode(".png", pixels.clip(0, 255).astype(np.uint8))[1])


@cache
def features_of(image: bytes) -> bytes:
    """What the encoder sees in an image, as the table holds it."""
    cleaning = learned_cleaning(load_provenance(CHECKPOINT))
    assert cleaning is not None
    encoder = frozen_encoder(CONFIG)
    return pack_features(extract([clean_image(image, cleaning).pixels], encoder, CONFIG.num_channels)[0])


def features_row(image_id: str, image: bytes, version: str | None = ENCODER_VERSION) -> dict[str, object]:
    return {"image_id": image_id, "encoder_version": version, "features": features_of(image)}


def caption_rows(image_id: str, captions: list[str], split: str = "train") -> list[dict[str, object]]:
    return [
        {"image_id": image_id, "caption_index": index, "caption": caption, "split": split}
        for index, caption in enumerate(captions)
    ]


def fill(root: Path) -> None:
    """Two train images with CAPTIONS, and others that do not count: held out, of another encoder, without a caption."""
    images = {"squares": SQUARES, "stripes": STRIPES, "held-out": DISC, "uncaptioned": DISC}
    rows = [features_row(image_id, photograph(*pattern)) for image_id, pattern in images.items()]
    write(root, "image_features", [*rows, features_row("other", photograph(*DISC), "another-encoder")])
    captions = [row for image_id, of_image in CAPTIONS.items() for row in caption_rows(image_id, of_image)]
    captions += caption_rows("held-out", ["a disc"], "validation") + caption_rows("other", ["a disc"])
    write(root, "captions", [*captions, {"image_id": "uncaptioned", "caption_index": 0, "split": "train"}])
