"""Images in, clean images out: pure numpy and OpenCV, which knows nothing of Spark.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB; 0 is ink, 255 is paper.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from lib.errors import CorruptImageError
from lib.images.atom_numbers import without_atom_numbers
from lib.images.decoding import decode_reduced
from lib.images.geometry import Transform, crop_to_ink, enlarging, ink_box, is_sideways, then, turn_clockwise
from lib.images.hashes import sparser_hashes_and_length
from lib.images.paper import normalise
from lib.images.small_letters import with_larger_letters
from lib.images.stray_ink import ink_groups, is_in_pieces, is_lone_shape, long_lines, words_apart
from lib.images.strokes import INK_BELOW, Pixels, grey_of, stroke_width, typical_stroke_length
from lib.images.thinning import thin_if_wide
from lib.images.wear_removal import mend_strokes, remove_specks, without_dither
from lib.sections.images import CleaningSettings

MEND_BELOW_PX = 2.2  # width of strokes; wider ones do not fall apart
SMALLEST_DRAWING = 1.1  # stroke lengths; a ring of three has 1.15
LARGER_FROM = 1.1  # times the size of the cleaned image

cv2.setNumThreads(1)  # Spark and Ray already run one task per core


@dataclass(frozen=True)
class CleanImage:
    """A cleaned image and what was done to it; the fields are columns of images_clean."""

    pixels: Pixels
    rotation_deg: int
    num_specks_removed: int
    ink_fraction: float
    transform: Transform
    larger: Pixels | None  # the same image larger, if settings.larger_scale asks for it and it arrived larger


def clean_image(image: bytes, settings: CleaningSettings) -> CleanImage:
    """Decode an image and clean it. Raises CorruptImageError with a reason of lib.lake.schemas.REJECTION_REASONS."""
    try:
        return _cleaned(*decode_reduced(image, settings), settings)
    except cv2.error as error:  # such as sides that OpenCV has no memory or no numbers for
        raise CorruptImageError("corrupt_image", f"OpenCV cannot clean it: {error.err}") from None
    except MemoryError:
        raise CorruptImageError("out_of_memory", "cleaning it needs more memory than there is") from None


def _cleaned(pixels: Pixels, transform: Transform, settings: CleaningSettings) -> CleanImage:
    if settings.is_normalised:
        pixels = without_dither(normalise(pixels))
    pixels, num_specks, num_groups = _without_lines_and_specks(pixels, settings)
    ink_fraction = float(np.mean(pixels < INK_BELOW))
    if not settings.min_ink_fraction <= ink_fraction <= settings.max_ink_fraction:
        raise CorruptImageError("blank_image", f"ink covers {ink_fraction:.5f} of the image")
    if settings.crop_margin_px is not None:
        pixels, transform = crop_to_ink(pixels, transform, settings.crop_margin_px)
    is_worn = bool(settings.mend_reach_px or settings.thin_from) and is_in_pieces(grey_of(pixels))
    pixels, length, has_words = _without_gaps_and_words(pixels, settings, is_worn)
    if settings.thin_from and length and not is_worn:
        pixels, transform = with_larger_letters(pixels, transform, length)
    if settings.crop_margin_px is not None:
        pixels, transform = crop_to_ink(pixels, transform, settings.crop_margin_px)
    if settings.rejects_shapes and (has_words or num_groups < 2):
        _refuse_shapes(pixels, length)
    if settings.thin_from and length:
        if not is_worn:
            pixels, length = sparser_hashes_and_length(pixels, length)
        thinned = thin_if_wide(pixels, length, is_worn, settings)
        factor = thinned.shape[0] / pixels.shape[0]
        pixels, length, transform = thinned, factor * length, then(transform, enlarging(factor, factor))
    rotation_deg = 0
    if settings.upright == "landscape" and is_sideways(pixels):
        rotation_deg = 90
        pixels, transform = turn_clockwise(pixels, transform)
    larger = _made_larger(pixels, settings, length) if settings.larger_scale else None
    pixels, transform = fit_to_canvas(pixels, transform, settings, length)
    if settings.sharpen:
        pixels = sharpen(pixels, settings.sharpen)
    return CleanImage(pixels, rotation_deg, num_specks, ink_fraction, transform, larger)


def _without_lines_and_specks(pixels: Pixels, settings: CleaningSettings) -> tuple[Pixels, int, int]:
    """Pixels without frames, rules and specks, the number of specks, and of groups of ink that are left.

    Wide strokes have large specks.
    """
    if not (settings.longest_line or settings.speck_max_px or settings.rejects_shapes):
        return pixels, 0, 0
    grey = grey_of(pixels)
    width = stroke_width(grey)
    groups = ink_groups(grey, max(1, round(width)))
    if settings.longest_line:
        lines = long_lines(grey, groups, width, settings.longest_line)
        if lines is not None:
            pixels = np.where(lines, 255, pixels).astype(np.uint8)
            width = stroke_width(pixels)
            groups = ink_groups(pixels, max(1, round(width)))
    pixels, num_specks = remove_specks(pixels, int(settings.speck_max_px * max(1.0, width)), groups)
    return pixels, num_specks, int(np.count_nonzero(groups.num_ink)) - num_specks


def _without_gaps_and_words(
    pixels: Pixels, settings: CleaningSettings, is_worn: bool
) -> tuple[Pixels, float | None, bool]:
    """Mended pixels without words that stand apart, the typical length of strokes in pixels, and if there were words.

    The length is None if there are no strokes or no step needs it.
    """
    unmended = pixels
    if is_worn and settings.mend_reach_px and stroke_width(grey_of(pixels)) < MEND_BELOW_PX:
        pixels = mend_strokes(pixels, settings.mend_reach_px)
    needs_length = settings.words_apart_from or settings.rejects_shapes or settings.thin_from
    if not needs_length and settings.stroke_length_px is None:
        return pixels, None, False
    length, has_words = typical_stroke_length(pixels), False
    if settings.words_apart_from and length:
        words = words_apart(pixels, unmended, length, settings.words_apart_from, settings.words_apart_from_if_worn)
        if words is not None:
            pixels = np.where(words, 255, pixels).astype(np.uint8)
            length, has_words = typical_stroke_length(pixels), True
        if length and not is_worn:
            pixels = without_atom_numbers(pixels, length)
    return pixels, length, has_words


def _refuse_shapes(pixels: Pixels, length: float | None) -> None:
    left, top, right, bottom = ink_box(pixels)
    if length and max(right - left, bottom - top) < SMALLEST_DRAWING * length:
        raise CorruptImageError("no_drawing", f"all ink lies within {right - left} x {bottom - top} pixels")
    if is_lone_shape(ink_groups(pixels), stroke_width(pixels), length):
        raise CorruptImageError("no_drawing", "a line, a circle, a frame, a blob or an empty table alone")


def _scale_to_fit(pixels: Pixels, settings: CleaningSettings, length: float | None) -> float:
    height, width = pixels.shape[:2]
    scale = min(settings.canvas_width_px / width, settings.canvas_height_px / height, settings.max_scale)
    if settings.stroke_length_px and length:
        scale = min(scale, settings.stroke_length_px / length)
    return scale


def fit_to_canvas(
    pixels: Pixels, transform: Transform, settings: CleaningSettings, length: float | None = None
) -> tuple[Pixels, Transform]:
    """Scale to fit the canvas, by at most `max_scale`, and centre on paper, or stretch to all of it.

    With `stroke_length_px` the strokes of every drawing, `length` pixels long, come out equally long.
    The sides become multiples of `canvas_step_px`: images of few sizes can be batched with their like.
    """
    height, width = pixels.shape[:2]
    scale = _scale_to_fit(pixels, settings, length)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if not settings.keeps_aspect:
        new_width, new_height = settings.canvas_width_px, settings.canvas_height_px
    if (new_width, new_height) != (width, height):
        # Averaged along a side that is shortened, else stripes would be aliased; not where rounding alone shortens one.
        if not settings.keeps_aspect or (new_width < width and new_height < height):
            shorter = (min(new_width, width), min(new_height, height))
            pixels = cv2.resize(pixels, shorter, interpolation=cv2.INTER_AREA)
        pixels = cv2.resize(pixels, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    step = settings.canvas_step_px
    sheet_height, sheet_width = -(-new_height // step) * step, -(-new_width // step) * step
    left, top = (sheet_width - new_width) // 2, (sheet_height - new_height) // 2
    sheet = np.full((sheet_height, sheet_width, *pixels.shape[2:]), 255, np.uint8)
    sheet[top : top + new_height, left : left + new_width] = pixels
    scale_x, scale_y = new_width / width, new_height / height
    # Pixel centres, not corners, correspond: x' + 0.5 = scale (x + 0.5).
    fit = np.array([[scale_x, 0.0, left + 0.5 * scale_x - 0.5], [0.0, scale_y, top + 0.5 * scale_y - 0.5]])
    return sheet, then(transform, fit)


def _made_larger(pixels: Pixels, settings: CleaningSettings, length: float | None) -> Pixels | None:
    """The image larger than fit_to_canvas makes it; None if that is hardly larger."""
    scale, larger_scale = (_scale_to_fit(pixels, one, length) for one in (settings, settings.larger))
    if larger_scale < LARGER_FROM * scale:
        return None
    larger, _ = fit_to_canvas(pixels, np.eye(2, 3), settings.larger, length)
    return sharpen(larger, settings.sharpen) if settings.sharpen else larger


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
        raise CorruptImageError("corrupt_image", "OpenCV cannot encode the cleaned image")
    return png.tobytes()


def decode_png(png: bytes) -> Pixels:
    """Pixels of a PNG that `encode_png` wrote: (H, W) grey or (H, W, 3) RGB. Raises CorruptImageError."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) if png else None
    if pixels is None:
        raise CorruptImageError("corrupt_image", "a PNG of a cleaned image is damaged")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 else pixels
