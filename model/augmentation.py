"""Images of a batch changed at random, so that a network learns from more images than there are.

B images, C channels, H W height and width; an encoder's features are images of C features, one position a pixel.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from model.batches import Batch
from model.config import TrainingConfig


def augmented(batches: Iterable[Batch], training: TrainingConfig) -> Iterator[Batch]:
    """Yield each batch with its images (B, C, H, W) mirrored or its features blanked, at random as settings say."""
    for batch in batches:
        images = mirrored(batch.images, training.mirrored_fraction)
        if images.is_floating_point():
            images = blanked(images, training.blanked_fraction)
        yield replace(batch, images=images)


def mirrored(images: Tensor, fraction: float) -> Tensor:
    """Return images (B, C, H, W) of which this fraction is turned left to right, each with this probability."""
    is_mirrored = torch.rand(len(images)) < fraction  # (B,)
    return torch.where(is_mirrored[:, None, None, None], images.flip(3), images) if is_mirrored.any() else images


def blanked(features: Tensor, fraction: float) -> Tensor:
    """Return features (B, C, H, W) that are 0 at this fraction of the positions, each with this probability."""
    if not fraction:
        return features
    is_kept = torch.rand(len(features), 1, *features.shape[2:]) >= fraction  # (B, 1, H, W)
    return features * is_kept
