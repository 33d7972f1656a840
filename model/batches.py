"""Images and token ids to padded batches, sorted so that little padding is computed; knows nothing of the network.

B batch, C channels, H W image height and width, F h w features, height and width of an encoder's grid, T tokens,
M marks of an image, L labels of a mark, R rows of an epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from model.vocabulary import END, PAD, START

PAPER = 255
SIDE_STEP_PX = 16  # sides of a batch are multiples of this


class ImageShapeError(ValueError):
    """Raised when the images of a batch have shapes that the network does not take; the message names them."""


@dataclass(frozen=True)
class Marks:
    """Labelled points of images whose drawer is known (atoms, bonds), and which of them each token names."""

    positions_xy: Tensor  # (B, M, 2) float32, x and y in pixels of the batch's images
    labels: Tensor  # (B, M, L) float32, 1 where a label holds; all 0 for padding
    marks_of_tokens: Tensor  # (B, T + 1) int64, index of the mark that a token names, -1 for a token that names none
    is_marked: Tensor  # (B,) bool, false for an image without marks

    def to(self, device: torch.device) -> "Marks":
        """Return these marks on the device."""
        return Marks(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """Images with their captions, ready for a device."""

    # (B, C, H, W) uint8, 0 = ink, 255 = paper; or float, 1 = ink; or an encoder's features (B, F, h, w)
    images: Tensor
    tokens: Tensor  # (B, T + 1) int64, <start> caption <end> <pad>...
    marks: Marks | None = None
    image_indices: Tensor | None = None  # (B,) int64, the image of each caption; None = one for one
    advantages: Tensor | None = None  # (B,) float32, factor of each caption's loss; None = 1
    caption_weights: Tensor | None = None  # (B,) float32, how often each caption counts in the mean loss; None = once
    weight: float = 1.0  # factor of its mean loss in a step that several workers share; see weight_of

    @property
    def inputs(self) -> Tensor:
        return self.tokens[:, :-1]  # (B, T)

    @property
    def targets(self) -> Tensor:
        return self.tokens[:, 1:]  # (B, T)

    def to(self, device: torch.device) -> "Batch":
        """Return this batch on the device; images stay uint8, a quarter of the bytes of fp32."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: part.to(device) for name, part in parts.items() if isinstance(part, Tensor | Marks)
        }
        return replace(self, **moved)


def as_ink(images: Tensor) -> Tensor:
    """Return images of any shape as fp32 with ink = 1 and paper = 0; uint8 images have ink = 0 and paper = 255.

    Images that are float already, such as an encoder's features, keep their values.
    """
    return 1 - images.float() / PAPER if images.dtype == torch.uint8 else images.float()


def collate(samples: Sequence[dict[str, Any]], num_channels: int) -> Batch:
    """Return the batch of these samples: {"pixels": uint8 (H, W) or (H, W, 3), "token_ids": list of int}.

    Instead of "pixels" all may have "features", float (F, h, w), of one shape. Samples may have "other_token_ids",
    further captions of the same image, "caption_weight", how often "token_ids" counts in the loss (once where that is
    not said), or "marks" (see pad_marks); the batch has none if no sample has. Raises ImageShapeError.
    """
    if "features" in samples[0]:
        shapes = {sample["features"].shape for sample in samples}
        if len(shapes) > 1:
            raise ImageShapeError(f"features of one batch have the shapes {sorted(shapes)}, expected one")
        images = torch.from_numpy(np.stack([sample["features"] for sample in samples]))  # (B, F, h, w)
    else:
        images = stack_images([sample["pixels"] for sample in samples], num_channels)
    captions = [[sample["token_ids"], *sample.get("other_token_ids", ())] for sample in samples]
    tokens = pad_captions([caption for of_image in captions for caption in of_image])
    weights = _caption_weights(samples)
    if len(tokens) > len(samples):
        indices = [index for index, of_image in enumerate(captions) for _ in of_image]
        return Batch(images, tokens, image_indices=torch.tensor(indices), caption_weights=weights)
    marks = [sample.get("marks") for sample in samples]
    padded = pad_marks(marks, tokens.shape[1]) if any(marks) else None
    return Batch(images, tokens, padded, caption_weights=weights)


def _caption_weights(samples: Sequence[dict[str, Any]]) -> Tensor | None:
    """Return the weight of each caption of the samples (B,) in the loss; None if no sample has one."""
    if not any("caption_weight" in sample for sample in samples):
        return None
    weights = [
        (sample.get("caption_weight", 1.0), *(1.0 for _ in sample.get("other_token_ids", ()))) for sample in samples
    ]
    return torch.tensor([weight for of_image in weights for weight in of_image])


