"""Pictures in, clean pictures out: pure numpy and OpenCV, which knows nothing of Spark.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB; 0 is ink, 255 is paper.
"""

import io
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lib.errors import CorruptImageError
from lib.sections.images import CleaningSettings

Pixels = NDArray[np.uint8]
Transform = NDArray[np.float64]  # (2, 3): [x', y'] = transform @ [x, y, 1]

INK_BELOW = 128  # grey level under which a pixel counts as ink
MENDED_FROM = 0.8  # share of a line that must be ink for its middle to become ink

cv2.setNumThreads(1)  # Spark and Ray already run one task per core


@dataclass(frozen=True)
class CleanImage:
    """A cleaned picture and what was done to it; the fields are columns of images_clean."""

    pixels: Pixels
    rotation_deg: int
    num_specks_removed: int
    ink_fraction: float
    transform: Transform


def clean_image(image: bytes, settings: CleaningSettings) -> CleanImage:
    """Decode a picture and clean it. Raises CorruptImageError with a reason of lib.lake.schemas.REJECTION_REASONS."""
    pixels = decode_image(image, settings)
    num_specks = 0
    transform = np.eye(2, 3)
    if settings.speck_max_px:
        pixels, num_specks = remove_specks(pixels, settings.speck_max_px)
    ink_fraction = float(np.mean(pixels < INK_BELOW))
    if not settings.min_ink_fraction <= ink_fraction <= settings.max_ink_fraction:
        raise CorruptImageError("blank_image", f"ink covers {ink_fraction:.5f} of the picture")
    if settings.mend_reach_px:
        pixels = mend_strokes(pixels, settings.mend_reach_px)
    rotation_deg = 0
    if settings.upright == "landscape" and is_sideways(pixels):
        rotation_deg = 90
        pixels, transform = turn_clockwise(pixels, transform)
    if settings.crop_margin_px is not None:
        pixels, transform = crop_to_ink(pixels, transform, settings.crop_margin_px)
    pixels, transform = fit_to_canvas(pixels, transform, settings)
    if settings.sharpen:
        pixels = sharpen(pixels, settings.sharpen)
    return CleanImage(pixels, rotation_deg, num_specks, ink_fraction, transform)


def decode_image(image: bytes, settings: CleaningSettings) -> Pixels:
    """Decode PNG, JPEG or TIFF; grey is (H, W), rgb is (H, W, 3). Transparent pixels become paper.

    The header is read first, so that a picture too large for memory is refused before it is unpacked.
    """
    if not image:
        raise CorruptImageError("empty_file", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that we check ourselves on the next lines
            Image.MAX_IMAGE_PIXELS = None
            with Image.open(io.BytesIO(image)) as header:
                width, height, file_format = header.width, header.height, header.format
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError) as error:
        raise CorruptImageError("not_an_image", f"begins with {image[:8]!r} ({type(error).__name__})") from None
    if width * height > settings.max_pixels:
        detail = f"{width} x {height} pixels; at most {settings.max_pixels:,} are read"
        raise CorruptImageError("too_many_pixels", detail)
    try:
        with Image.open(io.BytesIO(image)) as picture:
            picture.load()  # strict about truncation, where OpenCV fills the rest with black
    except Exception as error:  # a damaged file may fail anywhere inside a codec
        raise CorruptImageError("corrupt_image", f"{file_format}, {width} x {height}: {error}") from None
    return _as_pixels(image, settings.color, file_format)


