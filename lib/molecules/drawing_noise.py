"""The wear of old documents on a line drawing: pixels in, pixels out. Knows nothing of molecules.

Pixels are uint8 (H, W), 0 ink and 255 paper; no function changes what it is given.
"""

import cv2
import numpy as np

INK, PAPER = 0, 255
ERASED_ENDS = (0.2, 0.8)  # of a line: letters at its ends stay
ERASER = 0.36  # width of what takes a line away, as a part of its length: both lines of a double bond


def drop_at_random(count: int, fraction: float, rng: np.random.Generator) -> set[int]:
    """Which of `count` things are lost when each is lost with probability `fraction`; at least one always stays."""
    lots = rng.random(count)
    dropped = set(np.flatnonzero(lots < fraction).tolist())
    if len(dropped) == count:
        dropped.discard(int(np.argmax(lots)))
    return dropped


def erase_line(pixels: np.ndarray, first: np.ndarray, last: np.ndarray, paper: int = PAPER) -> np.ndarray:
    """Turn a line from one position (2,) to another (x, y in pixels), and what lies close beside it, to paper."""
    near, far = (first + fraction * (last - first) for fraction in ERASED_ENDS)
    width = max(1, round(ERASER * float(np.linalg.norm(last - first))))
    return cv2.line(pixels.copy(), np.rint(near).astype(int).tolist(), np.rint(far).astype(int).tolist(), paper, width)


def remove_stroke_pixels(pixels: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Turn each ink pixel to paper with probability `fraction`."""
    worn = pixels.copy()
    ink = np.flatnonzero(worn == INK)
    worn.flat[ink[rng.random(ink.size) < fraction]] = PAPER
    return worn


def add_specks(pixels: np.ndarray, density: float, rng: np.random.Generator) -> np.ndarray:
    """Put single black pixels on the background, `density` of it on average, none touching ink or another speck."""
    height, width = pixels.shape
    specked = np.pad(pixels, 1, constant_values=PAPER)
    num_specks = rng.poisson(density * np.count_nonzero(pixels == PAPER))
    for y, x in zip(rng.integers(height, size=num_specks), rng.integers(width, size=num_specks), strict=True):
        if specked[y : y + 3, x : x + 3].min() == PAPER:
            specked[y + 1, x + 1] = INK
    return specked[1:-1, 1:-1].copy()
