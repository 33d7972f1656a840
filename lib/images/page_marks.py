"""Removes what a page has from border to border beside a drawing: headings on dark bars, ruled lines, scratches.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB. The paper is light: pages that are dark stay as they are.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import Pixels, grey_of

LIGHT_FROM = 128  # level of paper from which a page is light
DARKER_BY = 24  # levels below the paper's, from which a pixel belongs to a line
SCRATCH_COVER, SCRATCH_PX = 0.97, 3  # least fraction of a row or column that is dark, and most of them side by side
RULE_COVER, NUM_RULES = 0.95, 4  # the same of ruled lines, and the fewest of them
RULED_BELOW = 0.4  # fraction of rows or columns; with more of them the page is dark, not ruled
EVENLY, STEPS_ALIKE = 0.1, 0.6  # of the usual step: a rule may lie beside its place; and how many do not
LIKE_RULE = 45  # levels, most that a pixel of a ruled line differs from the line's usual colour: ink differs more
BAR_BELOW = 0.75  # times the paper's level
BAR_PX, BAR_FRACTION = 15, 1 / 30  # least width of a bar, and the same over the image's shorter side
BAR_FILLED, LARGEST_BAR = 0.85, 0.4  # least fraction of its box that is dark, and most of the image
BAR_BORDERS = 3  # borders of the image that a bar reaches
BAR_EDGE_PX = 3


def without_page_marks(pixels: Pixels) -> Pixels:
    """The pixels without bars, ruled lines and scratches; the same array where there are none."""
    return without_scratches(without_rules(without_bars(pixels)))


def without_bars(pixels: Pixels) -> Pixels:
    """The pixels without dark bars along a border, such as a slide's heading, and without what stands in them."""
    grey = grey_of(pixels)
    height, width = grey.shape
    paper = float(np.median(grey))
    side = max(BAR_PX, round(BAR_FRACTION * min(height, width))) | 1
    dark = (grey < BAR_BELOW * paper).astype(np.uint8)
    wide = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((side, side), np.uint8), borderValue=0)
    if paper < LIGHT_FROM or not wide.any():
        return pixels
    around = 2 * side
    closed = cv2.morphologyEx(np.pad(wide, around), cv2.MORPH_CLOSE, np.ones((around + 1, around + 1), np.uint8))
    stats = cv2.connectedComponentsWithStats(closed[around:-around, around:-around], connectivity=8)[2]
    found = pixels
    for left, top, box_width, box_height, area in stats[1:].tolist():
        num_borders = (left <= 1) + (top <= 1) + (left + box_width >= width - 1) + (top + box_height >= height - 1)
        is_bar = num_borders >= BAR_BORDERS and area > BAR_FILLED * box_width * box_height
        if is_bar and box_width * box_height < LARGEST_BAR * height * width:
            found = found.copy() if found is pixels else found
            rows = slice(max(0, top - BAR_EDGE_PX), top + box_height + BAR_EDGE_PX)
            columns = slice(max(0, left - BAR_EDGE_PX), left + box_width + BAR_EDGE_PX)
            found[rows, columns] = _usual_colour(pixels)
    return found


def without_rules(pixels: Pixels) -> Pixels:
    """The pixels without the lines of ruled or squared paper: several across all of it, evenly spaced."""
    found = pixels
    for axis, is_line in _dark_lines(pixels, RULE_COVER):
        starts = np.flatnonzero(np.diff(is_line.astype(np.int8), prepend=0) == 1)
        if len(starts) < NUM_RULES or is_line.mean() > RULED_BELOW:
            continue
        steps = np.diff(starts)
        if np.mean(np.abs(steps - np.median(steps)) <= 2 + EVENLY * np.median(steps)) < STEPS_ALIKE:
            continue
        found = found.copy() if found is pixels else found
        before, after = pixels.swapaxes(0, axis), found.swapaxes(0, axis)
        paper = _usual_colour(pixels)
        beside = cv2.dilate(is_line.astype(np.uint8)[:, None], np.ones((3, 1), np.uint8))[:, 0]
        for index in np.flatnonzero(beside):
            line = before[index].reshape(len(before[index]), -1)  # (N, C)
            differs_by = np.abs(line.astype(int) - np.median(line, axis=0)).max(axis=1)
            after[index][differs_by <= LIKE_RULE] = paper
    return found


def without_scratches(pixels: Pixels) -> Pixels:
    """The pixels without thin lines from border to border; what crosses them stays joined."""
    found = pixels
    for axis, is_line in _dark_lines(pixels, SCRATCH_COVER):
        edges = np.diff(is_line.astype(np.int8), prepend=0, append=0)
        for begin, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
            if end - begin <= SCRATCH_PX and begin >= 2 and end <= len(is_line) - 2:
                found = found.copy() if found is pixels else found
                lines = found.swapaxes(0, axis)
                lines[begin:end] = np.minimum(lines[begin - 1], lines[end])
    return found


def _dark_lines(pixels: Pixels, cover: float) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """By axis, which rows (H,), then which columns (W,), are dark over that fraction of them; none of a dark page."""
    darkest = pixels if pixels.ndim == 2 else pixels.min(axis=2)
    paper = float(np.median(darkest))
    if paper >= LIGHT_FROM:
        is_dark = darkest < paper - DARKER_BY
        yield 0, is_dark.mean(axis=1) >= cover
        yield 1, is_dark.mean(axis=0) >= cover


def _usual_colour(pixels: Pixels) -> NDArray[np.uint8]:
    """The median of each channel."""
    colour: NDArray[np.uint8] = np.median(pixels, axis=(0, 1)).astype(np.uint8)
    return colour
