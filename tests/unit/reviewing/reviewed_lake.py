"""Small real Delta tables for the review page, made through deltalake by the schemas of the lake."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyspark.sql.types as T
from deltalake import write_deltalake

from lib.images.cleaning import encode_png
from lib.lake.schemas import TABLES

NIGHT = datetime(2026, 1, 1, 2, tzinfo=UTC)
ARROW = {
    T.StringType: pa.string(),
    T.IntegerType: pa.int32(),
    T.LongType: pa.int64(),
    T.DoubleType: pa.float64(),
    T.FloatType: pa.float32(),
    T.BooleanType: pa.bool_(),
    T.BinaryType: pa.binary(),
    T.TimestampType: pa.timestamp("us", tz="UTC"),
}


def arrow_type(kind: T.DataType) -> pa.DataType:
    if isinstance(kind, T.ArrayType):
        return pa.list_(arrow_type(kind.elementType))
    if isinstance(kind, T.StructType):
        return pa.struct([(field.name, arrow_type(field.dataType)) for field in kind])
    return ARROW[type(kind)]


def write(root: Path, name: str, rows: list[dict[str, Any]], mode: str = "append") -> None:
    """Rows with null in every column that they do not name."""
    schema = pa.schema([(field.name, arrow_type(field.dataType)) for field in TABLES[name].schema])
    rows = [{column: row.get(column) for column in schema.names} for row in rows]
    write_deltalake(str(root / name), pa.Table.from_pylist(rows, schema), mode=mode)  # type: ignore[call-overload]


def prediction(image_id: str, confidence: float | None, **others: Any) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "model_version": "m1",
        "caption": f"caption of {image_id}",
        "confidence": confidence,
        "is_valid": True,
        "alternatives": [],
        "predicted_at": NIGHT,
    } | others


def image(text: str) -> bytes:
    """A small drawing as a PNG file."""
    pixels = np.full((60, 160), 255, np.uint8)
    cv2.putText(pixels, text, (8, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 2)
    return encode_png(pixels)


def fill(root: Path, num_images: int = 10) -> list[str]:
    """Images with captions of rising confidence, the first ones doubtful; their ids in order of the queue."""
    ids = [f"image-{number:03}" for number in range(num_images)]
    write(root, "images_raw", [{"image_id": name, "image": image(name[-3:]), "ingested_at": NIGHT} for name in ids])
    write(root, "images_clean", [{"image_id": name, "image": image(name[-3:]), "cleaned_at": NIGHT} for name in ids])
    write(
        root,
        "caption_predictions",
        [
            prediction(name, (number + 1) / (num_images + 1), predicted_at=NIGHT + timedelta(days=number % 2))
            for number, name in enumerate(ids)
        ],
    )
    return ids
