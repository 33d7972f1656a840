"""Auxiliary losses from marks: the labels of each grid position, and the target of attention.

B batch, T tokens, P image positions, h w grid height and width, M marks of an image, L labels, N attention heads.
"""

import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from model.batches import Batch, Marks
from model.captioner import TAUGHT_HEAD, Explained

SMALLEST = 1e-6  # attention is clamped to this before its logarithm


def cell_loss(explained: Explained, batch: Batch, focal_exponent: float) -> Tensor:
    """Return the binary cross-entropy of the labels (B, P, L) of each position, averaged over images with marks.

    Focal loss (arXiv 1708.02002): each term has the factor (1 - p) ** focal_exponent, where p is the probability of the
    true label; 0 gives plain cross-entropy. Without it the many empty positions outweigh the rare labels.
    """
    assert batch.marks is not None
    labels = cell_labels(batch.marks, batch.images.shape, explained.cells.shape[1], explained.stride_px)  # (B, P, L)
    weight = batch.marks.is_marked / batch.marks.is_marked.float().mean()  # (B,), 0 without marks, 1 on average
    # alpha -1: positive and negative labels have the same weight.
    losses = sigmoid_focal_loss(explained.cells.float(), labels, alpha=-1, gamma=focal_exponent)  # (B, P, L)
    return (weight[:, None, None] * losses).mean()


def attention_loss(explained: Explained, batch: Batch) -> Tensor:
    """Return the cross-entropy of both attention maps (B, N, T, P), averaged over the tokens that name a mark.

    The target of the first is the mark of the token just read, of the second the mark of the next token.
    """
    assert batch.marks is not None
    cells = cells_of(batch.marks, batch.images.shape, explained.cells.shape[1], explained.stride_px)  # (B, M)
    named = batch.marks.marks_of_tokens  # (B, T + 1)
    read = _cross_entropy(explained.first_attention, cells, named[:, :-1])
    written = _cross_entropy(explained.second_attention, cells, named[:, 1:])
    return read + written


def cells_of(marks: Marks, image_shape: torch.Size, num_cells: int, stride_px: int) -> Tensor:
    """Return the index of the grid position (B, M) in which each mark lies.

    The images (B, C, H, W) are pixels, or the features of an encoder, of which each is a grid position already.
    """
    height, width = image_shape[2:]
    if height * width != num_cells:
        height, width = -(-height // stride_px), -(-width // stride_px)
    columns = (marks.positions_xy[..., 0] / stride_px).long().clamp(0, width - 1)  # (B, M)
    rows = (marks.positions_xy[..., 1] / stride_px).long().clamp(0, height - 1)
    return rows * width + columns


def cell_labels(marks: Marks, image_shape: torch.Size, num_cells: int, stride_px: int) -> Tensor:
    """Return 1 where some mark in a position has a label (B, P, L), else 0."""
    cells = cells_of(marks, image_shape, num_cells, stride_px)[..., None].expand_as(marks.labels)  # (B, M, L)
    empty = marks.labels.new_zeros(len(cells), num_cells, marks.labels.shape[2])  # (B, P, L)
    return empty.scatter_reduce(1, cells, marks.labels, reduce="amax")


def _cross_entropy(attention: Tensor, cells: Tensor, named: Tensor) -> Tensor:
    """Return the mean of -log of the trained head's weight at the cell of the mark that each token names.

    attention is (B, N, T, P), cells (B, M), named (B, T): the index of a mark, -1 for none.
    """
    is_named = named >= 0  # (B, T)
    wanted = cells.gather(1, named.clamp(min=0))  # (B, T)
    weights = attention[:, TAUGHT_HEAD].gather(2, wanted[..., None])[..., 0]  # (B, T)
    losses = -weights.float().clamp(min=SMALLEST).log() * is_named  # (B, T)
    return losses.sum() / is_named.sum().clamp(min=1)
