"""Bytes of an image to pixels, or the reason why it cannot be read.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB.
"""

import io
import itertools
import warnings
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from lib.errors import CorruptImageError
from lib.images.paper import darkest_channel, on_contrasting_paper
from lib.images.strokes import Pixels
from lib.sections.images import CleaningSettings

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")  # Pillow knows others, some of which run programs
MAX_SIDE_PX = 2**20  # OpenCV reads no longer ones
NEW_SUBFILE_TYPE = 254  # TIFF tag; bit 0 is set in smaller copies of another page


def decode_image(image: bytes, settings: CleaningSettings) -> Pixels:
    """Decode an image of FORMATS; grey is (H, W), rgb is (H, W, 3). Transparent pixels become paper.

    The header is read first, so that an image too large for memory is rejected before it is unpacked. Raises
    CorruptImageError.
    """
    if not image:
        raise CorruptImageError("empty_file", "the file has no bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes that we check ourselves on the next lines
            Image.MAX_IMAGE_PIXELS = None
            with Image.open(io.BytesIO(image), formats=FORMATS) as header:
                width, height, file_format = header.width, header.height, header.format
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError) as error:
        raise CorruptImageError("not_an_image", f"begins with {image[:8]!r} ({type(error).__name__})") from None
    if width * height > settings.max_pixels or max(width, height) > MAX_SIDE_PX:
        detail = f"{width} x {height} pixels; at most {settings.max_pixels:,} are read, {MAX_SIDE_PX:,} a side"
        raise CorruptImageError("too_many_pixels", detail)
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as opened:
            opened.load()  # strict about truncation, where OpenCV fills the rest with black
            has_more = _has_more_pages(opened)
    except Exception as error:  # a damaged file may fail anywhere inside a codec
        raise CorruptImageError("corrupt_image", f"{file_format}, {width} x {height}: {error}") from None
    if has_more:
        raise CorruptImageError("many_pages", f"{file_format} of several images: save each as a file of its own")
    return _as_pixels(image, settings, file_format)


def _has_more_pages(image: Image.Image) -> bool:
    """Whether a file holds more than one image. A camera's JPEG may, but the others are its previews."""
    if image.format != "TIFF":
        return image.format in FORMATS and getattr(image, "is_animated", False)
    for page in itertools.count(1):
        try:
            image.seek(page)
        except EOFError:
            return False
        if not image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1:  # type: ignore[attr-defined]
            return True
    raise AssertionError


def _as_pixels(image: bytes, settings: CleaningSettings, file_format: str | None) -> Pixels:
    buffer = np.frombuffer(image, np.uint8)
    pixels = decoded(buffer, cv2.IMREAD_UNCHANGED, file_format)
    if pixels.dtype not in (np.uint8, np.uint16):
        detail = f"{file_format} with pixels of {pixels.dtype}: save it with 8 or 16 bits"
        raise CorruptImageError("unsupported_format", detail)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        most = np.iinfo(pixels.dtype).max
        alpha = pixels[..., 3:].astype(np.float32) / most
        if settings.is_normalised:
            pixels = on_contrasting_paper((pixels[..., :3] / (most / 255)).astype(np.uint8), alpha)
        else:
            pixels = (pixels[..., :3] * alpha + most * (1 - alpha)).astype(pixels.dtype)
    else:  # read again so that a JPEG's orientation is obeyed, which UNCHANGED ignores
        pixels = decoded(buffer, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR, file_format)
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(pixels, alpha=1 / 257)  # white is 65,535, whatever the lightest pixel is
    is_grey = pixels.ndim == 2 or pixels.shape[2] == 1
    if settings.color == "grey":
        to_grey = darkest_channel if settings.is_normalised else _grey_of_bgr
        return pixels.reshape(pixels.shape[:2]) if is_grey else to_grey(pixels)
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB if is_grey else cv2.COLOR_BGR2RGB)


def decoded(buffer: Pixels, flags: int, file_format: str | None) -> Any:
    """What OpenCV reads in an image file's bytes. Raises CorruptImageError if it cannot."""
    try:
        pixels = cv2.imdecode(buffer, flags)
    except cv2.error as error:
        raise CorruptImageError("corrupt_image", f"{file_format}: {error.err}") from None
    if pixels is None:
        raise CorruptImageError("corrupt_image", f"{file_format}: OpenCV cannot decode it")
    return pixels


def _grey_of_bgr(pixels: Pixels) -> Pixels:
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
