"""Any paper and any ink to black on white: what comes before every other step of cleaning a drawing.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB or BGR, of any ink and paper; results are (H, W), 0 is ink, 255 is paper.
Paper is what more than half of an image is.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

MIDDLE = 128  # grey level under which most of an image is dark
SHEER_FRACTION = 0.5  # fraction of opaque pixels under which they are the ink themselves, not paper with ink on it
PAPER_CELLS = 64  # cells along the longer side, in each of which the paper's level is looked for
MIN_CELL_PX = 8
INK_CELLS = 5  # cells, side of the square that must hold some paper
DARKEST_PAPER = 0.4  # times the usual paper; what is darker over whole cells is no paper, but where there was none
NEAR_WHITE = 24  # grey levels from the paper's that are still paper
NOISE_WIDTHS = 4.0  # standard deviations of the paper's noise that are still paper
FULL_INK_FRACTION = 0.05  # fraction of the ink's pixels that become fully black
MIN_CONTRAST = 1.5  # times the levels that are still paper; what has less is an image of nothing


def is_black_on_white(pixels: Pixels) -> bool:
    """Whether grey pixels are 0 or 255 alone, most of them 255."""
    levels = _histogram(pixels)
    return bool(levels[0] + levels[255] == pixels.size and levels[255] >= levels[0])


def on_contrasting_paper(pixels: Pixels, alpha: NDArray[np.float32]) -> Pixels:
    """Put pixels (H, W, C) with alpha (H, W, 1), 0 to 1, on white, or on black if they are light ink alone."""
    opaque = alpha[..., 0] > 0.5
    is_light_ink = opaque.any() and opaque.mean() < SHEER_FRACTION and pixels[opaque].max(axis=1).mean() >= MIDDLE
    background = 0 if is_light_ink else 255
    laid: Pixels = (pixels * alpha + background * (1 - alpha)).astype(np.uint8)
    return laid


def darkest_channel(pixels: Pixels) -> Pixels:
    """Colours (H, W, 3) to grey (H, W), in which ink of any colour is dark; dark paper with light ink is inverted."""
    if np.median(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)) < MIDDLE:
        pixels = 255 - pixels
    first, second, third = cv2.split(pixels)
    darkest: Pixels = cv2.min(cv2.min(first, second), third)
    return darkest


def normalise(pixels: Pixels) -> Pixels:
    """Grey pixels (H, W) with the paper at 255 and the ink at 0, without the paper's noise; edges of strokes stay grey.

    An image in which nothing stands out from the paper becomes white.
    """
    if _quantile(_histogram(pixels), 0.5) < MIDDLE:
        pixels = 255 - pixels
    if is_black_on_white(pixels):
        return pixels
    return stretch(divide_by_paper(pixels))


def divide_by_paper(pixels: Pixels) -> Pixels:
    """Divide by the level of the paper around: shades of the paper go, and so does what is dark over whole cells."""
    height, width = pixels.shape
    cell = max(MIN_CELL_PX, max(height, width) // PAPER_CELLS)
    cells = cv2.resize(pixels, (-(-width // cell), -(-height // cell)), interpolation=cv2.INTER_AREA)
    paper = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((INK_CELLS, INK_CELLS), np.uint8))
    usual = int(np.median(paper))
    if paper.min() >= 255:
        return pixels
    is_none = paper < DARKEST_PAPER * usual
    paper[is_none] = usual
    levels = cv2.resize(cv2.blur(paper, (3, 3)), (width, height), interpolation=cv2.INTER_LINEAR)
    divided: Pixels = cv2.divide(pixels, levels, scale=255)
    if is_none.any():
        divided[cv2.resize(is_none.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0] = 255
    return divided


def stretch(pixels: Pixels) -> Pixels:
    """Near-white to white and pale ink to black, by what the levels of the whole image say of its noise and ink."""
    levels = _histogram(pixels)
    # Of noise about the paper's level the sixth of the paper's pixels that is darkest lies a deviation below it.
    paper = np.where(np.arange(256) >= MIDDLE, levels, 0)
    middle, low = _quantile(paper, 0.5), _quantile(paper, 0.159)
    near_white = max(NEAR_WHITE, NOISE_WIDTHS * (middle - low))
    is_ink = np.arange(256) < middle - near_white
    if not (levels * is_ink).any():
        return np.full_like(pixels, 255)
    black = _quantile(levels * is_ink, FULL_INK_FRACTION)
    if middle - black < MIN_CONTRAST * near_white:
        return np.full_like(pixels, 255)
    shades = 255 * (np.arange(256) - black) / (middle - black)
    shades[~is_ink] = 255
    stretched: Pixels = cv2.LUT(pixels, shades.clip(0, 255).astype(np.uint8))
    return stretched


def _histogram(pixels: Pixels) -> NDArray[np.float32]:
    counts: NDArray[np.float32] = cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel()
    return counts


def _quantile(levels: NDArray[np.float32], fraction: float) -> int:
    """The grey level under or at which that fraction of the counted pixels lies."""
    total = np.cumsum(levels)
    return int(np.searchsorted(total, fraction * total[-1]))
