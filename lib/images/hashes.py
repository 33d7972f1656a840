"""Hashed wedges with many fine lines are redrawn with fewer, wider lines: shrunk unchanged they turn grey or solid.

Pixels are uint8 (H, W), 0 ink, 255 paper. C components of ink.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import INK_BELOW, Pixels, typical_stroke_length

HASH_INK_BELOW = 128  # grey level; lines that touch in lighter grey still count as two
MIN_SPACING = 0.13  # stroke lengths from line to line: what is closer is not seen as lines in a cleaned image
WIDTH = 0.05  # stroke lengths, of the lines that stay
MAX_LINE = 0.6  # stroke lengths
MAX_COMPONENTS = 500  # more are no drawing, and each is compared with each
MIN_LINES = 5
STRAIGHT = 0.05  # stroke lengths that the middle of a line may lie beside the row's axis, as a standard deviation
EVEN = 0.35  # standard deviation of the distances between lines over their mean
ACROSS = 0.5  # cosine of the angle between a line and the row's axis, at most
LARGER, LONGER = 2.0, 2.0  # stroke lengths; if strokes of pieces larger than the first are so long, hashes decided it
SLENDER = 1.6  # length of a line over its width, from which it has a direction


class _Components(NamedTuple):
    """Where the components of ink lie and how they are stretched."""

    labels: NDArray[np.int32]  # (H, W), 0 = paper
    centres: NDArray[np.float64]  # (C, 2) x, y
    lengths: NDArray[np.float64]  # (C,) in pixels, of a rectangle that is spread as widely
    widths: NDArray[np.float64]  # (C,)
    directions: NDArray[np.float64]  # (C, 2), along the lengths, of length 1


def sparser_hashes_and_length(pixels: Pixels, length: float) -> tuple[Pixels, float]:
    """`sparser_hashes`, and the length of strokes in pixels.

    In a small drawing of high resolution the many lines of a hash are most of the strokes, so that `length` is theirs.
    Then it is measured without them.
    """
    sparse = sparser_hashes(pixels, length)
    if sparse is pixels:
        return pixels, length
    longer = typical_stroke_length(_large_pieces(pixels, LARGER * length))
    if longer is None or longer < LONGER * length:
        return sparse, length
    sparse = sparser_hashes(pixels, longer)
    return sparse, typical_stroke_length(sparse) or longer


def _large_pieces(pixels: Pixels, side: float) -> Pixels:
    """Pixels without the pieces of ink that fit into a square of that side."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((pixels < INK_BELOW).astype(np.uint8), connectivity=8)
    is_small = stats[:, 2:4].max(axis=1) <= side
    is_small[0] = False
    large: Pixels = np.where(is_small[labels], 255, pixels).astype(np.uint8)
    return large


def sparser_hashes(pixels: Pixels, length: float) -> Pixels:
    """Pixels whose rows of close short lines have every second, or third, ... left; strokes are `length` pixels long.

    The longest line of a row stays. Those that stay are made WIDTH wide, to the pixel.
    """
    found = _components(pixels, MAX_LINE * length)
    erased: list[int] = []
    kept: list[int] = []
    for row in _rows(found, MIN_SPACING * length, STRAIGHT * length):
        spacing = np.linalg.norm(found.centres[row[-1]] - found.centres[row[0]]) / (len(row) - 1)
        step = math.ceil(MIN_SPACING * length / spacing)
        if found.lengths[row[0]] < found.lengths[row[-1]]:
            row = row[::-1]
        if step > 1:
            erased += [label for index, label in enumerate(row) if index % step]
            kept += row[::step]
    if not erased:
        return pixels
    gone = _ink_of(found, erased, 3) & (1 - ((found.labels > 0) & ~np.isin(found.labels, erased)).astype(np.uint8))
    gain = WIDTH * length - float(np.median(found.widths[kept]))
    lines = _ink_of(found, kept, max(1, round(gain) + 1))
    return np.where(lines > 0, 0, np.where(gone > 0, 255, pixels)).astype(np.uint8)


def _ink_of(found: _Components, labels: list[int], side: int) -> NDArray[np.uint8]:
    """1 where components lie, (H, W), and around them, as far as a square of that side reaches."""
    chosen = np.zeros(len(found.lengths), np.uint8)
    chosen[labels] = 1
    reached: NDArray[np.uint8] = cv2.dilate(chosen[found.labels], np.ones((side, side), np.uint8)).astype(np.uint8)
    return reached


def _components(pixels: Pixels, longest: float) -> _Components:
    """The components of ink; those that fit into no square of side `longest` have length 0."""
    count, labels, stats, centres = cv2.connectedComponentsWithStats((pixels < HASH_INK_BELOW).astype(np.uint8))
    is_short = stats[:, 2:4].max(axis=1) <= longest
    is_short[0] = False
    ys, xs = np.nonzero(is_short[labels])
    of = labels[ys, xs]
    size = np.maximum(np.bincount(of, minlength=count), 1)
    x, y = xs - centres[of, 0], ys - centres[of, 1]
    # A pixel is a square, not a point: a twelfth more in each direction.
    xx, yy = (np.bincount(of, one * one, count) / size + 1 / 12 for one in (x, y))
    xy = np.bincount(of, x * y, count) / size
    root = np.sqrt((xx - yy) ** 2 / 4 + xy**2)
    middle = (xx + yy) / 2
    angle = np.arctan2(2 * xy, xx - yy) / 2
    return _Components(
        labels,
        centres,
        np.where(is_short, np.sqrt(12 * (middle + root)), 0),
        np.sqrt(12 * np.maximum(middle - root, 0)),
        np.stack((np.cos(angle), np.sin(angle)), axis=1),
    )


def _rows(found: _Components, closest: float, straight: float) -> list[list[int]]:
    """Rows of at least MIN_LINES parallel components, each nearer to the next than `closest`, in order."""
    lines = np.flatnonzero(found.lengths)
    if not MIN_LINES <= len(lines) <= MAX_COMPONENTS:
        return []
    offsets = found.centres[lines][None] - found.centres[lines][:, None]  # (C, C, 2)
    distances = np.linalg.norm(offsets, axis=2)
    has_direction = found.lengths[lines] > SLENDER * found.widths[lines]
    cosines = np.abs((offsets * found.directions[lines][:, None]).sum(axis=2)) / np.maximum(distances, 1e-9)
    is_beside = (cosines <= ACROSS) | ~has_direction[:, None]
    near = (distances < closest) & is_beside & is_beside.T
    np.fill_diagonal(near, True)
    group_of = np.arange(len(lines))
    while (lowest := np.where(near, group_of, len(lines)).min(axis=1)).tolist() != group_of.tolist():
        group_of = lowest
    groups = (lines[group_of == group] for group in np.unique(group_of))
    return [row for group in groups if len(group) >= MIN_LINES and (row := _in_order(found, group, straight))]


def _in_order(found: _Components, group: NDArray[np.int64], straight: float) -> list[int]:
    """Components from one end of their row to the other; none if they lie in no row."""
    middles = found.centres[group] - found.centres[group].mean(axis=0)
    across, along = np.linalg.eigh(middles.T @ middles)[1].T
    order = np.argsort(middles @ along)
    steps = np.diff((middles @ along)[order])
    # Rings around one point are in no row.
    is_row = (middles @ across).std() <= straight and steps.mean() >= 1 and steps.std() <= EVEN * steps.mean()
    return group[order].tolist() if is_row else []
