"""Formats, depths, pages and sizes of images: `pytest tests/unit/images/test_image_formats.py`."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image
from lib.images.decoding import decode_image
from lib.settings import load_settings

DRAWING = load_settings("molecules", "local").cleaning
PHOTO = load_settings("photos", "local").cleaning
RGB = np.zeros((40, 60, 3), np.uint8)
RGB[:20], RGB[20:, :30], RGB[20:, 30:] = (200, 40, 10), (30, 180, 90), (90, 90, 90)


def saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def reason_of(image: bytes) -> tuple[str, str]:
    with pytest.raises(CorruptImageError) as caught:
        clean_image(image, PHOTO)
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize(
    ("file_format", "tolerance"), [("BMP", 0), ("GIF", 2), ("WEBP", 12), ("TIFF", 0), ("JPEG", 12)]
)
def test_images_of_every_format_that_is_named_are_read(file_format, tolerance):
    pixels = decode_image(saved(Image.fromarray(RGB), file_format), PHOTO)
    assert pixels.shape == RGB.shape
    centres = [(10, 30), (30, 15), (30, 45)]
    assert max(np.abs(pixels[index].astype(int) - RGB[index]).max() for index in centres) <= tolerance


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_photographs_for_print_come_back_in_their_colours(file_format):
    pixels = decode_image(saved(Image.fromarray(RGB).convert("CMYK"), file_format), PHOTO)
    for index in ((10, 30), (30, 15), (30, 45)):
        assert np.abs(pixels[index].astype(int) - RGB[index]).max() <= 2


def test_a_photograph_of_eighty_megapixels_is_refused_undecoded():
    with pytest.raises(CorruptImageError, match="10000 x 8000 pixels; at most 64,000,000 are read") as caught:
        clean_image(saved(Image.new("L", (10_000, 8_000)), "JPEG"), PHOTO)
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize(("file_format", "mode"), [("JPEG", "RGB"), ("MPO", "RGB"), ("PNG", "RGB"), ("PNG", "P")])
def test_a_photograph_of_twenty_four_megapixels_is_halved_and_cleaned_as_a_small_one(file_format, mode):
    large = Image.fromarray(RGB).resize((6000, 4000), Image.Resampling.NEAREST).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image = saved(large, file_format, exif=exif)
    pixels = decode_image(image, PHOTO)
    right = np.rot90(RGB, -1)
    assert pixels.shape == (3000, 2000, 3)
    centres = np.abs(pixels[25::50, 25::50].astype(int) - right)
    assert np.median(centres) <= 2
    cleaned, small = (clean_image(one, PHOTO) for one in (image, saved(Image.fromarray(right), "PNG")))
    assert np.median(np.abs(cleaned.pixels.astype(int) - small.pixels)) <= 2
    # From the pixels that arrived, turned: 4000 x 6000 of them.
    np.testing.assert_allclose(cleaned.transform @ [3999.5, 5999.5, 1], [223.5, 223.5], atol=0.1)


def test_transparency_of_a_large_image_is_paper_when_it_is_halved():
    pixels = np.zeros((4000, 5000, 4), np.uint8)
    pixels[:, 2500:, 3] = 255
    halved = decode_image(saved(Image.fromarray(pixels), "PNG", compress_level=1), PHOTO)
    assert halved.shape == (2000, 2500, 3)
    assert (halved[:, :1240] == 255).all()
    assert (halved[:, 1260:] == 0).all()


def test_a_large_drawing_keeps_its_size():
    asked = DRAWING.model_copy(update={"max_pixels": 20_000_000})
    assert decode_image(saved(Image.new("L", (5000, 4000), 255), "JPEG"), asked).shape == (4000, 5000)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("shape", [(40, 60), (40, 60, 3)])
def test_sixteen_bits_are_scaled_by_their_white_and_not_by_the_lightest_pixel(suffix, shape):
    grey = np.full(shape, 100 * 257, np.uint16)
    grey[:20] = 140 * 257
    image = cv2.imencode(suffix, grey)[1].tobytes()
    pixels = decode_image(image, PHOTO)
    assert set(np.unique(pixels)) == {100, 140}


def test_transparent_sixteen_bit_images_are_read_likewise():
    pixels = np.full((40, 60, 4), 65_535, np.uint16)
    pixels[..., :3] = 100 * 257
    pixels[:20, :, 3] = 0
    shown = decode_image(cv2.imencode(".png", pixels)[1].tobytes(), PHOTO)
    assert (shown[0, 0].tolist(), shown[30, 0].tolist()) == ([255] * 3, [100] * 3)


def test_pixels_that_are_real_numbers_are_refused_for_their_white_is_not_known():
    image = cv2.imencode(".tiff", np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60))[1].tobytes()
    assert reason_of(image) == (
        "unsupported_format",
        "TIFF with pixels of 32 bits, whose white is not known: save it with 8 or 16 bits",
    )


@pytest.mark.parametrize("sample_format", [1, 2])
def test_a_tiff_of_signed_numbers_is_refused_and_not_taken_for_one_of_others(sample_format):
    tags = {256: 60, 257: 40, 258: 8, 259: 1, 262: 1, 273: 200, 277: 1, 278: 40, 279: 2400, 339: sample_format}
    head = struct.pack("<2sHLH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items()) + bytes(4)
    image = head.ljust(200, b"\0") + bytes([127]) * 2400
    if sample_format == 2:
        assert reason_of(image) == ("unsupported_format", "a TIFF of signed numbers: save it as PNG")
    else:
        assert decode_image(image, PHOTO)[0, 0].tolist() == [127] * 3


def tiff(tags: dict[int, tuple[int, ...]], content: bytes) -> bytes:
    """A TIFF of one strip a plane; tags 273 and 279 are filled in for strips of the same length."""
    num_strips, at = len(tags[279]), 8 + 2 + 12 * (len(tags) + 1) + 4
    values = {tag: value for tag, value in tags.items() if len(value) > 1 and tag != 279} | {279: tags[279]}
    extra = {tag: struct.pack(f"<{len(value)}{'L' if tag == 279 else 'H'}", *value) for tag, value in values.items()}
    places, start = {}, at
    for tag, packed in extra.items():
        places[tag], start = start, start + len(packed)
    places[273], start = start, start + 4 * num_strips
    offsets = [start + sum(tags[279][:strip]) for strip in range(num_strips)]
    if num_strips == 1:
        places |= {273: offsets[0], 279: tags[279][0]}
    entries = b"".join(
        struct.pack("<HHLL", tag, 4 if tag in (273, 279) else 3, num_strips if tag == 273 else len(value), place)
        for tag, value in sorted({**tags, 273: (0,)}.items())
        for place in [places.get(tag, value[0])]
    )
    head = struct.pack("<2sHLH", b"II", 42, 8, len(tags) + 1) + entries + bytes(4)
    return head + b"".join(extra.values()) + struct.pack(f"<{num_strips}L", *offsets) + content


def test_colours_of_16_bits_in_separate_planes_are_refused_and_those_of_8_are_read():
    for num_bits, numbers in ((8, RGB), (16, RGB.astype("<u2") * 257)):
        planes = numbers.transpose(2, 0, 1)
        height, width = RGB.shape[:2]
        tags = {256: (width,), 257: (height,), 258: 3 * (num_bits,), 259: (1,), 262: (2,), 277: (3,), 278: (height,)}
        image = tiff(tags | {279: 3 * (planes[0].nbytes,), 284: (2,)}, planes.tobytes())
        if num_bits == 8:
            np.testing.assert_array_equal(decode_image(image, PHOTO), RGB)
        else:
            reason, detail = reason_of(image)
            assert reason == "unsupported_format"
            assert detail.startswith("a TIFF of 16 bits whose colours lie in separate planes")


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_of_8_bits_in_a_tiff_is_not_read_as_black(factor):
    levels = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 90)])  # (3, 256)
    indices = np.arange(40 * 60, dtype=np.uint16).reshape(40, 60).astype(np.uint8)
    tags = {256: (60,), 257: (40,), 258: (8,), 259: (1,), 262: (3,), 277: (1,), 278: (40,), 279: (2400,)}
    image = tiff(tags | {320: tuple((factor * levels).ravel().tolist())}, indices.tobytes())
    np.testing.assert_array_equal(decode_image(image, PHOTO), levels.T[indices].astype(np.uint8))


def test_a_tiff_with_a_mask_is_not_called_damaged():
    page = {254: (0,), 256: (40,), 257: (30,), 258: (8,), 259: (1,), 262: (1,), 277: (1,), 278: (30,), 279: (1200,)}
    whole = bytearray(tiff(page, bytes(1200)))
    mask = {254: 4, 256: 40, 257: 30, 258: 1, 259: 1, 262: 4, 273: 8, 277: 1, 278: 30, 279: 150}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in mask.items())
    next_page = 8 + 2 + 12 * (len(page) + 1)
    whole[next_page : next_page + 4] = struct.pack("<L", len(whole))
    whole += struct.pack("<H", len(mask)) + entries + bytes(4)
    assert reason_of(bytes(whole)) == ("unsupported_format", "a TIFF with a mask of what is seen: save it as PNG")


@pytest.mark.parametrize("file_format", ["TIFF", "GIF", "WEBP", "PNG"])
def test_a_file_of_several_images_is_refused_and_not_its_first_taken(file_format):
    pages = [Image.fromarray(np.roll(RGB, shift)) for shift in (0, 9, 21)]
    image = saved(pages[0], file_format, save_all=True, append_images=pages[1:])
    assert reason_of(image) == ("many_pages", f"{file_format} of several images: save each as a file of its own")


def test_smaller_copies_in_a_tiff_and_the_previews_of_a_camera_are_no_pages():
    page, small = Image.fromarray(RGB), Image.fromarray(RGB).resize((15, 10))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    with_copy = saved(page, "TIFF", save_all=True, append_images=[small])
    with Image.open(io.BytesIO(with_copy)) as tiff:
        assert tiff.n_frames == 2
    assert decode_image(with_copy, PHOTO).shape == RGB.shape
    with_preview = saved(page, "MPO", save_all=True, append_images=[small])
    assert decode_image(with_preview, PHOTO).shape == RGB.shape


@pytest.mark.parametrize("transparent", [{}, {"transparency": 255}])
@pytest.mark.parametrize("settings", [DRAWING, PHOTO])
def test_the_canvas_around_the_pixels_of_a_gif_is_paper(settings, transparent):
    """Programs that trim a GIF leave its canvas as large as it was."""
    whole = np.full((80, 120), 255, np.uint8)
    whole[30:50, 40:44] = 0
    trimmed = saved(Image.fromarray(whole[20:60, 30:90]), "GIF", **transparent)
    assert trimmed[6:10] == struct.pack("<2H", 60, 40)
    at = trimmed.index(b",\0\0\0\0" + trimmed[6:10])
    image = trimmed[:6] + struct.pack("<2H", 120, 80) + trimmed[10 : at + 1] + struct.pack("<2H", 30, 20)
    pixels = decode_image(image + trimmed[at + 5 :], settings)
    assert pixels.shape[:2] == whole.shape
    assert (pixels.reshape(*whole.shape, -1) == whole[..., None]).all()


@pytest.mark.parametrize("kept_as", ["zTXt", "iTXt", "iCCP"])
def test_a_png_with_megabytes_of_packed_text_is_read(kept_as):
    size, options = 10_000_000, {}
    if kept_as == "iCCP":
        options["icc_profile"] = bytes(size)
    else:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        add = options["pnginfo"].add_text if kept_as == "zTXt" else options["pnginfo"].add_itxt
        add("mxfile", "x" * size, zip=True)
    np.testing.assert_array_equal(decode_image(saved(Image.fromarray(RGB), "PNG", **options), PHOTO), RGB)


def tiff_with_copies(num_copies: int) -> bytes:
    """A grey TIFF of 8 x 8 pixels and copies of it that are flagged as smaller."""
    tags = {254: 0, 256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: 64}
    size, image = 6 + 12 * len(tags), struct.pack("<2sHL64x", b"II", 42, 72)
    for page in range(num_copies + 1):
        entries = b"".join(
            struct.pack("<HHLL", tag, 4, 1, page > 0 if tag == 254 else value) for tag, value in tags.items()
        )
        after = 72 + (page + 1) * size if page < num_copies else 0
        image += struct.pack("<H", len(tags)) + entries + struct.pack("<L", after)
    return image


def test_a_tiff_of_a_hundred_smaller_copies_is_refused_and_the_rest_of_them_not_read():
    assert decode_image(tiff_with_copies(99), PHOTO).shape == (8, 8, 3)
    right = ("corrupt_image", "TIFF with 100 smaller copies of its page or more")
    assert reason_of(tiff_with_copies(100)) == right


def jpeg_segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def progressive_jpeg(num_scans: int, comment: bytes = b"") -> bytes:
    """A grey JPEG of 8 x 8 pixels in one scan for the mean and others that say nothing."""
    tables = jpeg_segment(0xC4, b"\x00\1" + bytes(15) + b"\0") + jpeg_segment(0xC4, b"\x10\1" + bytes(15) + b"\0")
    head = jpeg_segment(0xDB, b"\0" + b"\1" * 64) + jpeg_segment(0xC2, b"\x08\0\x08\0\x08\1\1\x11\0") + tables
    first, other = (jpeg_segment(0xDA, b"\1\1\0" + band + b"\0") + b"\x7f" for band in (b"\0\0", b"\1\x3f"))
    return b"\xff\xd8" + jpeg_segment(0xFE, comment) + head + first + other * (num_scans - 1) + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_undecoded_and_what_looks_like_scans_elsewhere_is_none():
    assert decode_image(progressive_jpeg(200), PHOTO).shape == (8, 8, 3)
    assert reason_of(progressive_jpeg(201)) == ("corrupt_image", "JPEG, 8 x 8: more than 200 scans")
    assert reason_of(progressive_jpeg(201, b"\xff\xd9"))[1] == "JPEG, 8 x 8: more than 200 scans"
    beside = b"\xff\xda" * 1000  # as in a preview, or in a film behind the picture
    assert decode_image(progressive_jpeg(10, beside) + beside, PHOTO).shape == (8, 8, 3)


@pytest.mark.parametrize(("width", "height"), [(1_100_000, 1), (1, 1_100_000)])
@pytest.mark.parametrize("settings", [DRAWING, PHOTO], ids=["drawing", "photo"])
def test_an_image_with_a_side_of_a_million_pixels_is_refused(settings, width, height):
    image = saved(Image.new("L", (width, height), 255), "TIFF")
    with pytest.raises(CorruptImageError, match=rf"too_many_pixels: {width} x {height} pixels"):
        clean_image(image, settings)


def half_black(width: int, height: int) -> bytes:
    pixels = np.full((height, width), 255, np.uint8)
    pixels[height // 2 :, width // 2 :] = 0
    return saved(Image.fromarray(pixels), "TIFF")


LONG = [(1_048_576, 1), (1, 1_048_576), (20_000, 150)]


@pytest.mark.parametrize(("size", "reason"), list(zip(LONG, ["blank_image", "blank_image", "no_drawing"], strict=True)))
def test_an_image_almost_as_long_is_refused_as_no_drawing(size: tuple[int, int], reason: str) -> None:
    with pytest.raises(CorruptImageError, match=f"^{reason}: "):
        clean_image(half_black(*size), DRAWING)


@pytest.mark.parametrize("size", LONG)
def test_an_image_almost_as_long_is_cleaned_as_a_photograph(size: tuple[int, int]) -> None:
    assert clean_image(half_black(*size), PHOTO).pixels.shape == (224, 224, 3)


def packed_png(levels: np.ndarray, num_bits: int, is_rgb: bool, key: int) -> bytes:
    """A PNG of grey levels (H, W) of `num_bits` bits, of which those that equal the key are transparent."""
    channels = np.repeat(levels, 3, axis=1) if is_rgb else levels
    bits = np.unpackbits(channels.astype(">u2").view(np.uint8), axis=1).reshape(*channels.shape, 16)[..., -num_bits:]
    rows = np.packbits(bits.reshape(len(levels), -1), axis=1)
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", levels.shape[1], levels.shape[0], num_bits, 2 if is_rgb else 0, 0, 0, 0),
        b"tRNS": struct.pack(">H", key) * (3 if is_rgb else 1),
        b"IDAT": zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes()),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks.items()
    )


@pytest.mark.parametrize(
    ("num_bits", "is_rgb"), [(1, False), (2, False), (4, False), (8, False), (16, False), (8, True), (16, True)]
)
def test_the_transparent_colour_of_a_png_is_paper_whatever_its_bits(num_bits, is_rgb):
    key = 2**num_bits // 4 or 1  # dark grey
    image = packed_png(np.where(INK > 0, 0, key), num_bits, is_rgb, key)
    np.testing.assert_array_equal(decode_image(image, PHOTO)[..., 0], 255 - INK)


def test_only_the_very_number_of_sixteen_bits_is_transparent():
    levels = np.full((40, 60), 0x1234)
    levels[:, 30:] = 0x1235
    shown = decode_image(packed_png(levels, 16, False, 0x1234), PHOTO)
    assert (shown[0, 0].tolist(), shown[0, 59].tolist()) == ([255] * 3, [0x12] * 3)


INK = np.zeros((40, 60), np.uint8)
INK[10:30, 20:40] = 255
BGRA_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
INK_ALONE = Image.merge("LA", [Image.new("L", (60, 40)), Image.fromarray(INK)])


@pytest.mark.parametrize(
    "image",
    [
        saved(INK_ALONE, "PNG"),
        saved(INK_ALONE, "TIFF"),
        saved(INK_ALONE.convert("RGBA"), "TIFF"),
        saved(INK_ALONE.convert("RGBA"), "WEBP", lossless=True),
        saved(Image.fromarray(INK // 255), "PNG", transparency=0),
        saved(Image.fromarray(INK // 255).convert("RGB"), "PNG", transparency=(0, 0, 0)),
    ],
    ids=["grey", "grey tiff", "tiff", "webp", "colour key", "colour key rgb"],
)
def test_ink_on_transparent_paper_is_seen_in_every_way_to_write_it(image):
    assert np.abs(decode_image(image, PHOTO)[..., 0].astype(int) - (255 - INK)).max() <= 1


@pytest.mark.parametrize("header_bytes", [108, 124])
@pytest.mark.parametrize("alpha", [0, 255, INK], ids=["nought", "full", "of ink"])
def test_alpha_of_a_bmp_that_is_nought_everywhere_is_none(header_bytes, alpha):
    """Version 4 and 5 of the format, as screens and clipboards write it."""
    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[..., :3] = (255 - INK)[..., None]
    pixels[..., 3] = alpha
    content = pixels[::-1].tobytes()
    header = struct.pack("<IiiHHIIiiII4I", header_bytes, 60, 40, 1, 32, 3, len(content), 0, 0, 0, 0, *BGRA_MASKS)
    start = 14 + header_bytes
    head = b"BM" + struct.pack("<IHHI", start + len(content), 0, 0, start)
    image = head + header.ljust(header_bytes, b"\0") + content
    np.testing.assert_array_equal(decode_image(image, PHOTO)[..., 0], 255 - INK)


@pytest.mark.parametrize("compression", ["zstd", "lzma", "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_tiffs_of_every_compression_are_read(compression):
    image = saved(Image.fromarray(RGB), "TIFF", compression=compression)
    np.testing.assert_array_equal(decode_image(image, PHOTO), RGB)


@pytest.mark.parametrize(
    ("num_bits", "is_white_zero"), [(2, False), (2, True), (4, False), (4, True), (12, False), (16, False), (16, True)]
)
def test_grey_tiffs_of_any_number_of_bits_have_their_black_and_white(num_bits, is_white_zero):
    levels = np.linspace(0, 2**num_bits - 1, 60).round().astype(np.uint16)
    bits = np.unpackbits(levels.astype(">u2").view(np.uint8)).reshape(60, 16)[:, 16 - num_bits :]
    row = np.packbits(bits).tobytes() if num_bits < 16 else levels.astype("<u2").tobytes()
    tags = {256: 60, 257: 40, 258: num_bits, 259: 1, 262: int(not is_white_zero), 273: 200, 278: 40, 279: 40 * len(row)}
    head = struct.pack("<2sHLH", b"II", 42, 8, len(tags))
    head += b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items()) + bytes(4)
    shown = decode_image(head.ljust(200, b"\0") + row * 40, PHOTO)[0, :, 0].astype(int)
    right = levels * (255 / (2**num_bits - 1))
    assert np.abs(shown - (255 - right if is_white_zero else right)).max() <= 1


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_obeyed_in_every_format(file_format, mode, orientation):
    if (file_format, mode) == ("JPEG", "RGBA") or (mode == "I;16" and file_format in ("JPEG", "WEBP")):
        return
    exif = Image.Exif()
    exif[0x0112] = orientation
    deep = RGB[..., 0].astype(np.uint16) * 257
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(RGB).convert(mode)
    shown = decode_image(saved(image, file_format, exif=exif), PHOTO)
    right = np.repeat(RGB[..., :1], 3, axis=2) if mode == "I;16" else RGB
    right = right.swapaxes(0, 1) if orientation >= 5 else right  # 5 is turned about the diagonal
    right = right[:, ::-1] if orientation in (2, 3, 6, 7) else right
    right = right[::-1] if orientation in (3, 4, 7, 8) else right
    assert shown.shape == right.shape
    assert np.median(np.abs(shown.astype(int) - right)) <= 12


BLOBS = np.full((300, 420), 255, np.uint8)
BLOB_CENTRES = [(40, 30), (380, 260), (200, 128)]  # x, y
for x, y in BLOB_CENTRES:
    BLOBS[y - 4 : y + 5, x - 4 : x + 5] = 0


@pytest.mark.parametrize(("mode", "orientation"), [("1", 1), ("L", 3), ("P", 5), ("RGB", 6), ("RGBA", 7), ("I;16", 8)])
@pytest.mark.parametrize(("dpi", "size"), [((204, 98), (420, 144)), ((100, 200), (210, 300))])
@pytest.mark.parametrize("settings", [DRAWING, PHOTO], ids=["drawing", "photo"])
def test_pixels_of_a_fax_become_square_and_places_follow(settings, dpi, size, orientation, mode):
    image = Image.fromarray(BLOBS).resize(size, Image.Resampling.BOX)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    options = {"compression": "group3"} if mode == "1" else {}
    fax = saved(image, "TIFF", dpi=dpi, tiffinfo={274: orientation}, **options)
    pixels = decode_image(fax, settings)
    long, short = max(pixels.shape[:2]), min(pixels.shape[:2])
    assert long / short == pytest.approx(420 / 300, rel=0.01)
    is_turned = orientation >= 5
    assert is_turned == (pixels.shape[0] > pixels.shape[1])

    places = np.array(BLOB_CENTRES, float) * np.array(size) / (420, 300)
    if is_turned:  # 5 is turned about the diagonal
        places = places[:, ::-1]
    width, height = size[::-1] if is_turned else size
    if orientation in (3, 6, 7):
        places[:, 0] = width - 1 - places[:, 0]
    if orientation in (3, 7, 8):
        places[:, 1] = height - 1 - places[:, 1]
    clean = clean_image(fax, settings.model_copy(update={"rejects_shapes": False, "words_apart_from": 0}))
    for x, y in places:
        new_x, new_y = np.rint(clean.transform @ [x, y, 1]).astype(int)
        assert clean.pixels[new_y, new_x].min() < 100


@pytest.mark.parametrize("dpi", [(204, 196), (1, 300), (0, 98), (300, 300)])
def test_a_resolution_that_is_nearly_equal_or_of_no_device_changes_nothing(dpi):
    assert decode_image(saved(Image.fromarray(RGB), "TIFF", dpi=dpi), PHOTO).shape == RGB.shape


def test_a_fax_is_refused_if_it_has_too_many_pixels_once_they_are_square():
    fax = saved(Image.new("1", (4000, 2500), 1), "TIFF", dpi=(204, 98), compression="group4")
    with pytest.raises(CorruptImageError, match="too_many_pixels: 4000 x 5204 pixels; at most 16,000,000 are read"):
        clean_image(fax, DRAWING)


def test_a_damaged_note_of_the_orientation_spoils_no_image():
    image = saved(Image.fromarray(RGB), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert decode_image(image, PHOTO).shape == RGB.shape


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(100), "unsupported_format", "HEIC is not read"),
        (b"\0\0\0\x20ftypavif" + bytes(100), "unsupported_format", "AVIF is not read"),
        (saved(Image.fromarray(RGB), "PDF"), "unsupported_format", "PDF is not read"),
        (saved(Image.fromarray(RGB), "JPEG2000"), "unsupported_format", "JPEG 2000 is not read"),
        (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format", "SVG is not read"),
        (b"<!-- by hand -->\n<svg/>", "unsupported_format", "SVG is not read"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'>\n<svg/>", "unsupported_format", "SVG is not read"),
        ("<?xml version='1.0' encoding='UTF-16'?><svg/>".encode("utf-16"), "unsupported_format", "SVG is not read"),
        (b"\0\0\0\x18ftyphevc" + bytes(100), "unsupported_format", "HEIC is not read"),
        (b"\n%PDF-1.4\n", "unsupported_format", "PDF is not read"),
        (b"\xc5\xd0\xd3\xc6" + bytes(26) + b"%!PS-Adobe-3.0", "unsupported_format", "PostScript is not read"),
        (b"VjCD0100" + bytes(20), "unsupported_format", "ChemDraw's CDX is not read"),
        (bytes(128) + b"DICM", "unsupported_format", "DICOM is not read"),
        (b"P5 8 8 255 " + bytes(64), "unsupported_format", "PBM, PGM or PPM is not read"),
        (b"iVBORw0KGgoAAAANSUhEUg", "not_an_image", "text in Base64: decode it"),
        (b"<html><body><svg></svg>", "not_an_image", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "not_an_image", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><title>404</title>", "not_an_image", "an HTML page"),
        (b"I am a text", "not_an_image", "begins with b'I am a t'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "corrupt_image", "begins as PNG does"),
    ],
)
def test_what_is_no_image_that_is_read_is_named(content, reason, detail):
    found, sentence = reason_of(content)
    assert (found, sentence[: len(detail)]) == (reason, detail)


PROGRAM = """
import sys
from lib.errors import CorruptImageError
from lib.images.decoding import decode_image
from lib.settings import load_settings
try:
    decode_image(sys.stdin.buffer.read(), load_settings("photos", "local").cleaning)
except CorruptImageError as error:
    print(error.reason)
"""


def test_postscript_called_png_runs_no_program(tmp_path):
    script = tmp_path / "gs"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\n")
    script.chmod(0o755)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\nshowpage\n%%EOF\n"
    with Image.open(io.BytesIO(eps)) as image:  # Pillow by itself would open it
        assert image.format == "EPS"
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=eps,
        capture_output=True,
        check=True,
        cwd=Path(__file__).resolve().parents[3],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert answer.stdout.decode().strip() == "unsupported_format"
    assert not (tmp_path / "was_run").exists()
