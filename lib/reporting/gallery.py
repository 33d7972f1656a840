"""The images of the quality report: which are shown, as thumbnails a browser can show, with captions marked."""

import base64
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyspark.sql.functions as F
from PIL import Image, ImageOps
from pyspark.sql import DataFrame, Row

from lib.captions.marked_texts import Segments, marked_as_read
from lib.lake.delta_tables import Lake
from lib.sections.images import IMAGE_FORMATS

# Rows (image, larger_image, rotation_deg) of images_clean to PNG files.
SheetsOf = Callable[[list[tuple[bytes, bytes | None, int]]], list[bytes]]

SCORED_GROUPS = ("Best", "Worst", "At random")  # of images with a reference
THUMBNAIL_PX = (560, 420)  # twice the size on the page, for sharp screens


@dataclass(frozen=True)
class ShownImage:
    """A card of the gallery; a thumbnail is None where the image is no longer in the lake or cannot be shown."""

    prediction: Row
    arrived: str | None
    cleaned: str | None
    caption: Segments
    reference: Segments
    further_references: list[str]  # of an image with several references, those that are not the nearest
    attention: str | None = None  # where attention looked for each token


def choose_images(
    lake: Lake, predictions: DataFrame, split: str | None, numbers: dict[str, int], ciders: Mapping[str, float]
) -> dict[str, list[ShownImage]]:
    """The images of each group that `numbers` names, so many of each; other splits fill what the first one lacks.

    Captions are the better the more similar they are to their reference; sentences, which may be worded otherwise, the
    higher their CIDEr by image_id. Deterministic. Reads the bytes of the chosen images only. No image is in two
    opposite groups. A random image may also be in another group, so that the sample is fair.
    """
    score = "similarity"
    if ciders:
        score = "cider"
        predictions = predictions.join(
            F.broadcast(lake.spark.createDataFrame(list(ciders.items()), "image_id string, cider double")),
            on="image_id",
            how="left",
        )
    first = F.when(F.col("split") == F.lit(split), 0).otherwise(1)
    by_hash = [F.xxhash64("image_id")]
    orders = {
        "Best": [F.desc(score), F.desc(F.length("caption"))],  # of many exact ones, those hardest to get right
        "Worst": [F.asc_nulls_last(score), F.desc("confidence")],  # the most confident errors
        "At random": by_hash,
        "Least sure": [F.asc("confidence")],
        "Most sure": [F.desc("confidence"), F.desc(F.length("caption"))],
        "At random, without a reference": by_hash,
    }
    opposite = {"Worst": "Best", "Most sure": "Least sure"}
    has_score = F.col("edit_distance").isNotNull()
    chosen: dict[str, list[Row]] = {}
    for name, number in numbers.items():
        taken = [row.image_id for row in chosen.get(opposite.get(name, ""), [])]
        of_kind = predictions.where(has_score if name in SCORED_GROUPS else ~has_score)
        left = of_kind.where(~F.col("image_id").isin(taken))
        chosen[name] = left.orderBy(first, *orders[name], "image_id").limit(number).collect()
    image_ids = sorted({row.image_id for rows in chosen.values() for row in rows})
    arrived = _thumbnails(lake.read("images_raw"), image_ids)
    cleaned = _thumbnails(lake.read("images_clean"), image_ids)
    references = _references(lake.read("captions"), image_ids)
    return {
        name: [
            ShownImage(
                row,
                arrived.get(row.image_id),
                cleaned.get(row.image_id),
                *_texts(row),
                [text for text in references.get(row.image_id, []) if text != row.reference],
            )
            for row in rows
        ]
        for name, rows in chosen.items()
    }


def with_attention(lake: Lake, groups: dict[str, list[ShownImage]], number: int, sheets_of: SheetsOf) -> None:
    """Give the first `number` images of each group their attention sheets."""
    first = {card.prediction.image_id for cards in groups.values() for card in cards[:number]}
    found = lake.read("images_clean").where(F.col("image_id").isin(sorted(first)))
    rows = found.select("image_id", "image", "larger_image", "rotation_deg").collect()
    sheets = sheets_of(
        [(bytes(row.image), row.larger_image and bytes(row.larger_image), row.rotation_deg) for row in rows]
    )
    shown = {row.image_id: _as_uri(sheet, "png") for row, sheet in zip(rows, sheets, strict=True)}
    for cards in groups.values():
        cards[:number] = [replace(card, attention=shown.get(card.prediction.image_id)) for card in cards[:number]]


def _references(captions: DataFrame, image_ids: list[str]) -> dict[str, list[str]]:
    rows = captions.where(F.col("image_id").isin(image_ids) & F.col("caption").isNotNull())
    references: dict[str, list[str]] = {}
    for row in rows.select("image_id", "caption").orderBy("image_id", "caption_index").collect():
        references.setdefault(row.image_id, []).append(row.caption)
    return references


def _thumbnails(images: DataFrame, image_ids: list[str]) -> dict[str, str | None]:
    rows = images.where(F.col("image_id").isin(image_ids)).select("image_id", "image").collect()
    return {row.image_id: thumbnail(bytes(row.image)) for row in rows}


def _texts(prediction: Row) -> tuple[Segments, Segments]:
    if prediction.edit_distance is None:  # there is nothing to compare the caption with
        return [(False, prediction.caption)] if prediction.caption else [], []
    return marked_as_read(prediction.caption, prediction.reference)


def thumbnail(image: bytes) -> str | None:
    """The image as a small PNG (drawings) or JPEG (photographs) data URI; None where it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(image), formats=IMAGE_FORMATS) as opened:  # no other: EPS would run a program
            pixels = _as_eight_bit(ImageOps.exif_transpose(opened))
    except Exception:  # a damaged file may fail anywhere inside a codec, and a report is made without it
        return None
    pixels.thumbnail(THUMBNAIL_PX, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    is_drawing = pixels.mode == "L" or pixels.getcolors(256) is not None
    if is_drawing:
        pixels.save(file, "PNG", optimize=True)
    else:
        pixels.save(file, "JPEG", quality=85)
    kind = "png" if is_drawing else "jpeg"
    return _as_uri(file.getvalue(), kind)


def _as_uri(image: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(image).decode()


def _as_eight_bit(image: Image.Image) -> Image.Image:
    """Grey (L) or RGB; grey of 16 bits is scaled by its white, 65,535; transparent pixels become paper."""
    if image.mode.startswith("I;16"):
        return Image.fromarray(np.rint(np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
