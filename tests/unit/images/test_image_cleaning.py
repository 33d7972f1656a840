"""Cleaning, image by image: `pytest tests/unit/images/test_image_cleaning.py`."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image, decode_png, encode_png, fit_to_canvas, sharpen
from lib.images.decoding import decode_image
from lib.images.geometry import crop_to_ink, turn_clockwise
from lib.images.strokes import INK_BELOW
from lib.images.wear_removal import mend_strokes, remove_specks
from lib.sections.images import CleaningSettings
from lib.settings import CONF

# What tells drawings from stray ink is tested on drawings of molecules; here are lines and blobs.
BASE = CleaningSettings(
    **yaml.safe_load((CONF / "base.yaml").read_text())["cleaning"]
    | {"longest_line": 0, "words_apart_from": 0, "rejects_shapes": False, "thin_from": 0}
)


def settings(**changes: object) -> CleaningSettings:
    return BASE.model_copy(update=changes)


def drawing(height: int = 120, width: int = 300) -> np.ndarray:
    pixels = np.full((height, width), 255, np.uint8)
    cv2.line(pixels, (30, height // 2), (width - 40, height // 2 + 10), 0, 1)
    cv2.putText(pixels, "N", (60, height // 2 - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 0, 1)
    return pixels


def reason_of(image: bytes, **changes: object) -> str:
    with pytest.raises(CorruptImageError) as caught:
        clean_image(image, settings(**changes))
    return caught.value.reason


def huge_png(width: int, height: int) -> bytes:
    """A PNG header that promises width x height pixels, and no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    end = b"IEND"
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (header, end)
    )


def test_every_kind_of_bad_image_has_its_reason():
    png = encode_png(drawing())
    assert reason_of(b"") == "empty_file"
    assert reason_of(b"this is a text file called .png") == "not_an_image"
    assert reason_of(png[: len(png) // 2]) == "corrupt_image"
    assert reason_of(huge_png(40_000, 40_000)) == "too_many_pixels"
    assert reason_of(encode_png(np.full((50, 50), 255, np.uint8))) == "blank_image"
    assert reason_of(encode_png(np.zeros((50, 50), np.uint8))) == "blank_image"


def test_the_message_of_an_image_too_large_names_what_was_seen_and_what_is_allowed():
    with pytest.raises(CorruptImageError, match=r"60000 x 10 pixels; at most 1,000 are read"):
        clean_image(huge_png(60_000, 10), settings(max_pixels=1000))


def test_isolated_specks_go_and_fragments_of_strokes_stay():
    pixels = drawing()
    worn = pixels.copy()
    worn[60:70, 100] = 255
    worn[62, 110:260:4] = 255
    worn[5, 5] = worn[100, 200] = worn[101, 201] = 0
    cleaned, num_specks = remove_specks(worn, 2)
    assert num_specks == 2
    assert cleaned[5, 5] == 255
    assert cleaned[100, 200] == 255
    worn[5, 5] = worn[100, 200] = worn[101, 201] = 255
    np.testing.assert_array_equal(cleaned, worn)


def test_a_stroke_with_every_seventh_pixel_missing_is_whole_after_mending():
    whole = np.full((40, 120), 255, np.uint8)
    whole[20, 10:110] = 0
    worn = whole.copy()
    worn[20, 17:105:7] = 255
    np.testing.assert_array_equal(mend_strokes(worn, 3), whole)


def test_mending_neither_lengthens_strokes_nor_joins_the_lines_of_a_double_bond():
    pixels = np.full((40, 120), 255, np.uint8)
    pixels[[20, 22], 10:110] = 0
    np.testing.assert_array_equal(mend_strokes(pixels, 3), pixels)


def test_an_image_higher_than_wide_is_turned_and_says_so():
    sideways = np.ascontiguousarray(np.rot90(drawing()))
    clean = clean_image(encode_png(sideways), settings(mend_reach_px=0, sharpen=0))
    upright = clean_image(encode_png(drawing()), settings(mend_reach_px=0, sharpen=0))
    assert (clean.rotation_deg, upright.rotation_deg) == (90, 0)
    np.testing.assert_array_equal(clean.pixels, upright.pixels)
    assert clean_image(encode_png(sideways), settings(upright="none")).rotation_deg == 0


@pytest.mark.parametrize("is_sideways", [False, True])
@pytest.mark.parametrize("max_scale", [1.0, 3.0])
def test_the_transform_says_where_each_arrived_pixel_went(is_sideways: bool, max_scale: float):
    pixels = np.full((150, 420), 255, np.uint8)
    corners = [(40, 30), (380, 110), (200, 64)]  # x, y of three blobs
    for x, y in corners:
        pixels[y - 3 : y + 4, x - 3 : x + 4] = 0
    if is_sideways:
        corners = [(150 - 1 - y, x) for x, y in corners]
        pixels = np.ascontiguousarray(np.rot90(pixels, k=-1))
    clean = clean_image(encode_png(pixels), settings(max_scale=max_scale))
    for x, y in corners:
        new_x, new_y = np.rint(clean.transform @ [x, y, 1]).astype(int)
        assert clean.pixels[new_y, new_x] < 60
    assert clean.rotation_deg == (90 if is_sideways else 0)


def test_cropping_leaves_the_margin_asked_for():
    cropped, transform = crop_to_ink(drawing(), np.eye(2, 3), 4)
    rows, columns = np.flatnonzero((cropped < INK_BELOW).any(axis=1)), np.flatnonzero((cropped < INK_BELOW).any(axis=0))
    assert (rows[0], columns[0]) == (4, 4)
    assert (cropped.shape[0] - 1 - rows[-1], cropped.shape[1] - 1 - columns[-1]) == (4, 4)
    assert transform[0, 2] == -26


def test_fitting_keeps_the_aspect_ratio_and_centres_on_paper():
    black = np.zeros((100, 400), np.uint8)
    changes = {"canvas_height_px": 160, "canvas_width_px": 256, "canvas_step_px": 160, "max_scale": 0.64}
    canvas, _ = fit_to_canvas(black, np.eye(2, 3), settings(**changes))
    assert canvas.shape == (160, 320)
    assert (canvas[48:112, 32:288] == 0).all()
    assert (canvas[:, :32] == 255).all()
    assert (canvas[:, 288:] == 255).all()
    assert (canvas[:48] == 255).all()
    assert (canvas[112:] == 255).all()


@pytest.mark.parametrize("is_sideways", [False, True])
def test_an_image_that_arrives_larger_is_kept_larger_too_but_never_enlarged(is_sideways: bool):
    pixels = np.ascontiguousarray(np.rot90(drawing(), k=-1)) if is_sideways else drawing()
    arrived = crop_to_ink(drawing(), np.eye(2, 3), 4)[0].shape[1]
    changes = {"canvas_step_px": 1, "mend_reach_px": 0, "canvas_height_px": 9999, "larger_scale": 1.5}
    for width, expected in ((100, 150), (200, arrived), (240, None)):
        clean = clean_image(encode_png(pixels), settings(canvas_width_px=width, **changes))
        assert clean.pixels.shape[1] == min(width, arrived)
        assert (clean.larger is None) == (expected is None)
        if clean.larger is not None:
            assert clean.larger.shape[1] == expected
            smaller = cv2.resize(clean.larger, clean.pixels.shape[::-1], interpolation=cv2.INTER_AREA)
            assert np.corrcoef(smaller.ravel(), clean.pixels.ravel())[0, 1] > 0.9
        without = clean_image(encode_png(pixels), settings(canvas_width_px=width, **changes | {"larger_scale": None}))
        assert without.larger is None
        np.testing.assert_array_equal(without.pixels, clean.pixels)


@pytest.mark.parametrize("is_turned", [False, True])
def test_a_picture_that_is_shrunk_along_one_side_alone_is_averaged_along_it(is_turned: bool):
    stripes = np.tile(np.array([0, 255], np.uint8), (200, 2000))
    pixels = np.ascontiguousarray(stripes.T) if is_turned else stripes
    changes = {"canvas_height_px": 224, "canvas_width_px": 224, "canvas_step_px": 224, "keeps_aspect": False}
    canvas, _ = fit_to_canvas(pixels, np.eye(2, 3), settings(**changes))
    assert canvas.shape == (224, 224)
    assert canvas.std() < 5
    assert abs(canvas.mean() - 127.5) < 2


def test_a_drawing_that_is_shrunk_by_less_than_a_pixel_along_one_side_is_interpolated_as_it_was():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 600), np.uint8)
    scale = 599 / 600  # 20 rows stay 20
    changes = {"canvas_height_px": 640, "canvas_width_px": 640, "canvas_step_px": 1, "max_scale": scale}
    canvas, _ = fit_to_canvas(pixels, np.eye(2, 3), settings(**changes))
    np.testing.assert_array_equal(canvas, cv2.resize(pixels, (599, 20), interpolation=cv2.INTER_LINEAR))


