"""Images that strangers may send: cut, damaged, absurd, and legal ones of every format, each with what is right."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

READ = "read"
DAMAGED = frozenset({"not_an_image", "corrupt_image", "empty_file"})
# What a changed bit may make of an image: another legal image, of another size or kind, or none.
ANYTHING = DAMAGED | {READ, "too_many_pixels", "blank_image", "no_drawing", "unsupported_format", "many_pages"}
CUT_EVERY_BYTES = 64
NUM_FLIPS = 40
TIFF_LONG, TIFF_SHORT = 4, 3


class HostileFile(NamedTuple):
    """A file for the landing zone; `outcomes` has, by image_id, READ or the reasons that are right.

    With `may_lack`, ids may be missing from what is found (an archive that is cut), but no others may be there.
    """

    name: str
    content: bytes
    outcomes: dict[str, frozenset[str]]
    may_lack: bool = False


def drawing(side_px: int = 90, seed: int = 0) -> Image.Image:
    """An image that cleaning takes for a drawing: black strokes on white paper."""
    lots = random.Random(seed)
    image = Image.new("L", (side_px * 2, side_px), 255)
    pen = ImageDraw.Draw(image)
    points = [(10 + 25 * i, lots.randrange(15, side_px - 15)) for i in range((side_px * 2 - 20) // 25)]
    pen.line(points, 0, 2)
    for x, y in points[1::2]:
        pen.line((x, y, x + 12, (y + 40) % side_px), 0, 2)
    return image


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """An image as a file of this format."""
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def legal_images() -> dict[str, bytes]:
    """The drawing in every format and kind of pixel that is read, by file name."""
    grey = drawing()
    ink_alone = Image.merge("LA", [Image.new("L", grey.size), grey.point(lambda level: 255 - level)])
    images = {
        "grey.png": encoded(grey, "PNG"),
        "grey.jpg": encoded(grey, "JPEG", quality=95),
        "grey.tif": encoded(grey, "TIFF"),
        "grey.bmp": encoded(grey, "BMP"),
        "grey.gif": encoded(grey, "GIF"),
        "grey.webp": encoded(grey, "WEBP", lossless=True),
        "rgb.png": encoded(grey.convert("RGB"), "PNG"),
        "palette.png": encoded(grey.convert("P"), "PNG"),
        "bits.png": encoded(grey.convert("1"), "PNG"),
        "alpha.png": encoded(grey.convert("RGBA"), "PNG"),
        "grey_alpha.png": encoded(grey.convert("LA"), "PNG"),
        "g4.tif": encoded(grey.convert("1"), "TIFF", compression="group4"),
        "lzw.tif": encoded(grey, "TIFF", compression="tiff_lzw"),
        "cmyk.jpg": encoded(grey.convert("CMYK"), "JPEG"),
        "progressive.jpg": encoded(grey, "JPEG", progressive=True),
        "grey_alpha.tif": encoded(ink_alone, "TIFF"),
        "zstd.tif": encoded(grey, "TIFF", compression="zstd"),
        "color_key.png": encoded(grey.point(lambda level: level // 128), "PNG", transparency=1),
    }
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return images | {"deep.png": encoded(deep, "PNG"), "deep.tif": encoded(deep, "TIFF")}


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, with right checksums."""
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        content += struct.pack(">L", len(data)) + kind + data + struct.pack(">L", zlib.crc32(kind + data))
    return content


def png_header(width: int, height: int, depth: int = 8, color: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">LLBBBBB", width, height, depth, color, 0, 0, 0)


def tiff(next_directory: int, **changes: int) -> bytes:
    """A TIFF of 8 x 8 grey pixels whose tags are changed and whose directory names the next one."""
    tags = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 8, 279: 64}
    tags |= {int(name.removeprefix("tag")): value for name, value in changes.items()}
    content = struct.pack("<2sHLH", b"II", 42, 8, len(tags))
    for tag, value in sorted(tags.items()):
        content += struct.pack("<HHLL", tag, TIFF_LONG if tag in (256, 257, 273, 279) else TIFF_SHORT, 1, value)
    return (content + struct.pack("<L", next_directory)).ljust(200, b"\0") + bytes(range(0, 256, 4))


