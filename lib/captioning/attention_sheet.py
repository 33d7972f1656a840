"""Attention maps as a contact sheet: the image, then once for each token with a glow where attention looked."""

import io
import textwrap
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lib.captioning.attention_maps import AttentionMaps, attention_maps
from lib.captioning.image_captioning import ImageCaptioner
from lib.sections.captioning import PredictionSettings

SHEET_WIDTH_PX, TILE_AREA_PX = 1600, 200 * 200
GAP_PX, TEXT_PX, HEADING_PX = 12, 15, 18
PAGE, WRITING, GLOW = (246, 248, 251), (15, 23, 42), np.array((234, 88, 12), np.float32)
NUM_COLOURS = 96
STRONGEST = 0.75  # of the glow, where attention looked most
FULL_FROM = 0.05  # attention above that of an even spread from which the glow is at its strongest


def attention_sheets(
    images: Iterable[tuple[bytes, bytes | None, int]], checkpoint: Path, settings: PredictionSettings
) -> list[bytes]:
    """The sheet of each row (image, larger_image, rotation_deg) of images_clean.

    Raises CheckpointError, NotationError.
    """
    captioner = ImageCaptioner(checkpoint, settings)
    return [attention_sheet(attention_maps(captioner, captioner.stored(*image).pixels)) for image in images]


def attention_sheet(looked: AttentionMaps) -> bytes:
    """A PNG: the caption, the image as the network saw it, and a tile for each token."""
    tiles = [_tile(looked.pixels, None, looked)]
    tiles += [_tile(looked.pixels, attention, looked) for attention in looked.maps]
    labels = ["", *(token.strip() or repr(token) for token in looked.tokens)]
    width, height = tiles[0].size
    num_columns = max(1, (SHEET_WIDTH_PX - GAP_PX) // (width + GAP_PX))
    num_columns = min(num_columns, len(tiles))
    num_rows = -(-len(tiles) // num_columns)
    row_height = height + TEXT_PX + 2 * GAP_PX
    sheet_width = max(GAP_PX + num_columns * (width + GAP_PX), 4 * width)
    heading = textwrap.wrap(looked.caption, max(20, int(sheet_width / (0.56 * HEADING_PX)))) or [""]
    top = GAP_PX + len(heading) * (HEADING_PX + 6) + GAP_PX
    sheet = Image.new("RGB", (sheet_width, top + num_rows * row_height), PAGE)
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(heading):
        draw.text((GAP_PX, GAP_PX + index * (HEADING_PX + 6)), line, WRITING, ImageFont.load_default(HEADING_PX))
    for index, (tile, label) in enumerate(zip(tiles, labels, strict=True)):
        left = GAP_PX + index % num_columns * (width + GAP_PX)
        upper = top + index // num_columns * row_height
        sheet.paste(tile, (left, upper))
        draw.text((left + width // 2, upper + height + 4), label, WRITING, ImageFont.load_default(TEXT_PX), anchor="ma")
    file = io.BytesIO()
    sheet.quantize(NUM_COLOURS).save(file, "PNG", optimize=True)  # a third of the bytes
    return file.getvalue()


def _tile(pixels: np.ndarray, attention: np.ndarray | None, looked: AttentionMaps) -> Image.Image:
    """The image at the size of a tile, with the glow of one map (h, w) if there is one."""
    height, width = pixels.shape[:2]
    is_drawing = pixels.ndim == 2
    shown: np.ndarray = (np.stack((pixels,) * 3, axis=2) if is_drawing else pixels).astype(np.float32)  # (H, W, 3)
    if attention is not None:
        glow = STRONGEST * spread(attention, height, width, looked.stride_px)[..., None]  # (H, W, 1)
        if is_drawing:
            shown = shown * (1 - glow + glow * GLOW / 255)  # ink stays black
        else:
            grey = shown.mean(axis=2, keepdims=True)
            shown = (1 - glow) * (0.7 * grey + 0.3 * shown) + glow * GLOW
    scale = (TILE_AREA_PX / (height * width)) ** 0.5
    size = max(1, round(width * scale)), max(1, round(height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return Image.fromarray(cv2.resize(shown.clip(0, 255).astype(np.uint8), size, interpolation=interpolation))


def spread(attention: np.ndarray, height: int, width: int, stride_px: int) -> np.ndarray:
    """A map (h, w) as the strength of the glow (H, W), 0..1; 0 where attention is not above uniform."""
    above = attention - 1 / attention.size
    strength = above / max(float(above.max()), FULL_FROM)
    size = attention.shape[1] * stride_px, attention.shape[0] * stride_px
    spread: np.ndarray = cv2.resize(strength.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return spread[:height, :width].clip(0, 1)