def stack_images(images: Sequence[np.ndarray], num_channels: int) -> Tensor:
    """Return images (H, W) or (H, W, 3) as one tensor (B, C, H, W), still uint8 with ink = 0.

    Each lies at the upper left of white paper of the size of the largest, rounded up. Raises ImageShapeError.
    """
    height = round_up(max(pixels.shape[0] for pixels in images))
    width = round_up(max(pixels.shape[1] for pixels in images))
    sheets = np.full((len(images), height, width, num_channels), PAPER, dtype=np.uint8)
    for index, pixels in enumerate(images):
        if pixels.ndim == 2:
            pixels = pixels[..., None]  # (H, W, 1)
        if pixels.shape[2] not in (1, num_channels):
            raise ImageShapeError(
                f"image {index} of the batch has {pixels.shape[2]} channels, the captioner takes {num_channels}"
            )
        sheets[index, : pixels.shape[0], : pixels.shape[1]] = pixels
    return torch.from_numpy(sheets).permute(0, 3, 1, 2)  # (B, C, H, W), channels last in memory


def round_up(side_px: int) -> int:
    """Return the side in pixels, rounded up to a multiple of SIDE_STEP_PX."""
    return -(-side_px // SIDE_STEP_PX) * SIDE_STEP_PX


def pad_captions(captions: Sequence[Sequence[int]]) -> Tensor:
    """Return captions as <start> ... <end>, padded to the longest: int64 (B, T + 1)."""
    tokens = np.full((len(captions), max(map(len, captions)) + 2), PAD, dtype=np.int64)
    for index, caption in enumerate(captions):
        tokens[index, : len(caption) + 2] = [START, *caption, END]
    return torch.from_numpy(tokens)  # (B, T + 1)


def pad_marks(marks: Sequence[dict[str, np.ndarray] | None], num_tokens: int) -> Marks:
    """Return the marks of several images, at least one of which has any, padded to the most.

    Each is {"positions_xy": (M, 2) pixels, "labels": (M, L) 0 or 1, "marks_of_tokens": (T,), -1 for none}, the last
    without <start> and <end>; num_tokens counts those. None stands for an image without marks.
    """
    known = {row: one for row, one in enumerate(marks) if one is not None}
    shape = (len(marks), max(len(one["positions_xy"]) for one in known.values()))
    num_labels = next(iter(known.values()))["labels"].shape[1]
    positions_xy = np.zeros((*shape, 2), np.float32)
    labels = np.zeros((*shape, num_labels), np.float32)
    marks_of_tokens = np.full((len(marks), num_tokens), -1, np.int64)
    is_marked = np.zeros(len(marks), bool)
    for row, one in known.items():
        is_marked[row] = True
        positions_xy[row, : len(one["positions_xy"])] = one["positions_xy"]
        labels[row, : len(one["labels"])] = one["labels"]
        marks_of_tokens[row, 1 : 1 + len(one["marks_of_tokens"])] = one["marks_of_tokens"]
    return Marks(*map(torch.from_numpy, (positions_xy, labels, marks_of_tokens, is_marked)))


def plan_batches(
    num_tokens: np.ndarray, batch_size: int, num_batches_in_buffer: int, seed: Sequence[int]
) -> list[np.ndarray]:
    """Return the indices of all rows in batches of at most batch_size, of similar length, in random order.

    num_tokens (R,) holds the length of each row's caption; each batch is int64 (B,). The plan follows from the
    arguments alone, so all workers make the same one, however many they are. The rows of a batch lie within
    num_batches_in_buffer * batch_size rows.
    """
    shuffler = np.random.default_rng(seed)
    plan: list[np.ndarray] = []
    for chunk in _equal_parts(np.arange(len(num_tokens)), batch_size * num_batches_in_buffer):
        # Shuffled first, so that captions of the same length do not meet the same neighbours in every epoch.
        shuffled = shuffler.permutation(chunk)
        batches = _equal_parts(shuffled[np.argsort(num_tokens[shuffled], kind="stable")], batch_size)
        plan += [batches[index] for index in shuffler.permutation(len(batches))]
    return plan


def step_sizes(num_rows: int, batch_size: int, num_batches_in_buffer: int) -> list[int]:
    """Return the number of rows in each batch of plan_batches, in no order."""
    return [len(batch) for batch in plan_batches(np.zeros(num_rows, int), batch_size, num_batches_in_buffer, (0,))]


def weight_of(part: np.ndarray, batch: np.ndarray, token_weights: np.ndarray, num_workers: int) -> float:
    """Return the factor of a worker's mean loss; with it, the mean over workers is the mean over all tokens.

    token_weights (R,) holds for each row the number of its tokens, <end> included, each times its caption's weight.
    """
    return float(token_weights[part].sum() / token_weights[batch].sum() * num_workers)


def _equal_parts(indices: np.ndarray, most: int) -> list[np.ndarray]:
    """Return indices (R,) in the fewest parts of at most `most` rows each; their sizes differ by at most one."""
    return np.array_split(indices, -(-len(indices) // most)) if len(indices) else []