def absurd_images() -> dict[str, tuple[bytes, frozenset[str]]]:
    """Images whose headers promise what nobody should believe, and bombs."""
    zeros = zlib.compress(bytes(2**26), 9)
    whole = encoded(drawing(), "PNG")
    at = whole.index(b"IDAT") - 4
    jpeg = bytearray(encoded(drawing(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    pages = encoded(drawing(), "TIFF", save_all=True, append_images=[drawing(seed=1)])
    frames = encoded(drawing(), "GIF", save_all=True, append_images=[drawing(seed=1)])
    large, none = frozenset({"too_many_pixels"}), frozenset({"empty_file"})
    unread = frozenset({"unsupported_format"})
    text = frozenset({READ}) | DAMAGED
    return {
        "empty.png": (b"", none),
        "one_byte.png": (b"\x89", DAMAGED),
        "text.png": (b"I am a text", DAMAGED),
        "nulls.png": (bytes(4096), DAMAGED),
        "html.jpg": (b"<!DOCTYPE html><title>404</title>", DAMAGED),
        "eps.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", unread),
        "pdf.png": (encoded(drawing(), "PDF"), unread),
        "heic.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), unread),
        "wide.png": (png(png_header(2**31 - 1, 1), (b"IDAT", zeros), (b"IEND", b"")), large | DAMAGED),
        "huge.png": (png(png_header(60_000, 60_000), (b"IDAT", zeros), (b"IEND", b"")), large),
        "no_pixels.png": (png(png_header(0, 0), (b"IEND", b"")), DAMAGED),
        "no_data.png": (png(png_header(8, 8), (b"IEND", b"")), DAMAGED),
        "too_much_data.png": (png(png_header(8, 8), (b"IDAT", zeros), (b"IEND", b"")), DAMAGED | {"blank_image"}),
        "depth.png": (png(png_header(8, 8, 77, 9), (b"IDAT", zeros), (b"IEND", b"")), DAMAGED),
        "text_bomb.png": (whole[:at] + png((b"zTXt", b"a\0\0" + zeros))[8:] + whole[at:], text),
        "profile_bomb.png": (whole[:at] + png((b"iCCP", b"a\0\0" + zeros))[8:] + whole[at:], text),
        "many_chunks.png": (whole[:at] + png(*[(b"tEXt", b"a\0b")] * 50_000)[8:] + whole[at:], text),
        "huge.jpg": (bytes(jpeg), large),
        "pages.tif": (pages, frozenset({"many_pages"})),
        "frames.gif": (frames, frozenset({"many_pages"})),
        "loop.tif": (tiff(8), ANYTHING),
        "beyond.tif": (tiff(2**31), ANYTHING - {READ}),
        "huge.tif": (tiff(0, tag256=2**31, tag257=2**31), large | DAMAGED),
        "far_strip.tif": (tiff(0, tag273=2**32 - 1), DAMAGED),
        "long_strip.tif": (tiff(0, tag279=2**32 - 1), DAMAGED | {"blank_image", "no_drawing"}),
        "long.tif": (tiff(0, tag256=1_100_000, tag257=1), large),
        "samples.tif": (tiff(0, tag277=60_000), DAMAGED | {"unsupported_format"}),
        "large_blank.png": (encoded(Image.new("L", (3999, 4000), 255), "PNG"), frozenset({"blank_image"})),
        "one_pixel.png": (encoded(Image.new("L", (1, 1)), "PNG"), frozenset({"blank_image", "no_drawing"})),
        "line.png": (encoded(Image.new("L", (100_000, 1)), "PNG"), frozenset({"blank_image", "no_drawing"})),
    }


def hostile_images(seed: int = 0) -> Iterator[HostileFile]:
    """Legal images, each cut at every 64th byte and with bits flipped, and absurd ones."""
    lots = random.Random(seed)
    legal = legal_images()
    for name, content in legal.items():
        yield _image("legal", name, content, frozenset({READ}))
    for name in [name for name in legal if name.startswith("grey.")]:
        content = legal[name]
        step = max(CUT_EVERY_BYTES, len(content) // 60 // CUT_EVERY_BYTES * CUT_EVERY_BYTES)
        for end in range(0, len(content), step):
            # What is cut after the last pixel is still whole.
            is_whole = len(content) - end <= CUT_EVERY_BYTES
            yield _image(f"cut{end}", name, content[:end], DAMAGED | {READ} if is_whole else DAMAGED)
        for turn in range(NUM_FLIPS):
            flipped = bytearray(content)
            for _ in range(lots.choice((1, 1, 4))):
                # Half of them in the header, where they do most.
                at = lots.randrange(min(len(content), lots.choice((100, len(content)))))
                flipped[at] ^= 1 << lots.randrange(8)
            yield _image(f"flip{turn}", name, bytes(flipped), ANYTHING)
    for name, (content, right) in absurd_images().items():
        yield _image("absurd", name, content, right)


def _image(what: str, name: str, content: bytes, right: frozenset[str]) -> HostileFile:
    stem, _, suffix = name.rpartition(".")
    image_id = f"{what}-{stem}-{suffix}"
    return HostileFile(f"{image_id}.{suffix}", content, {image_id: right})
