"""How wide and how long the strokes of a drawing are. Pixels are uint8, 0 is ink, 255 is paper, grey between."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

INK_BELOW = 192  # grey level under which a pixel counts as ink: fine strokes are pale
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
