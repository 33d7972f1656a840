"""Models as train_captioner leaves them, and how it records them in MLflow."""

import json
import shutil
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyspark.sql.functions as F

from lib.captioning.registered_captioner import write_model
from lib.lake.delta_tables import Lake
from lib.lake.models import checkpoints_folder, make_current
from lib.lake.schemas import IMAGES_RAW, TRAINING_METRICS
from lib.serving.example_drawing import example_png
from lib.settings import Settings
from lib.training.model_registry import record_training
from model.checkpoint import PRETRAINED

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXAMPLE = example_png()  # the image of the lake
NAME = "captioner"  # that models are registered under


def trained(lake: Lake, settings: Settings, version: str) -> Path:
    """A model as train_captioner leaves it: its checkpoint, its rows of training_metrics, and current."""
    checkpoint = checkpoints_folder(lake.storage) / version
    shutil.copytree(PRETRAINED / "molecules", checkpoint)
    provenance = {
        "model_version": version,
        "num_workers": 2,
        "git_commit": "c0ffee",
        "table_versions": {"captions": 3},
        "settings": settings.model_dump(mode="json", include={"cleaning"}),
    }
    (checkpoint / "provenance.json").write_text(json.dumps(provenance))
    rows = [
        (version, 0, 10, 2.5, None, None, None, 0.1, 50.0, 2, NOON),
        (version, 1, 20, None, 1.5, 0.75, 8.0, None, None, 2, NOON),
    ]
    lake.insert_new("training_metrics", lake.spark.createDataFrame(rows, TRAINING_METRICS.schema))
    image = ("a", EXAMPLE, "a.png", len(EXAMPLE), "1", NOON)
    columns = ["image_id", "image", "source", "num_bytes", "file_version", "ingested_at"]
    rows = lake.spark.createDataFrame([image], columns)
    others = [column for column in IMAGES_RAW.schema if column.name not in columns]
    rows = rows.withColumns({column.name: F.lit(None).cast(column.dataType) for column in others})
    lake.insert_new("images_raw", rows.withColumn("num_bytes", F.col("num_bytes").cast("long")))
    make_current(lake.storage, version)
    return checkpoint


def record(lake: Lake, checkpoint: Path, settings: Settings) -> None:
    """What train_captioner does at its end."""
    record_training(lake, settings.tracking, checkpoint, partial(write_model, settings=settings.prediction))
