"""Bytes of an image to pixels, or the reason why it cannot be read.

Pixels are uint8, (H, W) grey or (H, W, 3) RGB.
"""

import io
import numbers
import re
import warnings

import cv2
import numpy as np
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from lib.errors import CorruptImageError
from lib.images.file_kinds import reason_of_unopened
from lib.images.geometry import Transform, enlarging
from lib.images.page_marks import without_page_marks
from lib.images.paper import darkest_channel, on_contrasting_paper
from lib.images.strokes import Pixels, grey_of
from lib.sections.images import IMAGE_FORMATS, CleaningSettings

MAX_PIXELS_IN_COLOUR = 16_000_000  # of an rgb image in memory; larger ones are reduced
MAX_SIDE_PX = 2**20  # OpenCV takes no longer ones
DAMAGE_TO_HEADER = (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError)

MAX_SCANS = 200  # of a JPEG; programs write about ten, and each is a pass over all pixels
MAX_SMALLER_COPIES = 100  # in a TIFF; each half as large as the one before, there are about ten
JPEG_SEGMENT = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # the markers that a length follows, and the end
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"

# TIFF tags, and values of some
NEW_SUBFILE_TYPE = 254  # bit 0 is set in smaller copies of another page, bit 2 in masks of one
BITS_PER_SAMPLE = 258
COMPRESSION, NOT_COMPRESSED = 259, 1
PHOTOMETRIC_INTERPRETATION = 262
WHITE_IS_ZERO = 0
PLANAR_CONFIGURATION, SEPARATE_PLANES = 284, 2
COLOUR_MAP = 320
SAMPLE_FORMAT, SIGNED = 339, 2
X_RESOLUTION = 282  # pixels a unit, which is the same of both
Y_RESOLUTION = 283

SQUARE_UP_TO = 1.1  # resolution along one side over that along the other; faxes have 2.1, 1.04 or 0.5
BELIEVED_UP_TO = 4.0  # no device has more

# Drawing programs keep their documents in the text of a PNG. Pillow refuses more than 1 MiB.
PngImagePlugin.MAX_TEXT_CHUNK = 2**24  # bytes of one text or colour profile, unpacked
PngImagePlugin.MAX_TEXT_MEMORY = 2**26  # bytes of all texts

KEY_SCALES = {"L;2": 255 / 3, "L;4": 255 / 15, "RGB;16B": 1 / 256}  # of pixels whose bits Pillow makes eight of

