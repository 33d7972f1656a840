"""Thumbnails show what arrived, in files that browsers know."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from lib.errors import CorruptImageError
from lib.images.browser_images import ImageFile, thumbnail
from lib.settings import load_settings

CLEANING = load_settings("molecules", "local").cleaning


def image(file_format: str, mode: str = "L") -> bytes:
    return encoded(Image.new(mode, (1200, 300)), file_format)


def encoded(picture: Image.Image, file_format: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_format)
    return file.getvalue()


def small(content: bytes) -> ImageFile:
    return thumbnail(content, CLEANING, 560, 420)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(small(content).content))


@pytest.mark.parametrize(("file_format", "mode"), [("PNG", "1"), ("TIFF", "I;16"), ("JPEG", "L"), ("PNG", "RGBA")])
def test_an_image_without_colours_is_a_small_grey_png(file_format: str, mode: str) -> None:
    content = image(file_format, mode)
    assert small(content).media_type == "image/png"
    assert (opened(content).size, opened(content).mode) == ((560, 140), "L")


def test_an_image_that_is_small_keeps_its_size() -> None:
    assert opened(encoded(Image.new("L", (30, 20)), "PNG")).size == (30, 20)


def test_grey_of_16_bits_keeps_its_white() -> None:
    pixels = np.full((20, 30), 100 * 257, np.uint16)
    pixels[:10] = 140 * 257
    shown = np.asarray(opened(encoded(Image.fromarray(pixels), "PNG")))
    assert set(shown.ravel().tolist()) == {100, 140}


def test_photographs_are_jpeg_and_transparency_is_paper() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert small(encoded(Image.fromarray(pixels), "PNG")).media_type == "image/jpeg"
    assert opened(image("PNG", "RGBA")).getpixel((0, 0)) == 255


def test_letters_in_colour_keep_their_edges() -> None:
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[:, ::2] = (255, 0, 0)
    shown = np.asarray(opened(encoded(Image.fromarray(pixels), "PNG"))).astype(int)
    assert shown[:, 1::2].min() > 240  # the paper between two strokes is not pink
    assert shown[:, ::2, 0].min() > 240


@pytest.mark.parametrize("content", [image("PNG")[:60], b"", b"GARBAGE"])
def test_what_is_damaged_has_no_thumbnail(content: bytes) -> None:
    with pytest.raises(CorruptImageError):
        small(content)


def test_a_file_that_a_program_would_have_to_draw_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/run\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(tmp_path / "gs"))
    with pytest.raises(CorruptImageError):
        small(image("EPS", "RGB"))
    assert not (tmp_path / "run").exists()
