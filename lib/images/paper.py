"""Paper of any shade and ink of any colour to black on white; the first step of cleaning a drawing.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB, of any ink and paper; results are (H, W), 0 is ink, 255 is paper.
Paper is what more than half of an image is.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lib.images.strokes import Pixels, grey_of, typical_stroke_length

MIDDLE = 128  # grey level between ink and paper
SHEER_FRACTION = 0.5  # fraction of opaque pixels below which the opaque pixels are the ink
TINT_FROM, BRIGHT_FROM = 90, 230  # grey levels of the darkest and brightest channel of a pale colour
WIDEST_EDGE_PX = 5  # adjacent pale pixels; the edges of coloured strokes have fewer
PAPER_CELLS = 64  # cells along the longer side; the paper's level is measured in each
MIN_CELL_PX = 8
CLEARLY = 2.0  # times as much of light ink as of dark, or the other way round, to tell by it
POLARITY_PX = 512  # longer side at which it is judged whether ink is light or dark
INK_CELLS_APART = 3  # side in cells of the square whose median is taken for paper there
INK_CELLS = 5  # side in cells of the square that must hold some paper
DARKEST_PAPER = 0.4  # times the usual paper's level; darker cells are not paper, unless no other paper is near
EVEN_WITHIN, MOSTLY = 0.1, 0.5  # even paper: deviation from the usual level, and fraction of cells within it
EDGE_FROM = 0.15  # times the usual paper's level; a larger step over two cells is an edge of the paper
# A desk under a page: its level at most, times the page's; its part of the image; greatest step within the page, times
# that of an edge.
DESK_BELOW, DESK_FRACTION, EDGE_IN_PAGE = 0.75, (0.05, 0.7), 1.5
NEAR_WHITE = 24  # grey levels below the paper's level that still count as paper
NOISE_WIDTHS = 4.0  # standard deviations of the paper's noise that still count as paper
MAX_NOISE = 0.43  # times the paper's level; what spreads the paper's levels further is no noise but lines or a desk
FULL_INK_FRACTION = 0.05  # fraction of the ink pixels that become fully black
FAINT_FROM = 140  # grey level from which ink is faint; a one-pixel stroke on the border of two pixels is darker
FAINT_REACH_PX = 2  # faint ink this close to darker ink is its edge
FAINT_FRACTION = 0.03  # times the darker ink pixels; with fewer faint pixels nothing is removed
FAINT_WORD = 0.15  # stroke lengths; pieces of faint ink closer than this belong together
FAINT_LENGTH = 1.5  # stroke lengths; smaller faint pieces stay: they may be a pale label with half its bond
FAINT_QUANTILE, FAINT_SPREAD = 0.1, 10  # ink from this quantile of the faint grey levels, less the spread, is removed
MIN_CONTRAST = 1.5  # times the levels that count as paper; images with less contrast are blank
MIN_CONTRAST_OF_MOST = 2.2  # the same where the levels that count as paper are the most there may be


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
    """Colours (H, W, 3) to grey (H, W), in which ink of any colour is dark; dark paper with light ink is inverted.

    Paper is looked for in each channel: a patch of colour, as a highlighter leaves, is paper of that colour.
    """
    if has_light_ink(grey_of(pixels)):
        pixels = 255 - pixels
    channels = _with_paper(cv2.split(pixels))
    if all(np.array_equal(channels[0], channel) for channel in channels[1:]):
        return channels[0]
    if all(_is_mostly_even(channel) for channel in channels):  # not so in a photograph
        channels = [divide_by_paper(channel) for channel in channels]
    first, second, third = channels
    darkest: Pixels = cv2.min(cv2.min(first, second), third)
    brightest = cv2.max(cv2.max(first, second), third)
    is_tint = ((darkest >= TINT_FROM) & (darkest < 255) & (brightest >= BRIGHT_FROM)).astype(np.uint8)
    if cv2.erode(is_tint, np.ones((WIDEST_EDGE_PX, WIDEST_EDGE_PX), np.uint8)).any():
        darkest[is_tint > 0] = 255  # discs and bands behind atoms and bonds
    return darkest


def normalise(pixels: Pixels) -> Pixels:
    """Grey pixels (H, W) with the paper at 255 and the ink at 0, without the paper's noise; edges of strokes stay grey.

    An image in which nothing stands out from the paper becomes white.
    """
    if has_light_ink(pixels):
        pixels = 255 - pixels
    if is_black_on_white(pixels):
        return pixels
    return without_faint_structures(stretch(divide_by_paper(pixels)))


def has_light_ink(pixels: Pixels) -> bool:
    """Whether what stands out of the paper around it, by the squares of differences, is lighter; grey (H, W).

    Where there is about as much of either, as in a photograph, the paper's shade decides.
    """
    usual = _quantile(_histogram(pixels), 0.5)
    if usual in (0, 255):  # nothing is darker, or lighter
        return usual == 0
    factor = min(1.0, POLARITY_PX / max(pixels.shape))
    pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    around = cv2.medianBlur(pixels, INK_CELLS_APART * MIN_CELL_PX | 1)  # with a middle
    light, dark = (
        float(np.square(part, dtype=np.float32).sum())
        for part in (cv2.subtract(pixels, around), cv2.subtract(around, pixels))
    )
    if max(light, dark) < CLEARLY * min(light, dark):
        return usual < MIDDLE
    return light > dark


def _with_paper(channels: Sequence[Pixels]) -> Sequence[Pixels]:
    """Three channels, some of them repeated, without those in which the paper is about as dark as ink."""
    light = [channel for channel in channels if np.median(channel) >= MIDDLE / 2] or list(channels)
    return (light * 3)[:3] if len(light) < 3 else light


def divide_by_paper(pixels: Pixels) -> Pixels:
    """Divide by the local level of the paper, which removes shading and areas that are dark over whole cells."""
    height, width = pixels.shape
    paper, cell = _paper_of(pixels)
    usual = int(np.median(paper))
    if paper.min() >= 255:
        return pixels
    has_edges = _steepest(paper) > EDGE_FROM * usual
    page_and_desk = _page_and_desk(paper, usual) if has_edges else None
    if page_and_desk is not None:
        page, desk = page_and_desk
        on_page: Pixels = cv2.divide(pixels, _in_pixels(page, pixels.shape), scale=255)
        on_page[cv2.resize(desk, (width, height), interpolation=cv2.INTER_NEAREST) > 0] = 255
        return on_page
    if has_edges:
        square = np.ones((INK_CELLS * cell | 1,) * 2, np.uint8)  # with a middle, or edges would move
        levels = cv2.morphologyEx(pixels, cv2.MORPH_CLOSE, square)
        without_noise = cv2.morphologyEx(cv2.blur(pixels, (3, 3)), cv2.MORPH_CLOSE, square)
        levels[without_noise < DARKEST_PAPER * usual] = 0
    else:
        levels = _in_pixels(paper, pixels.shape)
    divided: Pixels = cv2.divide(pixels, levels, scale=255)
    divided[levels < DARKEST_PAPER * usual] = 255
    return divided


def _in_pixels(paper: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The level of the paper at each pixel (H, W), of those of cells (h, w)."""
    return cv2.resize(cv2.blur(paper, (3, 3)), shape[::-1], interpolation=cv2.INTER_LINEAR)


