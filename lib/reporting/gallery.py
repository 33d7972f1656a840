"""The images of the quality report: which are shown, as thumbnails a browser can show, with captions marked."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Row

from lib.captions.marked_texts import Segments, marked_as_read
from lib.errors import CorruptImageError
from lib.images.browser_images import ImageFile, as_data_uri, thumbnail
from lib.lake.delta_tables import Lake
from lib.sections.images import CleaningSettings

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
    lake: Lake,
    predictions: DataFrame,
    split: str | None,
    numbers: dict[str, int],
    ciders: Mapping[str, float],
    cleaning: CleaningSettings,
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
    arrived = _thumbnails(lake.read("images_raw"), image_ids, cleaning)
    cleaned = _thumbnails(lake.read("images_clean"), image_ids, cleaning)
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
    shown = {row.image_id: as_data_uri(ImageFile(sheet, "image/png")) for row, sheet in zip(rows, sheets, strict=True)}
    for cards in groups.values():
        cards[:number] = [replace(card, attention=shown.get(card.prediction.image_id)) for card in cards[:number]]


def _references(captions: DataFrame, image_ids: list[str]) -> dict[str, list[str]]:
    rows = captions.where(F.col("image_id").isin(image_ids) & F.col("caption").isNotNull())
    references: dict[str, list[str]] = {}
    for row in rows.select("image_id", "caption").orderBy("image_id", "caption_index").collect():
        references.setdefault(row.image_id, []).append(row.caption)
    return references


def _thumbnails(images: DataFrame, image_ids: list[str], cleaning: CleaningSettings) -> dict[str, str]:
    """The images as data URIs, but for those that cannot be decoded."""
    found = {}
    for row in images.where(F.col("image_id").isin(image_ids)).select("image_id", "image").collect():
        with suppress(CorruptImageError):
            found[row.image_id] = as_data_uri(thumbnail(bytes(row.image), cleaning, *THUMBNAIL_PX))
    return found


def _texts(prediction: Row) -> tuple[Segments, Segments]:
    if prediction.edit_distance is None:  # there is nothing to compare the caption with
        return [(False, prediction.caption)] if prediction.caption else [], []
    return marked_as_read(prediction.caption, prediction.reference)
