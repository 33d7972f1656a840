"""Pictures and token ids to padded batches, sorted so that little padding is computed; knows nothing of the network.

B batch, C channels, H W picture height and width, T tokens.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.vocabulary import END, PAD, START

PAPER = 255


class PictureShapeError(ValueError):
    """Raised when a picture does not fit the canvas or the channels; the message names both."""


@dataclass(frozen=True)
class Batch:
    """Pictures with their captions, ready for a device."""

    images: Tensor  # (B, C, H, W) uint8, 0 ink and 255 paper
    tokens: Tensor  # (B, T + 1) int64, <start> caption <end> <pad>...
    lengths: Tensor  # (B,) int64, tokens of each caption with <start> and <end>

    @property
    def inputs(self) -> Tensor:
        return self.tokens[:, :-1]  # (B, T)

    @property
    def targets(self) -> Tensor:
        return self.tokens[:, 1:]  # (B, T)

    def to(self, device: torch.device) -> "Batch":
        """Return this batch on the device; still uint8, a quarter of the bytes to move."""
        return replace(self, images=self.images.to(device), tokens=self.tokens.to(device))


def as_ink(images: Tensor) -> Tensor:
    """Return float images with ink = 1 and paper = 0 from stored ones with ink = 0 and paper = 255; any shape."""
    return 1 - images.float() / PAPER


def collate(samples: Sequence[dict[str, Any]], num_channels: int, canvas_height_px: int, canvas_width_px: int) -> Batch:
    """Return the batch of these samples: {"pixels": uint8 (H, W) or (H, W, 3), "token_ids": list of int}.

    Each picture lies at the upper left of a canvas of paper. Raises PictureShapeError if one is larger than that.
    """
    pictures = [sample["pixels"] for sample in samples]
    return Batch(
        images=stack_pictures(pictures, num_channels, canvas_height_px, canvas_width_px),
        tokens=pad_captions([sample["token_ids"] for sample in samples]),
        lengths=torch.tensor([len(sample["token_ids"]) + 2 for sample in samples]),
    )


def stack_pictures(
    pictures: Sequence[np.ndarray], num_channels: int, canvas_height_px: int, canvas_width_px: int
) -> Tensor:
    """Return pictures (H, W) or (H, W, 3) as one tensor (B, C, H, W) of the canvas's size, still uint8 with ink = 0."""
    canvas = np.full((len(pictures), canvas_height_px, canvas_width_px, num_channels), PAPER, dtype=np.uint8)
    for place, pixels in enumerate(pictures):
        if pixels.ndim == 2:
            pixels = pixels[..., None]  # (H, W, 1)
        height, width, channels = pixels.shape
        if height > canvas_height_px or width > canvas_width_px or channels not in (1, num_channels):
            raise PictureShapeError(
                f"picture {place} of the batch is {height} x {width} x {channels},"
                f" the canvas {canvas_height_px} x {canvas_width_px} x {num_channels}"
            )
        canvas[place, :height, :width] = pixels
    return torch.from_numpy(canvas).permute(0, 3, 1, 2)  # (B, C, H, W), channels last in memory


def pad_captions(captions: Sequence[Sequence[int]]) -> Tensor:
    """Return captions as <start> ... <end>, padded to the longest: int64 (B, T + 1)."""
    tokens = np.full((len(captions), max(map(len, captions)) + 2), PAD, dtype=np.int64)
    for place, caption in enumerate(captions):
        tokens[place, : len(caption) + 2] = [START, *caption, END]
    return torch.from_numpy(tokens)  # (B, T + 1)


def iterate_in_length_buckets(
    samples: Iterable[dict[str, Any]], batch_size: int, num_batches_in_buffer: int, seed: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the samples in lists of batch_size with captions of similar length, each sample once.

    Reads ahead num_batches_in_buffer batches, sorts those by caption length and yields their batches in random order,
    the same for the same seed. The last list may be shorter.
    """
    shuffler = random.Random(seed)
    buffer: list[dict[str, Any]] = []
    for sample in samples:
        buffer.append(sample)
        if len(buffer) == batch_size * num_batches_in_buffer:
            yield from _cut_by_length(buffer, batch_size, shuffler)
            buffer = []
    yield from _cut_by_length(buffer, batch_size, shuffler)


def _cut_by_length(
    buffer: list[dict[str, Any]], batch_size: int, shuffler: random.Random
) -> Iterator[list[dict[str, Any]]]:
    # Shuffled first, so that captions of the same length do not meet the same neighbours in every epoch.
    shuffler.shuffle(buffer)
    buffer.sort(key=lambda sample: len(sample["token_ids"]))
    batches = [buffer[start : start + batch_size] for start in range(0, len(buffer), batch_size)]
    shuffler.shuffle(batches)
    yield from batches