def _page_and_desk(paper: Pixels, usual: int) -> tuple[Pixels, NDArray[np.uint8]] | None:
    """The levels (h, w) of a page, as if it went on where a darker desk is, and 1 where that is; None without a desk.

    A desk reaches the border, with an edge between it and the page. `usual` is the usual level of both.
    """
    at_edges = [
        (one // 2 + other // 2)[cv2.absdiff(one, other) > EDGE_FROM * usual] for one, other in _two_cells_apart(paper)
    ]
    level = min(float(np.median(np.concatenate(at_edges))), DESK_BELOW * usual)
    from_border = np.pad((paper < level).astype(np.uint8), 1, constant_values=1)
    cv2.floodFill(from_border, None, (0, 0), 2)
    desk = (from_border[1:-1, 1:-1] == 2).astype(np.uint8)
    if not DESK_FRACTION[0] < desk.mean() < DESK_FRACTION[1]:
        return None
    desk = cv2.dilate(desk, np.ones((3, 3), np.uint8))
    page = cv2.inpaint(paper, cv2.dilate(desk, np.ones((3, 3), np.uint8)), 3, cv2.INPAINT_TELEA)
    return (page, desk) if _steepest(page) <= EDGE_IN_PAGE * EDGE_FROM * usual else None


def _paper_of(pixels: Pixels) -> tuple[Pixels, int]:
    """The paper's level in each cell (h, w), and a cell's side in pixels."""
    height, width = pixels.shape
    cell = max(MIN_CELL_PX, max(height, width) // PAPER_CELLS)
    cells = cv2.resize(pixels, (-(-width // cell), -(-height // cell)), interpolation=cv2.INTER_AREA)
    return cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((INK_CELLS, INK_CELLS), np.uint8)), cell


def _is_mostly_even(pixels: Pixels) -> bool:
    paper = _paper_of(pixels)[0].astype(np.float32)
    usual = float(np.median(paper))
    return float(np.mean(np.abs(paper - usual) <= EVEN_WITHIN * usual)) >= MOSTLY


def _steepest(paper: Pixels) -> int:
    """The greatest difference of levels (h, w) over two cells, down or across."""
    return max((int(cv2.absdiff(*pair).max()) for pair in _two_cells_apart(paper)), default=0)


def _two_cells_apart(paper: Pixels) -> list[tuple[Pixels, Pixels]]:
    """Levels (h, w) and those two cells further, down and across, as far as there are any."""
    pairs = (paper[:-2], paper[2:]), (paper[:, :-2], paper[:, 2:])
    return [pair for pair in pairs if pair[0].size]


def stretch(pixels: Pixels) -> Pixels:
    """Near-white to white and pale ink to black, by what the levels of the whole image say of its noise and ink."""
    levels = _histogram(pixels)
    # Of noise about the paper's level the sixth of the paper's pixels that is darkest lies a deviation below it.
    paper = np.where(np.arange(256) >= MIDDLE, levels, 0)
    middle, low = _quantile(paper, 0.5), _quantile(paper, 0.159)
    noise, most = max(NEAR_WHITE, NOISE_WIDTHS * (middle - low)), MAX_NOISE * middle
    near_white, contrast = (noise, MIN_CONTRAST) if noise <= most else (most, MIN_CONTRAST_OF_MOST)
    is_ink = np.arange(256) < middle - near_white
    if not (levels * is_ink).any():
        return np.full_like(pixels, 255)
    black = _quantile(levels * is_ink, FULL_INK_FRACTION)
    if middle - black < contrast * near_white:
        return np.full_like(pixels, 255)
    shades = 255 * (np.arange(256) - black) / (middle - black)
    shades[~is_ink] = 255
    stretched: Pixels = cv2.LUT(pixels, shades.clip(0, 255).astype(np.uint8))
    return stretched


def without_faint_structures(pixels: Pixels) -> Pixels:
    """Black ink on white paper (H, W) without faint ink apart from it that is longer than strokes are.

    That is ruled and squared paper, watermarks, and what shines through from the back.
    """
    dark = (pixels < FAINT_FROM).astype(np.uint8)
    side = 2 * FAINT_REACH_PX + 1
    is_apart = ((pixels < 255) & (cv2.dilate(dark, np.ones((side, side), np.uint8)) == 0)).astype(np.uint8)
    if np.count_nonzero(is_apart) <= FAINT_FRACTION * np.count_nonzero(dark):
        return pixels
    length = typical_stroke_length(np.where(dark > 0, pixels, 255).astype(np.uint8))
    if length is None:
        return pixels
    side = 2 * round(FAINT_WORD * length / 2) + 1
    near = cv2.dilate(is_apart, np.ones((side, side), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    is_large = stats[:, 2:4].max(axis=1) - (side - 1) > FAINT_LENGTH * length
    is_large[0] = False
    faint = pixels[(is_apart > 0) & is_large[labels]]
    if not faint.size:
        return pixels
    # Strokes cut ruled lines into short ones, with ends beside the strokes.
    left: Pixels = np.where(pixels >= np.quantile(faint, FAINT_QUANTILE) - FAINT_SPREAD, 255, pixels).astype(np.uint8)
    return left


def _histogram(pixels: Pixels) -> NDArray[np.float32]:
    counts: NDArray[np.float32] = cv2.calcHist([pixels], [0], None, [256], [0, 256]).ravel()
    return counts


def _quantile(levels: NDArray[np.float32], fraction: float) -> int:
    """The grey level under or at which that fraction of the counted pixels lies."""
    total = np.cumsum(levels)
    return int(np.searchsorted(total, fraction * total[-1]))