def _as_pixels(image: bytes, color: str, file_format: str | None) -> Pixels:
    buffer = np.frombuffer(image, np.uint8)
    decoded = _decoded(buffer, cv2.IMREAD_UNCHANGED, file_format)
    if decoded.ndim == 3 and decoded.shape[2] == 4:
        most = np.iinfo(decoded.dtype).max
        alpha = decoded[..., 3:].astype(np.float32) / most
        decoded = (decoded[..., :3] * alpha + most * (1 - alpha)).astype(decoded.dtype)
    else:  # read again so that a JPEG's orientation is obeyed, which UNCHANGED ignores
        decoded = _decoded(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, file_format)
    if decoded.dtype != np.uint8:
        decoded = cv2.normalize(decoded, None, 0, 255, cv2.NORM_MINMAX, cv2.CV_8U)
    is_grey = decoded.ndim == 2 or decoded.shape[2] == 1
    if color == "grey":
        return decoded.reshape(decoded.shape[:2]) if is_grey else cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY)
    return cv2.cvtColor(decoded, cv2.COLOR_GRAY2RGB if is_grey else cv2.COLOR_BGR2RGB)


def _decoded(buffer: Pixels, flags: int, file_format: str | None) -> Any:
    decoded = cv2.imdecode(buffer, flags)
    if decoded is None:
        raise CorruptImageError("corrupt_image", f"{file_format}: OpenCV cannot decode it")
    return decoded


def remove_specks(pixels: Pixels, speck_max_px: int) -> tuple[Pixels, int]:
    """Turn specks to paper: groups of at most `speck_max_px` ink pixels with no other ink two pixels around.

    Strokes of old drawings fall into fragments as small as specks, but the fragments lie close to each other.
    """
    ink = (_grey(pixels) < INK_BELOW).astype(np.uint8)
    near = cv2.dilate(ink, np.ones((3, 3), np.uint8))  # fragments two pixels apart touch after this
    num_labels, labels = cv2.connectedComponents(near, connectivity=8)
    sizes = np.bincount(labels[ink > 0], minlength=num_labels)  # ink pixels per group, before dilation
    is_speck = (sizes <= speck_max_px) & (sizes > 0)
    is_speck[0] = False
    cleaned = pixels.copy()
    cleaned[is_speck[labels] & (ink > 0)] = 255
    return cleaned, int(is_speck.sum())


def mend_strokes(pixels: Pixels, reach_px: int) -> Pixels:
    """Ink the pixels that strokes run through: those with ink on most of a line of `reach_px` pixels to either side.

    Lines in twelve directions are tried. The ends of strokes do not grow and letters do not fill, as they would under a
    morphological closing, because there the ink lies on one side or is too short.
    """
    ink = (pixels < INK_BELOW).astype(np.uint8)
    mended = pixels.copy()
    for line in line_kernels(reach_px):
        support = cv2.filter2D(ink, cv2.CV_8U, line, borderType=cv2.BORDER_CONSTANT)
        mended[support >= math.ceil(MENDED_FROM * int(line.sum()))] = 0
    return mended


@lru_cache
def line_kernels(reach_px: int) -> tuple[NDArray[np.uint8], ...]:
    """Straight lines through the middle of a (2 reach + 1)-sided square, the middle itself left out."""
    kernels = []
    for angle in np.arange(12) * np.pi / 12:
        kernel = np.zeros((2 * reach_px + 1, 2 * reach_px + 1), np.uint8)
        end = np.rint(np.array([np.cos(angle), np.sin(angle)]) * reach_px).astype(int)
        cv2.line(kernel, tuple(reach_px - end), tuple(reach_px + end), 1)
        kernel[reach_px, reach_px] = 0
        kernels.append(kernel)
    return tuple(kernels)


def is_sideways(pixels: Pixels) -> bool:
    """Whether the ink is higher than wide: drawings are laid out to be wider than high."""
    left, top, right, bottom = _ink_box(pixels)
    return (bottom - top) > 1.05 * (right - left)


def turn_clockwise(pixels: Pixels, transform: Transform) -> tuple[Pixels, Transform]:
    """Turn by 90 degrees clockwise: (x, y) goes to (H - 1 - y, x)."""
    turn = np.array([[0.0, -1.0, pixels.shape[0] - 1.0], [1.0, 0.0, 0.0]])
    return np.ascontiguousarray(np.rot90(pixels, k=-1)), _then(transform, turn)


