"""Features of images by a frozen encoder, and under which name they are found again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lib.images.frozen_features import encoder_version, encoder_version_of, extract
from model.captioner import Captioner
from model.checkpoint import PRETRAINED, load_config, save_checkpoint
from model.config import CaptionerConfig
from model.encoders import Encoder
from tests.unit.tiny_captioner import VOCABULARY, tiny_config


def test_features_of_an_image_do_not_depend_on_the_shapes_of_others() -> None:
    torch.manual_seed(0)
    encoder = Encoder("inknet", 3, 32, is_frozen=True).eval()
    rng = np.random.default_rng(0)
    shapes = [(32, 64), (64, 32), (32, 64), (40, 64), (96, 96)]
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    together = extract(images, encoder, 3)
    assert [one.shape for one in together] == [(32, 2, 4), (32, 4, 2), (32, 2, 4), (32, 3, 4), (32, 6, 6)]
    for image, features in zip(images, together, strict=True):
        np.testing.assert_allclose(features, extract([image], encoder, 3)[0], atol=2e-3)


def checkpoint_of(directory: Path, config: CaptionerConfig, **details: str) -> Path:
    details = {"notation": "words", "max_tokens": 6} | details
    save_checkpoint(directory, Captioner(config, len(VOCABULARY)), VOCABULARY, details=details, provenance={})
    return directory


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_checkpoint_keeps_the_name_of_its_encoder_when_the_weights_file_is_gone_or_another(
    tmp_path: Path, is_replaced: bool
) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(b"first")
    config = tiny_config(is_encoder_frozen=True, encoder_weights=str(weights))
    name = encoder_version(config)
    assert name is not None
    checkpoint = checkpoint_of(tmp_path / "model", config, encoder_version=name)
    older = checkpoint_of(tmp_path / "older", config)
    if is_replaced:
        weights.write_bytes(b"second")
    else:
        weights.unlink()
    assert encoder_version(config) != name
    assert encoder_version_of(checkpoint) == name
    assert encoder_version_of(older) is None  # which file it was is not known


def test_checkpoints_from_before_they_named_their_encoder_have_the_name_of_a_package(tmp_path: Path) -> None:
    photos = PRETRAINED / "photos"
    assert encoder_version_of(photos) == encoder_version(load_config(photos)) == "efficientnet_lite2-imagenet"
    assert encoder_version_of(PRETRAINED / "molecules") is None
    assert encoder_version_of(Path(__file__).parents[1] / "model" / "checkpoint_0_2") is None
    learning = tiny_config(encoder="efficientnet_lite2", encoder_weights="imagenet", num_channels=3)
    assert encoder_version_of(checkpoint_of(tmp_path / "learning", learning)) is None
