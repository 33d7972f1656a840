"""Compares the drawing of a caption with the image: a right caption covers the image's ink.

A right caption, drawn as the image's drawer draws, covers the image stroke by stroke; with a wrong one some ink of
the image stays bare. Knows nothing of molecules and of who wrote the caption.

H W height and width of an image, h w of a drawing; ink is float32, 1 = ink, 0 = paper.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import grey_of

Ink = NDArray[np.float32]

INK_FROM = 0.3  # darkness from which a pixel is ink, in shrunk images
MARGIN_PX = 12  # paper around the ink, so that drawings may be larger
COARSE_BLUR_PX, FINE_BLUR_PX = 1.5, 0.7  # standard deviations; strokes are a pixel wide
SAME_SCALE = 1.03  # of two scales closer than this factor, one is tried
MAX_LARGER = 4.0  # times the image, a side of a drawing that is as large as the image in the other
AROUND = (0.99, 1.01)  # factors of the scales at which the drawing is as wide, or as high, as the image
MAX_STEPS, MIN_GAIN = 15, 1e-4  # of the search for the exact position
HOLE_BLUR_PX = 4.0  # standard deviation of the window in which holes are searched: a letter or half a bond
LITTLE_INK = 0.01  # mean ink of a window; windows with less are not searched for holes
WORTH_REFINING = 0.5  # correlation below which the position of a drawing is not refined
LOST_COUNTS = 1 / 16  # weight of drawn ink that the image lacks: old images lose strokes but hardly gain any (fitted)
THERE_FROM = 0.3  # fraction of the strength of a stroke below which no trace of it is left
DRAWN_ALIKE_FROM = 0.8  # correlation from which a drawing fits: right molecule, right drawer
CAPTIONS_TO_FIND_A_DRAWER = 3  # captions drawn by every drawer; after them the drawer with the best fit is kept
SQUARE = 0.8  # ratio of the sides from which a quarter turn is possible


class Agreement(NamedTuple):
    """How well a drawing covers an image."""

    correlation: float  # of the two, blurred by less than a pixel: 1 = the same but for a factor
    # The image's ink that the drawing does not cover, as a sum of squares in pixels of full ink, and LOST_COUNTS of
    # the drawing's ink that the image has not.
    mismatch: float
    # The largest fraction of the ink in a window that the drawing leaves bare, 0..1: one wrong atom is a hole in the
    # drawing, while wear is spread over all of it.
    hole: float


DISAGREEMENT = Agreement(0.0, math.inf, 1.0)  # of what cannot be drawn


class PreparedImage(NamedTuple):
    """An image ready to be compared with many drawings."""

    ink: Ink  # (H, W), MARGIN_PX of paper around the ink
    coarse: Ink  # (H / 2, W / 2), blurred
    fine: Ink  # (H, W), blurred
    height: int  # of the ink, in pixels
    width: int


class Placement(NamedTuple):
    """Where a drawing lies in an image, roughly."""

    correlation: float
    num_turns: int  # by 90 degrees, counterclockwise
    scale: float  # the drawing's size there, times its own
    left: int  # pixels of the image's ink
    top: int


class Laid(NamedTuple):
    """A drawing laid on an image of which nothing was cut off."""

    correlation: float  # of the two, roughly placed
    drawing: Ink  # (H, W)
    image: Ink  # (H, W)


class RedrawnImage:
    """An image with the drawings of captions laid on it, by the drawer that draws as it was drawn."""

    def __init__(
        self,
        image: PreparedImage,
        drawers: Sequence[Sequence[str]],
        draw: Callable[[str, str], NDArray[np.bool_] | None],
    ) -> None:
        """`draw` takes a caption and the name of a drawer; None is no drawing.

        Drawers are tried group by group, all of a group, until one fits; then that one alone goes on.
        """
        self.agreements: dict[str, Agreement] = {}  # of the captions drawn so far, by the drawer that fits best
        self._image, self._groups, self._draw = image, drawers, draw
        self._best: dict[str, float] = {}  # correlation of each drawer's best drawing so far

    def draw(self, caption: str, drawn_as: str | None = None) -> None:
        """Draw a caption, and keep how well it agrees with the image: itself, or what it may be drawn as."""
        if drawn_as is not None and drawn_as != caption:
            for one in (drawn_as, caption):
                if one not in self.agreements:
                    self.draw(one)
            self.agreements[caption] = min(self.agreements[caption], self.agreements[drawn_as], key=_mismatch)
            return
        found: dict[str, Agreement] = {}
        for group in self._groups:
            for drawer in group:
                drawing = self._draw(caption, drawer)
                found[drawer] = compare(self._image, drawing) if drawing is not None else DISAGREEMENT
                self._best[drawer] = max(self._best.get(drawer, 0.0), found[drawer].correlation)
            if max(one.correlation for one in found.values()) >= DRAWN_ALIKE_FROM:
                break
        self.agreements[caption] = max(found.values(), key=lambda one: one.correlation)
        likeliest = max(self._best, key=self._best.__getitem__)
        if self._best[likeliest] >= DRAWN_ALIKE_FROM or len(self.agreements) == CAPTIONS_TO_FIND_A_DRAWER:
            self._groups = [[likeliest]]


def _mismatch(agreement: Agreement) -> float:
    return agreement.mismatch


def prepare(pixels: NDArray[np.uint8]) -> PreparedImage | None:
    """A cleaned image (H, W) or (H, W, 3), 0 = ink, prepared for comparisons; None without ink."""
    cropped = _cropped(_ink_of(pixels))
    if not cropped.size:
        return None
    ink: Ink = np.pad(cropped, MARGIN_PX)
    coarse = _scaled(_blurred(ink, COARSE_BLUR_PX), 0.5)
    return PreparedImage(ink, coarse, _blurred(ink, FINE_BLUR_PX), *cropped.shape)


def compare(image: PreparedImage, drawing: NDArray[np.bool_]) -> Agreement:
    """Lay a drawing (h, w) on an image: turned by quarters, as large as fits, moved and bent a little.

    The last is Evangelidis and Psarakis (2008), doi 10.1109/TPAMI.2008.113, as OpenCV has it.
    """
    ink = _cropped(drawing.astype(np.float32))
    if not ink.size:
        return DISAGREEMENT
    position = _best_placement(image, ink)
    if position.correlation < WORTH_REFINING:
        return Agreement(position.correlation, float((image.fine**2).sum()), 1.0)
    laid = _blurred(_fitted(image, _laid(image, ink, position)), FINE_BLUR_PX)
    if not laid.any():
        return DISAGREEMENT
    correlation = float((image.fine * laid).sum()) / math.sqrt(float((image.fine**2).sum() * (laid**2).sum()))
    # Strokes come out paler or darker than drawn; how much, those tell that have not been lost.
    is_there = image.fine >= THERE_FROM * laid
    drawn = float((laid**2)[is_there].sum())
    strength = float((image.fine * laid)[is_there].sum()) / drawn if drawn else 0.0
    rest = image.fine - strength * laid
    bare, lost = (np.maximum(side, 0) ** 2 for side in (rest, -rest))
    ink = np.maximum(image.fine, strength * laid) ** 2
    hole = _blurred(bare, HOLE_BLUR_PX) / (_blurred(ink, HOLE_BLUR_PX) + LITTLE_INK)
    return Agreement(correlation, float(bare.sum()) + LOST_COUNTS * float(lost.sum()), float(hole.max()))


def lay_over(pixels: NDArray[np.uint8], drawing: NDArray[np.bool_]) -> Laid:
    """Lay a drawing (h, w) on a cleaned image (H, W) or (H, W, 3) where it fits best.

    A drawing that has little in common with the image is as large as the image's ink.
    """
    seen, ink, image = _ink_of(pixels), _cropped(drawing.astype(np.float32)), prepare(pixels)
    sheet = np.pad(np.zeros_like(seen), MARGIN_PX)
    if image is None or not ink.size:
        return Laid(0.0, np.zeros_like(seen), seen)
    position = _best_placement(image, ink)
    if position.correlation < WORTH_REFINING:
        position = Placement(position.correlation, 0, _fits(image, ink)[0], MARGIN_PX, MARGIN_PX)
        laid = _laid(image, ink, position)
    else:
        laid = _fitted(image, _laid(image, ink, position))
    left, top, width, height = _box(seen)
    sheet[top : top + height + 2 * MARGIN_PX, left : left + width + 2 * MARGIN_PX] = laid
    return Laid(position.correlation, sheet[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX], seen)


def _best_placement(image: PreparedImage, ink: Ink) -> Placement:
    def found(num_turns: int, *parts: float) -> Placement:
        turned = np.ascontiguousarray(np.rot90(ink, num_turns))
        return _find(image, turned, num_turns, [fit * part for fit in _fits(image, turned) for part in parts])

    def correlation(position: Placement) -> float:
        return position.correlation

    position = max(found(0, 1.0), found(2, 1.0), key=correlation)
    if position.correlation < WORTH_REFINING and min(ink.shape) > SQUARE * max(ink.shape):
        # Of a drawing about as high as wide, wear decides whether cleaning turns it.
        position = max(position, found(1, 1.0), found(3, 1.0), key=correlation)
    return max(position, found(position.num_turns, *AROUND), key=correlation)


def _find(image: PreparedImage, turned: Ink, num_turns: int, scales: list[float]) -> Placement:
    """The best position of a drawing that was turned, at one of those scales, searched at half the size."""
    seen = image.coarse
    best = Placement(0.0, num_turns, 1.0, 0, 0)
    for scale in scales:
        half = _blurred(np.pad(_scaled(turned, scale / 2), 2), COARSE_BLUR_PX / 2)
        over = [max(0, mine - theirs) for mine, theirs in zip(half.shape, seen.shape, strict=True)]
        sheet = np.pad(seen, [(side, side) for side in over]) if any(over) else seen
        found = cv2.matchTemplate(sheet, half, cv2.TM_CCORR)
        _, product, _, (left, top) = cv2.minMaxLoc(found)
        correlation = product / float(np.sqrt((seen**2).sum() * (half**2).sum()))
        if correlation > best.correlation:
            best = Placement(correlation, num_turns, scale, 2 * (left + 2 - over[1]), 2 * (top + 2 - over[0]))
    return best


def _fits(image: PreparedImage, ink: Ink) -> list[float]:
    """Scales at which a drawing is as wide or as high as the image: lost ends seldom make it smaller in both.

    One at which it is many times as large as the image is left out: comparing would take minutes, and cannot help.
    """
    fits = sorted({image.width / ink.shape[1], image.height / ink.shape[0]})
    if fits[-1] > MAX_LARGER * fits[0]:
        return fits[:1]
    return fits if fits[-1] > SAME_SCALE * fits[0] else fits[-1:]


def _laid(image: PreparedImage, ink: Ink, position: Placement) -> Ink:
    """The drawing (H, W) at its position."""
    scaled = _scaled(np.ascontiguousarray(np.rot90(ink, position.num_turns)), position.scale)
    shift = np.array([[1, 0, position.left], [0, 1, position.top]], np.float32)
    return _warped(scaled, shift, image.ink.shape)


def _fitted(image: PreparedImage, laid: Ink) -> Ink:
    """A drawing moved, scaled and turned a little, so that it fits best."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, MAX_STEPS, MIN_GAIN)
    seen, drawn = _blurred(image.ink, COARSE_BLUR_PX), _blurred(laid, COARSE_BLUR_PX)
    matrix: Any = np.eye(2, 3, dtype=np.float32)
    try:
        _, matrix = cv2.findTransformECC(seen, drawn, matrix, cv2.MOTION_AFFINE, stop, None, 1)
    except cv2.error:  # it has no answer where the two have nothing in common
        return laid
    return _warped(laid, matrix, laid.shape, cv2.WARP_INVERSE_MAP)


def _ink_of(pixels: NDArray[np.uint8]) -> Ink:
    return (1 - grey_of(pixels) / 255).astype(np.float32)


def _box(ink: Ink) -> Sequence[int]:
    """Left, top, width and height of the ink."""
    return cv2.boundingRect((ink > INK_FROM).astype(np.uint8))


def _cropped(ink: Ink) -> Ink:
    left, top, width, height = _box(ink)
    return ink[top : top + height, left : left + width]


def _warped(ink: Ink, matrix: NDArray[np.float32], shape: tuple[int, ...], flags: int = 0) -> Ink:
    warped: Ink = cv2.warpAffine(ink, matrix, (shape[1], shape[0]), flags=cv2.INTER_LINEAR | flags)
    return warped


def _scaled(ink: Ink, scale: float) -> Ink:
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    scaled: Ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return scaled


def _blurred(ink: Ink, deviation_px: float) -> Ink:
    blurred: Ink = cv2.GaussianBlur(ink, (0, 0), deviation_px)
    return blurred
