"""The ink between two points of an image: how much there is, and whether it is a wavy line.

E pairs of points, H W height and width of an image, 0 = ink.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

INK_BELOW = 200  # grey value: thin strokes become pale when they are scaled
MIDDLE = (0.25, 0.75)  # the part of the way in which ink is looked for
ASIDE_PX = 2  # from the straight line, within which ink is its own
INKLESS = 0.1  # part of the middle with ink, below which it is taken to have none
# Of wavy lines; parts of the distance of the points where they are lengths.
WAVY_PART = (0.12, 0.88)  # of the way: labels may stand at its ends
NUM_STEPS = 48  # along it
WAVY_ASIDE = 0.2  # how far from the straight line ink is its own
WAVY_COVERED = 0.85  # least part of the steps that have ink: a row of short lines has less
INKED_PART = 0.4  # of the typical width of its stroke, from which a step has ink
WAVY_STROKE = 0.1  # the widest
WAVY_AMPLITUDE = (0.02, 0.07)
MIN_WAVES = 2
WAVY_REGULAR = 0.7  # least part of the power of a line's swings near one frequency
NUM_FREQUENCIES, NEAR_FREQUENCY = 64, 4


def ink_between(pixels: NDArray[np.uint8], ends: NDArray[np.float32]) -> NDArray[np.float64]:
    """The part (E,) of the middle between the ends (E, 2, 2), in pixels of an image (H, W), that has ink."""
    side = 2 * ASIDE_PX + 1
    near_ink = cv2.dilate((pixels < INK_BELOW).astype(np.uint8), np.ones((side, side), np.uint8))
    along = np.linspace(*MIDDLE, num=25)[:, None]
    x, y = np.rint(ends[:, :1] * (1 - along) + ends[:, 1:] * along).astype(int).transpose(2, 0, 1)  # (E, 25)
    height, width = near_ink.shape
    covered: NDArray[np.float64] = near_ink[y.clip(0, height - 1), x.clip(0, width - 1)].mean(axis=1)
    return covered


def is_wavy(pixels: NDArray[np.uint8], ends: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether a wavy line joins the ends (E, 2, 2), in pixels of an image (H, W), of each pair.

    Chemists draw so what may point either way (IUPAC's recommendations on stereochemical configuration, 2006).
    """
    return np.array([_is_wavy(pixels, begin, end) for begin, end in ends], bool)


def _is_wavy(pixels: NDArray[np.uint8], begin: NDArray[np.float32], end: NDArray[np.float32]) -> bool:
    length = float(np.linalg.norm(end - begin))
    ink, aside = _straightened(pixels, begin, end)
    strokes = ink.sum(axis=1)  # (N,) widths in pixels
    width = float(np.median(strokes))
    is_covered = strokes > INKED_PART * width
    if is_covered.mean() < WAVY_COVERED or width > WAVY_STROKE * length:
        return False
    steps = np.arange(NUM_STEPS)
    offsets = np.interp(steps, steps[is_covered], (ink @ aside)[is_covered] / strokes[is_covered])
    offsets -= np.polyval(np.polyfit(steps, offsets, 1), steps)
    amplitude = float(np.sqrt(2 * np.mean(offsets**2)))
    power = np.abs(np.fft.rfft(offsets * np.hanning(NUM_STEPS), 2 * NUM_FREQUENCIES)) ** 2
    peak = int(power.argmax())
    near_peak = power[max(0, peak - NEAR_FREQUENCY) : peak + NEAR_FREQUENCY + 1].sum()
    num_waves = peak / (2 * NUM_FREQUENCIES) * NUM_STEPS
    least, most = WAVY_AMPLITUDE
    if num_waves < MIN_WAVES or not least < amplitude / length < most:
        return False
    return bool(near_peak >= WAVY_REGULAR * power.sum())


def _straightened(
    pixels: NDArray[np.uint8], begin: NDArray[np.float32], end: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ink (N, S), 0..1, at N steps along the way and S pixels across it, and how far aside (S,) those are."""
    way = end - begin
    half = WAVY_ASIDE * float(np.linalg.norm(way))
    aside = np.arange(-round(half), round(half) + 1, dtype=np.float32)
    along = np.linspace(*WAVY_PART, num=NUM_STEPS, dtype=np.float32)[:, None]
    across = np.array([-way[1], way[0]]) / np.linalg.norm(way)
    x, y = (begin[axis] + along * way[axis] + aside * across[axis] for axis in (0, 1))
    grey = cv2.remap(pixels, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderValue=255.0)
    return (1 - grey / np.float32(255)), aside
