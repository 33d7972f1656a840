"""How wide and how long the strokes of a drawing are, and strokes made thinner. 0 is ink, 255 is paper, grey between."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

INK_BELOW = 128  # grey level under which a pixel counts as ink
THIN_PX = 1.8  # strokes up to this width count as thin: the line segment detector takes them for one line
SHORTEST_SIDE_PX = 16  # of a copy shrunk for measuring


def stroke_width(pixels: Pixels) -> float:
    """The mean width of strokes in pixels, of pixels (H, W): what they cover, over half the length of their edges.

    The length of edges follows from the sum of differences between neighbours, 4 / pi too long for strokes in all
    directions (Cauchy and Crofton). Blurred strokes count as wide as they look. 0 if there is no ink.
    """
    darkness = float(pixels.size * 255.0 - cv2.sumElems(pixels)[0])
    edges = cv2.norm(pixels[1:], pixels[:-1], cv2.NORM_L1) + cv2.norm(pixels[:, 1:], pixels[:, :-1], cv2.NORM_L1)
    return 8 / math.pi * darkness / edges if edges else 0.0


def typical_stroke_length(pixels: Pixels) -> float | None:
    """The length of straight strokes in pixels: half of all their length is in longer ones. None if there are none.

    Wide strokes are measured on a copy, shrunk until they are thin: the two edges of a wide one are two lines, and its
    steps many. Found by the line segment detector of Grompone von Gioi et al. (2012), doi 10.5201/ipol.2012.gjmr-lsd.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels
    factor = max(1.0, min(stroke_width(grey) / THIN_PX, min(grey.shape) / SHORTEST_SIDE_PX))
    if factor > 1:
        grey = cv2.resize(grey, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    lines = cv2.createLineSegmentDetector().detect(cv2.GaussianBlur(grey, (0, 0), 0.8))[0]
    if lines is None:
        return None
    ends = lines.reshape(-1, 2, 2)  # (S, 2, 2)
    lengths = np.sort(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1))
    total = np.cumsum(lengths)
    return factor * float(lengths[np.searchsorted(total, total[-1] / 2)])


def thin_strokes(pixels: Pixels, num_px: int) -> Pixels:
    """Black strokes on white (H, W), `num_px` pixels thinner, but none thinner than a pixel: what is joined stays joined.

    Each pixel is one half of a pass of Guo and Hall (1989), doi 10.1145/62065.62074, which takes off one edge of a stroke
    and the opposite one by turns.
    """
    ink = np.pad((pixels < INK_BELOW).astype(np.uint8), 1)
    for place in range(num_px):
        codes = cv2.filter2D(ink, cv2.CV_8U, _NEIGHBOURS, borderType=cv2.BORDER_CONSTANT)
        ink[cv2.LUT(codes, _TAKEN_OFF[place % 2]) > 0] = 0
    return np.where(ink[1:-1, 1:-1] > 0, 0, 255).astype(np.uint8)


# A pixel's eight neighbours as a byte: clockwise from the upper one, which is bit 0.
_NEIGHBOURS = np.array([[128, 1, 2], [64, 0, 4], [32, 16, 8]], np.float32)


def _taken_off(is_second: bool) -> NDArray[np.uint8]:
    """Of each of 256 neighbourhoods of an ink pixel, 1 if half a pass takes the pixel off."""
    taken = np.zeros(256, np.uint8)
    for code in range(256):
        p2, p3, p4, p5, p6, p7, p8, p9 = (code >> place & 1 for place in range(8))  # as the paper calls them
        num_joined = sum(not gap and (one or other) for gap, one, other in (
            (p2, p3, p4), (p4, p5, p6), (p6, p7, p8), (p8, p9, p2),
        ))
        num_sides = min(
            (p9 | p2) + (p3 | p4) + (p5 | p6) + (p7 | p8), (p2 | p3) + (p4 | p5) + (p6 | p7) + (p8 | p9)
        )
        is_kept = (p2 | p3 | (1 - p5)) & p4 if is_second else (p6 | p7 | (1 - p9)) & p8
        taken[code] = num_joined == 1 and 2 <= num_sides <= 3 and not is_kept
    return taken


_TAKEN_OFF = (_taken_off(False), _taken_off(True))
