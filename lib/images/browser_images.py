"""Images as files that a browser shows, whatever they are stored as."""

import base64
from typing import NamedTuple

import cv2
import numpy as np

from lib.images.cleaning import encode_png
from lib.images.decoding import decode_image
from lib.images.strokes import Pixels
from lib.sections.images import CleaningSettings

SHOWN_AS_THEY_ARE = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
# Letters in colour keep their edges: colours have as many pixels as brightness.
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 85, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


class ImageFile(NamedTuple):
    """An image's bytes and their media type."""

    content: bytes
    media_type: str


def as_data_uri(file: ImageFile) -> str:
    """The file inside the address that it is shown by."""
    return f"data:{file.media_type};base64,{base64.b64encode(file.content).decode()}"


def as_browsers_show(image: bytes, cleaning: CleaningSettings) -> ImageFile:
    """PNG, JPEG and GIF as they are, other images as PNG. Raises CorruptImageError."""
    for beginning, media_type in SHOWN_AS_THEY_ARE.items():
        if image.startswith(beginning):
            return ImageFile(image, media_type)
    return ImageFile(encode_png(_in_colour(image, cleaning)), "image/png")


def thumbnail(image: bytes, cleaning: CleaningSettings, max_width_px: int, max_height_px: int) -> ImageFile:
    """An image no larger than that: PNG if it is grey, JPEG if it has colours. Raises CorruptImageError."""
    pixels = _in_colour(image, cleaning)
    height, width = pixels.shape[:2]
    scale = min(max_width_px / width, max_height_px / height, 1.0)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if np.array_equal(small.min(axis=2), small.max(axis=2)):
        return ImageFile(encode_png(small[..., 0]), "image/png")
    return ImageFile(cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), JPEG)[1].tobytes(), "image/jpeg")


def _in_colour(image: bytes, cleaning: CleaningSettings) -> Pixels:
    """The pixels (H, W, 3) of an image as it arrived. Raises CorruptImageError."""
    return decode_image(image, cleaning.model_copy(update={"color": "rgb", "is_normalised": False}))
