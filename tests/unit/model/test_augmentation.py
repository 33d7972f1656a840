"""Images of a batch changed at random: `pytest tests/unit/model/test_augmentation.py`."""

import pytest
import torch

from model.augmentation import augmented, blanked, mirrored
from model.batches import Batch
from model.config import TrainingConfig
from tests.unit.tiny_captioner import QUICK


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_a_fraction_of_the_images_is_turned_left_to_right():
    images = torch.arange(200 * 3 * 2 * 5, dtype=torch.float32).view(200, 3, 2, 5)
    changed = mirrored(images, 0.25)
    is_mirrored = (changed == images.flip(3)).flatten(1).all(dim=1)
    assert ((changed == images).flatten(1).all(dim=1) ^ is_mirrored).all()
    assert 30 < is_mirrored.sum() < 70
    assert torch.equal(mirrored(images, 0.0), images)


def test_all_features_of_a_blanked_position_are_0():
    features = torch.ones(50, 8, 7, 7)
    changed = blanked(features, 0.2)
    is_blank = (changed == 0).all(dim=1)
    assert torch.equal(is_blank, (changed == 0).any(dim=1))
    assert 0.15 < is_blank.float().mean() < 0.25
    assert torch.equal(blanked(features, 0.0), features)


def test_pixels_are_mirrored_and_never_blanked():
    training = TrainingConfig(**(QUICK | {"mirrored_fraction": 0.5, "blanked_fraction": 0.5}))
    pixels = torch.arange(40 * 16 * 16, dtype=torch.int64).remainder(251).to(torch.uint8).view(40, 1, 16, 16)
    tokens = torch.ones(40, 3, dtype=torch.int64)
    (batch,) = augmented([Batch(pixels, tokens)], training)
    assert {tuple(sorted(image.flatten().tolist())) for image in batch.images} == {
        tuple(sorted(image.flatten().tolist())) for image in pixels
    }
    assert 5 < (batch.images != pixels).flatten(1).any(dim=1).sum() < 35
    assert torch.equal(batch.tokens, tokens)
    (features,) = augmented([Batch(torch.ones(40, 4, 3, 3), tokens)], training)
    assert 0.3 < (features.images == 0).float().mean() < 0.7
