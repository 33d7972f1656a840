"""How wide and how long the strokes of a drawing are. Pixels are uint8, 0 is ink, 255 is paper, grey between."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

INK_BELOW = 192  # grey level under which a pixel counts as ink: fine strokes are pale
THIN_PX = 1.8  # strokes up to this width count as thin: the line segment detector takes them for one line
BONDS_IN_A_ROW = 2.0  # times the typical length
LONG_QUANTILE = 0.7
# As medians over 500 stored drawings are: the typical stroke 0.811 of a bond, the long one 0.923.
LONG_PER_TYPICAL = 0.879
SHORTEST_SIDE_PX = 16  # of a copy shrunk for measuring


def grey_of(pixels: Pixels) -> Pixels:
    """Pixels (H, W) or (H, W, 3) RGB in grey (H, W)."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels


def stroke_width(pixels: Pixels) -> float:
    """The mean width of strokes in pixels, of pixels (H, W): what they cover, over half the length of their edges.

    The length of edges follows from the sum of differences between neighbours, 4 / pi too long for strokes in all
    directions (Cauchy and Crofton). Blurred strokes count as wide as they look. 0 if there is no ink.
    """
    darkness = float(pixels.size * 255.0 - cv2.sumElems(pixels)[0])
    edges = cv2.norm(pixels[1:], pixels[:-1], cv2.NORM_L1) + cv2.norm(pixels[:, 1:], pixels[:, :-1], cv2.NORM_L1)
    return 8 / math.pi * darkness / edges if edges else 0.0


def edge_width(pixels: Pixels) -> float:
    """Over how many pixels ink turns into paper, of pixels (H, W): 1 if all are black or white, more if blurred.

    The mean difference between neighbours, each weighted by itself, is 255 over that many pixels. 0 if there is no ink.
    """
    neighbours = (pixels[1:], pixels[:-1]), (pixels[:, 1:], pixels[:, :-1])
    steps = sum(cv2.norm(*pair, cv2.NORM_L1) for pair in neighbours)
    squares = sum(cv2.norm(*pair, cv2.NORM_L2SQR) for pair in neighbours)
    return 255 * steps / squares if squares else 0.0


def straight_strokes(pixels: Pixels) -> NDArray[np.float32]:
    """The ends (S, 2, 2) of the straight strokes of grey pixels (H, W): x, y in pixels.

    Wide strokes are looked for on a copy, shrunk until they are thin: the two edges of a wide one are two lines, and
    its steps many. Found by the detector of Grompone von Gioi et al. (2012), doi 10.5201/ipol.2012.gjmr-lsd.
    """
    factor = max(1.0, min(stroke_width(pixels) / THIN_PX, min(pixels.shape) / SHORTEST_SIDE_PX))
    if factor > 1:
        pixels = cv2.resize(pixels, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    lines = cv2.createLineSegmentDetector().detect(cv2.GaussianBlur(pixels, (0, 0), 0.8))[0]
    if lines is None:
        return np.zeros((0, 2, 2), np.float32)
    ends: NDArray[np.float32] = lines.reshape(-1, 2, 2) * factor
    return ends


def lengths_of(strokes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The lengths (S,) of strokes, of their ends (S, 2, 2)."""
    lengths: NDArray[np.float32] = np.linalg.norm(strokes[:, 1] - strokes[:, 0], axis=1)
    return lengths


def typical_stroke_length(pixels: Pixels) -> float | None:
    """The length of straight strokes in pixels, about 0.8 of a bond's. None if there are none.

    Three tenths of the length of all are in longer strokes: pieces of letters, and of bonds beside labels, are short.
    Bonds in a row, as at a triple one, count as one stroke, and are left out.
    """
    lengths = np.sort(lengths_of(straight_strokes(grey_of(pixels))))
    if not len(lengths):
        return None
    lengths = lengths[lengths <= BONDS_IN_A_ROW * _quantile(lengths, 0.5)]
    return LONG_PER_TYPICAL * _quantile(lengths, LONG_QUANTILE)


def _quantile(lengths: NDArray[np.float32], fraction: float) -> float:
    """Of lengths in rising order, that up to which lies this fraction of their sum."""
    total = np.cumsum(lengths)
    return float(lengths[np.searchsorted(total, fraction * total[-1])])