def test_sharpening_raises_the_contrast_of_a_soft_edge():
    soft = np.tile(np.linspace(255, 0, 16).astype(np.uint8), (16, 1))
    soft[:, 8:] = 60
    assert sharpen(soft, 1.0)[:, 7:9].min() < soft[:, 7:9].min()


def test_turning_clockwise_moves_the_top_left_corner_to_the_top_right():
    pixels = np.full((3, 5), 255, np.uint8)
    pixels[0, 0] = 0
    turned, transform = turn_clockwise(pixels, np.eye(2, 3))
    assert turned.shape == (5, 3)
    assert turned[0, 2] == 0
    np.testing.assert_array_equal(transform @ [0, 0, 1], [2, 0])


def test_colours_written_by_another_library_come_back_as_rgb():
    red = Image.new("RGB", (20, 10), (200, 30, 10))
    buffer = io.BytesIO()
    red.save(buffer, "PNG")
    pixels = decode_image(buffer.getvalue(), settings(color="rgb"))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels[0, 0], [200, 30, 10])
    np.testing.assert_array_equal(decode_png(encode_png(pixels))[0, 0], [200, 30, 10])


@pytest.mark.parametrize("png", [b"", b"no PNG", encode_png(np.zeros((20, 10), np.uint8))[:30]])
def test_a_damaged_png_of_a_cleaned_image_has_its_reason(png: bytes):
    with pytest.raises(CorruptImageError, match="damaged"):
        decode_png(png)


def test_transparent_paper_is_white():
    clear = Image.new("RGBA", (20, 10), (0, 0, 0, 0))
    buffer = io.BytesIO()
    clear.save(buffer, "PNG")
    assert (decode_image(buffer.getvalue(), settings(color="grey")) == 255).all()


def test_tiff_jpeg_and_two_level_png_are_read():
    page = Image.fromarray(drawing())
    for file_format, mode in (("TIFF", "L"), ("JPEG", "L"), ("PNG", "1")):
        buffer = io.BytesIO()
        page.convert(mode).save(buffer, file_format)
        pixels = decode_image(buffer.getvalue(), settings())
        assert pixels.shape == (120, 300), file_format
        assert abs(int(pixels.mean()) - int(drawing().mean())) <= 2, file_format


def test_a_jpeg_taken_sideways_is_shown_as_its_orientation_says():
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to view
    Image.new("RGB", (40, 20), (90, 90, 90)).save(buffer, "JPEG", exif=exif)
    assert decode_image(buffer.getvalue(), settings(color="rgb")).shape == (40, 20, 3)