ORIENTATION = 0x0112  # EXIF tag
TURNS = {  # what brings pixels of each orientation to the one in which the image is seen
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDES_SWAPPING = (5, 6, 7, 8)


def decode_image(image: bytes, settings: CleaningSettings) -> Pixels:
    """The pixels that `decode_reduced` gives. Raises CorruptImageError."""
    return decode_reduced(image, settings)[0]


def decode_reduced(image: bytes, settings: CleaningSettings) -> tuple[Pixels, Transform]:
    """Decode an image of IMAGE_FORMATS; grey is (H, W), rgb is (H, W, 3). Transparent pixels become paper.

    Sides of rgb images are reduced by a power of two, so that at most MAX_PIXELS_IN_COLOUR are left. Pixels of a TIFF
    that are not square, such as a fax's, are made so along the coarser side. The transform returned is from pixels that
    arrived, turned as their EXIF says, to these. The header is read first, so that an image too large for memory is
    rejected before it is unpacked. Raises CorruptImageError.
    """
    if not image:
        raise CorruptImageError("empty_file", "the file has no bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of sizes, which are checked here, and of what it mends
        Image.MAX_IMAGE_PIXELS = None
        try:
            opened = Image.open(io.BytesIO(image), formats=IMAGE_FORMATS)
        except DAMAGE_TO_HEADER:
            raise CorruptImageError(*reason_of_unopened(image)) from None
        with opened:
            _refuse_misread_tiff(opened)
            file_format, size = opened.format, _size_in_squares(opened)
            width, height = size or opened.size
            if width * height > settings.max_pixels or max(width, height) > MAX_SIDE_PX:
                detail = f"{width} x {height} pixels; at most {settings.max_pixels:,} are read, {MAX_SIDE_PX:,} a side"
                raise CorruptImageError("too_many_pixels", detail)
            if file_format in ("JPEG", "MPO") and _num_scans(image) > MAX_SCANS:
                detail = f"{file_format}, {width} x {height}: more than {MAX_SCANS} scans"
                raise CorruptImageError("corrupt_image", detail)
            factor = _reduction(width, height) if settings.color == "rgb" else 1
            scales = (width / opened.width / factor, height / opened.height / factor)
            try:
                if factor > 1:
                    opened.draft(None, (width // factor, height // factor))  # JPEG is decoded at a fraction of its size
                _scale_colour_key(opened)
                frame = opened.tile[0].extents if file_format == "GIF" and opened.tile else None
                opened.load()
                pixels = _as_pixels(opened, size, settings, frame)
                has_more = _has_more_pages(opened)
            except CorruptImageError:
                raise
            except MemoryError:
                raise CorruptImageError("out_of_memory", "decoding it needs more memory than there is") from None
            except Exception as error:  # a damaged file may fail anywhere inside a codec
                raise CorruptImageError("corrupt_image", f"{file_format}, {width} x {height}: {error}") from None
    if has_more:
        raise CorruptImageError("many_pages", f"{file_format} of several images: save each as a file of its own")
    return pixels, enlarging(*scales)


def _refuse_misread_tiff(image: Image.Image) -> None:
    """Raise CorruptImageError for a TIFF that Pillow would read as other pixels than it holds."""
    if image.format != "TIFF":
        return
    tags = image.tag_v2  # type: ignore[attr-defined]
    if tags.get(SAMPLE_FORMAT) == (SIGNED,):
        raise CorruptImageError("unsupported_format", "a TIFF of signed numbers: save it as PNG")
    has_planes = tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES and len(tags.get(BITS_PER_SAMPLE, ())) > 1
    if has_planes and tags.get(COMPRESSION, NOT_COMPRESSED) == NOT_COMPRESSED and max(tags[BITS_PER_SAMPLE]) > 8:
        detail = "a TIFF of 16 bits whose colours lie in separate planes, not compressed: save it as PNG"
        raise CorruptImageError("unsupported_format", detail)


def _with_bright_palette(image: Image.Image) -> Image.Image:
    """A TIFF's palette as old programs write it: with levels of 8 bits where 16 belong, so that all would be black."""
    levels = image.tag_v2.get(COLOUR_MAP) if image.format == "TIFF" and image.mode == "P" else None  # type: ignore[attr-defined]
    if levels and max(levels) < 256:
        image.putpalette(np.array(levels, np.uint8).reshape(3, -1).T.tobytes())
    return image


def _size_in_squares(image: Image.Image) -> tuple[int, int] | None:
    """Width and height of a TIFF once its pixels are square; None if they are.

    A resolution that no device has is not believed. Pillow turns a TIFF as it is loaded, and gives the sides so before.
    """
    if image.format != "TIFF":
        return None
    tags = image.tag_v2  # type: ignore[attr-defined]
    resolutions = (tags.get(tag) for tag in (X_RESOLUTION, Y_RESOLUTION))
    across, down = (float(number) if isinstance(number, numbers.Real) else 0.0 for number in resolutions)
    if not (across > 0 and down > 0):
        return None
    if tags.get(ORIENTATION) in SIDES_SWAPPING:
        across, down = down, across
    finest = max(across, down)
    if not SQUARE_UP_TO < finest / min(across, down) <= BELIEVED_UP_TO:
        return None
    return round(image.width * finest / across), round(image.height * finest / down)


def _reduction(width: int, height: int) -> int:
    """The least power of two by which both sides are reduced to at most MAX_PIXELS_IN_COLOUR."""
    factor = 1
    while -(-width // factor) * -(-height // factor) > MAX_PIXELS_IN_COLOUR:
        factor *= 2
    return factor


def _num_scans(jpeg: bytes) -> int:
    """The scans of the first image of a JPEG, counted segment by segment: previews and comments may hold any bytes."""
    num_scans = at = 0
    while (found := JPEG_SEGMENT.search(jpeg, at)) and found.group() != JPEG_END:
        num_scans += found.group() == JPEG_SCAN
        at = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2], "big")
    return num_scans


def _has_more_pages(image: Image.Image) -> bool:
    """Whether a file holds more than one image. A camera's JPEG may, but the others are its previews."""
    if image.format != "TIFF":
        return image.format in IMAGE_FORMATS and getattr(image, "is_animated", False)
    for page in range(1, MAX_SMALLER_COPIES + 1):
        try:
            image.seek(page)
        except EOFError:
            return False
        except SyntaxError:  # pixels of a kind that Pillow does not know
            if image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 4:  # type: ignore[attr-defined]
                raise CorruptImageError(
                    "unsupported_format", "a TIFF with a mask of what is seen: save it as PNG"
                ) from None
            raise
        if not image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1:  # type: ignore[attr-defined]
            return True
    raise CorruptImageError("corrupt_image", f"TIFF with {MAX_SMALLER_COPIES} smaller copies of its page or more")


def _scale_colour_key(image: ImageFile.ImageFile) -> None:
    """Give the transparent colour of a PNG that is not loaded yet in eight bits, if its pixels will be so."""
    key = image.info.get("transparency")
    scale = KEY_SCALES.get(str(image.tile[0].args)) if image.format == "PNG" and image.tile else None
    if key is not None and scale:
        is_grey = isinstance(key, int)
        image.info["transparency"] = int(key * scale) if is_grey else tuple(int(level * scale) for level in key)


def _as_pixels(
    image: Image.Image,
    size: tuple[int, int] | None,
    settings: CleaningSettings,
    frame: tuple[int, int, int, int] | None,
) -> Pixels:
    """The pixels once they are loaded; `frame` is where those of a GIF lie on its canvas, which is empty around it."""
    turn = _turn_of(image)
    image = _with_bright_palette(image)
    if frame and frame != (0, 0, *image.size):
        mode, colour = ("RGBA", (0, 0, 0, 0)) if image.has_transparency_data else ("RGB", (255, 255, 255))
        canvas = Image.new(mode, image.size, colour)
        canvas.paste(image.convert(mode).crop(frame), frame)
        image = canvas
    if image.format == "BMP" and image.mode == "RGBA" and not image.getchannel("A").getextrema()[1]:
        image = image.convert("RGB")  # the fourth byte of many BMP means nothing
    if image.mode.startswith("I;16"):
        image = _in_eight_bits(image)
    elif image.mode in ("I", "F"):
        detail = f"{image.format} with pixels of 32 bits, whose white is not known: save it with 8 or 16 bits"
        raise CorruptImageError("unsupported_format", detail)
    if size:
        image = _with_means(image).resize(size, Image.Resampling.BILINEAR)
    if settings.color == "rgb":
        image = _reduced(image)
    if turn is not None:
        image = image.transpose(turn)
    if image.has_transparency_data:
        pixels = np.asarray(image.convert("RGBA"))
        colours, alpha = pixels[..., :3], np.divide(pixels[..., 3:], 255, dtype=np.float32)
        if settings.is_normalised:
            pixels = on_contrasting_paper(colours, alpha)
        else:
            pixels = (colours * alpha + 255 * (1 - alpha)).astype(np.uint8)
    elif settings.color == "grey" and image.mode in ("1", "L"):
        pixels = np.array(image.convert("L"))
        return without_page_marks(pixels) if settings.is_normalised else pixels
    else:
        pixels = np.array(image.convert("RGB"))
    if settings.color == "rgb":
        return pixels
    return darkest_channel(without_page_marks(pixels)) if settings.is_normalised else grey_of(pixels)


def _reduced(image: Image.Image) -> Image.Image:
    """An image of at most MAX_PIXELS_IN_COLOUR, each the mean of a square of pixels."""
    factor = _reduction(image.width, image.height)
    if factor == 1:
        return image
    return _with_means(image).reduce(factor)


def _with_means(image: Image.Image) -> Image.Image:
    """An image whose numbers have means, as those of palettes, of two levels and of a transparent colour have not."""
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB") if image.mode in ("1", "P") else image


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 9 to 16 bits in 8. White is the largest number, whatever the lightest pixel is."""
    tags = image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]
    num_bits = tags.get(BITS_PER_SAMPLE, (16,))[0]
    numbers = np.asarray(image, np.uint16)
    pixels = cv2.convertScaleAbs(numbers, alpha=255 / (2**num_bits - 1))
    grey = Image.fromarray(255 - pixels if tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO else pixels)
    if "transparency" not in image.info:
        return grey
    is_seen = numbers != image.info["transparency"]
    return Image.merge("LA", (grey, Image.fromarray(is_seen * np.uint8(255))))


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    """The transposition that the image's EXIF orientation asks for; none if these data are damaged."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # whatever an EXIF reader makes of damaged bytes
        return None
