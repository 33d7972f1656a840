"""A fine grid on which a drawing in a free style is put as ink: letters, lines, double bonds and wedges.

Places are in fine pixels, x to the right and y down.
"""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lib.molecules.atom_labels import Label, Run
from lib.molecules.free_style import FONTS_FOLDER, FreeStyle

CAPITAL = 0.72  # height of a capital, as a part of its font's size
RAISED = 0.45  # of a capital's height by which charges stand higher than the line, and counts lower


class Sheet(NamedTuple):
    """A fine grid, how many of its pixels are a bond, and the style."""

    ink: np.ndarray  # (H, W) uint8, 255 = ink
    unit: float  # fine pixels in a bond
    style: FreeStyle

    @property
    def stroke(self) -> float:
        """Width of a stroke in fine pixels."""
        return self.style.stroke_px * self.unit / self.style.bond_length_px


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONTS_FOLDER / name), size)


def write_label(sheet: Sheet, position: np.ndarray, label: Label) -> np.ndarray:
    """Write a label with its anchor's middle at a position (2,).

    Return the boxes of its letters (N, 4), left, top, right and bottom, wider than the letters by the padding.
    """
    capital = sheet.style.letter_height * sheet.unit
    widths = [_size_of(run, sheet)[0] for run in label.runs]
    x = position[0] - sum(widths[: label.anchor]) - widths[label.anchor] / 2
    boxes = []
    for run, width in zip(label.runs, widths, strict=True):
        boxes.append(_write_run(sheet, run, x, position[1]))
        x += width
    if label.stacked:
        y = position[1] + (-1 if label.is_above else 1) * 1.35 * capital
        x = position[0] - _size_of(label.stacked[0], sheet)[0] / 2
        for run in label.stacked:
            boxes.append(_write_run(sheet, run, x, y))
            x += _size_of(run, sheet)[0]
    padding = sheet.style.padding * sheet.unit
    return np.array(boxes) + np.array((-padding, -padding, padding, padding))


def _font_of(run: Run, sheet: Sheet) -> ImageFont.FreeTypeFont:
    height = sheet.style.letter_height * sheet.unit * (sheet.style.small_letters if run.level else 1)
    return _font(sheet.style.font, max(6, round(height / CAPITAL)))


def _size_of(run: Run, sheet: Sheet) -> tuple[float, float]:
    left, top, right, bottom = _font_of(run, sheet).getbbox(run.text, anchor="ls")
    width = sheet.style.letter_width * (right - left)
    return width + 0.06 * sheet.style.letter_height * sheet.unit, bottom - top


def _write_run(sheet: Sheet, run: Run, x: float, y: float) -> tuple[float, float, float, float]:
    """Write a run whose line has its capitals' middle at y; return the box of its ink."""
    capital = sheet.style.letter_height * sheet.unit
    base = y + capital / 2 - RAISED * capital * run.level
    if run.level < 0:
        base += 0.05 * capital
    font = _font_of(run, sheet)
    left, top, right, bottom = font.getbbox(run.text, anchor="ls")
    column, row = int(x), int(base + top)
    height, width = int(bottom - top) + 3, int(right - left) + 3
    patch = Image.new("L", (width, height))
    ImageDraw.Draw(patch).text((1 - left, 1 - top), run.text, fill=255, font=font, anchor="ls")
    if sheet.style.letter_width != 1:
        width = max(1, round(sheet.style.letter_width * width))
        patch = patch.resize((width, height), Image.Resampling.BILINEAR)
    (rows, seen_rows), (columns, seen_columns) = (
        _overlap(start, length, whole)
        for start, length, whole in zip((row, column), (height, width), sheet.ink.shape, strict=True)
    )
    letters = np.asarray(patch)[seen_rows, seen_columns]
    np.maximum(sheet.ink[rows, columns], letters, out=sheet.ink[rows, columns])
    return column, row, column + width, row + height


def _overlap(start: int, length: int, whole: int) -> tuple[slice, slice]:
    """Where a stretch that begins at `start` lies in a whole, and which part of the stretch that is."""
    first, last = min(max(0, start), whole), min(max(0, start + length), whole)
    return slice(first, last), slice(first - start, last - start) if last > first else slice(0, 0)


def across_of(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """The direction (2,) at right angles to a line, of length 1."""
    along = last - first
    length = max(float(np.linalg.norm(along)), 1e-6)
    return np.array([-along[1], along[0]]) / length


def draw_double_bond(
    sheet: Sheet, first: np.ndarray, last: np.ndarray, inside: np.ndarray | None, insets_first: bool, insets_last: bool
) -> None:
    """Two lines: on either side of the bond, or, if something lies `inside`, one on the bond and one towards it.

    The inner line is shorter by the style's inset at the ends for which that is asked.
    """
    across = across_of(first, last) * sheet.style.spacing * sheet.unit
    if inside is None:
        draw_line(sheet, first + across / 2, last + across / 2)
        draw_line(sheet, first - across / 2, last - across / 2)
        return
    if (inside - first) @ across < 0:
        across = -across
    draw_line(sheet, first, last)
    inset = sheet.style.inset * (last - first)
    draw_line(sheet, first + across + inset * insets_first, last + across - inset * insets_last)


def draw_wedge(sheet: Sheet, first: np.ndarray, last: np.ndarray, wedge: int) -> None:
    """A wedge (1) or a hashed wedge (2), narrow at the first position."""
    half = across_of(first, last) * sheet.style.wedge_width * sheet.unit / 2
    if wedge == 1:
        corners = _fixed(np.stack((first, last + half, last - half)))
        if sheet.style.wedge == "solid":
            cv2.fillConvexPoly(sheet.ink, corners, 255, cv2.LINE_8, 4)
        cv2.polylines(sheet.ink, [corners], True, 255, max(1, round(sheet.stroke)), cv2.LINE_8, 4)
        return
    for fraction in np.linspace(0.0, 1.0, sheet.style.num_hash_lines):
        wide = half * (max(fraction, 0.12) if sheet.style.is_hash_tapered else 0.7)
        middle = first + fraction * (last - first)
        draw_line(sheet, middle + wide, middle - wide)


def draw_line(sheet: Sheet, first: np.ndarray, last: np.ndarray) -> None:
    """A stroke from one position (2,) to another."""
    ends = _fixed(np.stack((first, last)))
    cv2.polylines(sheet.ink, [ends], False, 255, max(1, round(sheet.stroke)), cv2.LINE_8, 4)


def _fixed(points: np.ndarray) -> np.ndarray:
    fixed: np.ndarray = np.rint(points * 16).astype(np.int32)
    return fixed
