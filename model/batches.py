"""Pictures and token ids to padded batches, sorted so that little padding is computed; knows nothing of the network.

B batch, C channels, H W picture height and width, T tokens, M marks of a picture, L labels of a mark.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.vocabulary import END, PAD, START

PAPER = 255


SIDE_STEP_PX = 16  # sides of a batch are multiples of this


class PictureShapeError(ValueError):
    """Raised when a picture has channels that the network does not take; the message names both."""


@dataclass(frozen=True)
class Marks:
    """What a drawer knows of its pictures: things that lie at a place, and which of them a token names."""

    places: Tensor  # (B, M, 2) float32, x and y in pixels of the batch's pictures
    labels: Tensor  # (B, M, L) float32, 1 where a label holds; all 0 for padding
    marks_of_tokens: Tensor  # (B, T + 1) int64, index of the mark that a token names, -1 for a token that names none
    is_marked: Tensor  # (B,) bool, false for a picture of which no drawer is known

    def to(self, device: torch.device) -> "Marks":
        """Return these marks on the device."""
        return Marks(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """Pictures with their captions, ready for a device."""

    images: Tensor  # (B, C, H, W) uint8, 0 ink and 255 paper, or float with ink = 1
    tokens: Tensor  # (B, T + 1) int64, <start> caption <end> <pad>...
    marks: Marks | None = None

    @property
    def inputs(self) -> Tensor:
        return self.tokens[:, :-1]  # (B, T)

    @property
    def targets(self) -> Tensor:
        return self.tokens[:, 1:]  # (B, T)

    def to(self, device: torch.device) -> "Batch":
        """Return this batch on the device; bytes stay bytes, a quarter of what would have to move."""
        marks = self.marks.to(device) if self.marks else None
        return replace(self, images=self.images.to(device), tokens=self.tokens.to(device), marks=marks)


def as_ink(images: Tensor) -> Tensor:
    """Return float images with ink = 1 and paper = 0; bytes have ink = 0 and paper = 255; any shape."""
    return 1 - images.float() / PAPER if images.dtype == torch.uint8 else images


def collate(samples: Sequence[dict[str, Any]], num_channels: int) -> Batch:
    """Return the batch of these samples: {"pixels": uint8 (H, W) or (H, W, 3), "token_ids": list of int}.

    Samples may have "marks" (see pad_marks); the batch has none if no sample has. Raises PictureShapeError.
    """
    images = stack_pictures([sample["pixels"] for sample in samples], num_channels)
    tokens = pad_captions([sample["token_ids"] for sample in samples])
    marks = [sample.get("marks") for sample in samples]
    return Batch(images, tokens, pad_marks(marks, tokens.shape[1]) if any(marks) else None)


def stack_pictures(pictures: Sequence[np.ndarray], num_channels: int) -> Tensor:
    """Return pictures (H, W) or (H, W, 3) as one tensor (B, C, H, W), still uint8 with ink = 0.

    Each lies at the upper left of a sheet of paper just large enough for all. Raises PictureShapeError.
    """
    height = round_up(max(pixels.shape[0] for pixels in pictures))
    width = round_up(max(pixels.shape[1] for pixels in pictures))
    sheets = np.full((len(pictures), height, width, num_channels), PAPER, dtype=np.uint8)
    for place, pixels in enumerate(pictures):
        if pixels.ndim == 2:
            pixels = pixels[..., None]  # (H, W, 1)
        if pixels.shape[2] not in (1, num_channels):
            raise PictureShapeError(
                f"picture {place} of the batch has {pixels.shape[2]} channels, the captioner takes {num_channels}"
            )
        sheets[place, : pixels.shape[0], : pixels.shape[1]] = pixels
    return torch.from_numpy(sheets).permute(0, 3, 1, 2)  # (B, C, H, W), channels last in memory


def round_up(side_px: int) -> int:
    """Return the length of side that a batch gives to pictures of this one."""
    return -(-side_px // SIDE_STEP_PX) * SIDE_STEP_PX


def pad_captions(captions: Sequence[Sequence[int]]) -> Tensor:
    """Return captions as <start> ... <end>, padded to the longest: int64 (B, T + 1)."""
    tokens = np.full((len(captions), max(map(len, captions)) + 2), PAD, dtype=np.int64)
    for place, caption in enumerate(captions):
        tokens[place, : len(caption) + 2] = [START, *caption, END]
    return torch.from_numpy(tokens)  # (B, T + 1)


def pad_marks(marks: Sequence[dict[str, np.ndarray] | None], num_tokens: int) -> Marks:
    """Return the marks of several pictures, at least one of which has any, padded to the most.

    Each is {"places": (M, 2) pixels, "labels": (M, L) 0 or 1, "marks_of_tokens": (T,), -1 for none}, the last without
    <start> and <end>; num_tokens counts those. None stands for a picture of which no drawer is known.
    """
    known = {row: one for row, one in enumerate(marks) if one is not None}
    shape = (len(marks), max(len(one["places"]) for one in known.values()))
    num_labels = next(iter(known.values()))["labels"].shape[1]
    places = np.zeros((*shape, 2), np.float32)
    labels = np.zeros((*shape, num_labels), np.float32)
    marks_of_tokens = np.full((len(marks), num_tokens), -1, np.int64)
    is_marked = np.zeros(len(marks), bool)
    for row, one in known.items():
        is_marked[row] = True
        places[row, : len(one["places"])] = one["places"]
        labels[row, : len(one["labels"])] = one["labels"]
        marks_of_tokens[row, 1 : 1 + len(one["marks_of_tokens"])] = one["marks_of_tokens"]
    return Marks(*map(torch.from_numpy, (places, labels, marks_of_tokens, is_marked)))


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