def crop_to_ink(pixels: Pixels, transform: Transform, margin_px: int) -> tuple[Pixels, Transform]:
    """Cut the paper off, leaving up to `margin_px` pixels of it around the ink."""
    left, top, right, bottom = _ink_box(pixels)
    left, top = max(0, left - margin_px), max(0, top - margin_px)
    right, bottom = min(pixels.shape[1], right + margin_px), min(pixels.shape[0], bottom + margin_px)
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top]])
    return pixels[top:bottom, left:right], _then(transform, shift)


def fit_to_canvas(pixels: Pixels, transform: Transform, settings: CleaningSettings) -> tuple[Pixels, Transform]:
    """Scale to fit the canvas, by at most `max_scale`, and centre on paper; the aspect ratio stays.

    With `stroke_length_px` the strokes of every drawing come out equally long, however large it was drawn.
    The sides become multiples of `canvas_step_px`: pictures of few sizes can be batched with their like.
    """
    height, width = pixels.shape[:2]
    scale = min(settings.canvas_width_px / width, settings.canvas_height_px / height, settings.max_scale)
    if settings.stroke_length_px and (length := typical_stroke_length(pixels)):
        scale = min(scale, settings.stroke_length_px / length)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if (new_width, new_height) != (width, height):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (new_width, new_height), interpolation=how)
    step = settings.canvas_step_px
    sheet_height, sheet_width = -(-new_height // step) * step, -(-new_width // step) * step
    left, top = (sheet_width - new_width) // 2, (sheet_height - new_height) // 2
    sheet = np.full((sheet_height, sheet_width, *pixels.shape[2:]), 255, np.uint8)
    sheet[top : top + new_height, left : left + new_width] = pixels
    scale_x, scale_y = new_width / width, new_height / height
    # Pixel centres, not corners, correspond: x' + 0.5 = scale (x + 0.5).
    fit = np.array([
        [scale_x, 0.0, left + 0.5 * scale_x - 0.5],
        [0.0, scale_y, top + 0.5 * scale_y - 0.5],
    ])
    return sheet, _then(transform, fit)


def typical_stroke_length(pixels: Pixels) -> float | None:
    """The length of straight strokes in pixels: half of all their length is in longer ones. None if there are none.

    Found by the line segment detector of Grompone von Gioi et al. (2012), doi 10.5201/ipol.2012.gjmr-lsd.
    """
    lines = cv2.createLineSegmentDetector().detect(cv2.GaussianBlur(_grey(pixels), (0, 0), 0.8))[0]
    if lines is None:
        return None
    ends = lines.reshape(-1, 2, 2)  # (S, 2, 2)
    lengths = np.sort(np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1))
    total = np.cumsum(lengths)
    return float(lengths[np.searchsorted(total, total[-1] / 2)])


def sharpen(pixels: Pixels, strength: float) -> Pixels:
    """Unsharp mask: add `strength` times the difference from a blur of one pixel."""
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    return cv2.addWeighted(pixels, 1 + strength, blurred, -strength, 0)


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of grey or RGB pixels."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    is_written, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not is_written:
        raise CorruptImageError("corrupt_image", "OpenCV cannot encode the cleaned picture")
    return png.tobytes()


def decode_png(png: bytes) -> Pixels:
    """Pixels of a PNG that `encode_png` wrote: (H, W) grey or (H, W, 3) RGB."""
    pixels = _decoded(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED, "PNG")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels


def _grey(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) if pixels.ndim == 3 else pixels


def _ink_box(pixels: Pixels) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) around the ink, right and bottom exclusive; the whole picture if there is none."""
    ink = _grey(pixels) < INK_BELOW
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return 0, 0, pixels.shape[1], pixels.shape[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _then(first: Transform, second: Transform) -> Transform:
    """The transform that does `first`, then `second`."""
    return second @ np.vstack([first, [0.0, 0.0, 1.0]])
