"""images_clean to caption_predictions: the checkpoint is loaded once per Python worker, images pass in batches."""

import logging
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyspark.sql.functions as F
import torch
from pyspark.sql import DataFrame

from lib.captioning.image_captioning import CleanedImage, ImageCaptioner, of_like_size
from lib.captions.checkpoint_fit import check_fit
from lib.captions.scores import with_scores
from lib.images.frozen_features import encoder_version_of
from lib.images.packed_features import unpack_features
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.models import model_in_use
from lib.lake.pending_rows import commit_batches, find_pending_rows, num_tasks
from lib.lake.schemas import CAPTION_PREDICTIONS
from lib.lake.worker_counts import WorkerCounter
from lib.sections.captioning import PredictionSettings
from lib.settings import Settings
from model.checkpoint import load_captioner

logger = logging.getLogger(__name__)

BATCHES_AT_A_TIME = 4  # as many images as batches of them that are not sure yet can still be filled
PREDICTED_SCHEMA = (
    "image_id string, caption string, confidence double, is_valid boolean, "
    "alternatives array<struct<caption: string, score: double>>, cleaning_version string"
)
SCORES = ("reference", "edit_distance", "similarity", "split")
UNSCORED_COLUMNS = [name for name in CAPTION_PREDICTIONS.schema.names if name not in SCORES]


def predict_new_images(lake: Lake, settings: Settings, only: DataFrame | None = None) -> None:
    """Caption the images that this model has not captioned as they are now; score those with a reference.

    `only` holds the ids of the images to caption, if not all of them. Raises SettingsError if the model writes another
    notation or has learned from images cleaned otherwise.
    """
    prediction = settings.prediction
    model_version, directory = model_in_use(lake, prediction.model_version, settings.dataset)
    clean = lake.require("images_clean")
    predictions = lake.read("caption_predictions").where(F.col("model_version") == model_version)
    captions = lake.read("captions")
    done = predictions.join(
        clean.select("image_id", "cleaning_version"), on=["image_id", "cleaning_version"], how="left_semi"
    )
    rows = clean.select("image_id", "cleaned_at", "cleaning_version", "image", "larger_image", "rotation_deg")
    if only is not None:
        rows = rows.join(only, on="image_id", how="left_semi")
    had_predictions = lake.has("caption_predictions")
    with lake.staging():
        pending = find_pending_rows(lake, _with_features(lake, rows, directory, prediction), done, "cleaned_at")
        total = pending.num_rows
        if total:
            load_captioner(directory)  # a checkpoint that cannot be read is said here, not by every worker
            check_fit(
                directory,
                settings.captions.notation,
                settings.cleaning,
                f"model {model_version}",
                "or name another model in prediction.model_version, or train one",
            )

            def commit(batch: DataFrame, num_rows: int, counter: WorkerCounter) -> None:
                predicted = lake.stage(_predict(batch, num_rows, directory, prediction, counter))
                lake.upsert("caption_predictions", _as_rows(predicted, captions, model_version))

            commit_batches(lake, "predict_captions", pending.batches(), total, commit)
    lake.create("caption_predictions")
    num_rescored, num_gone = _bring_up_to_date(lake, clean, captions, model_version) if had_predictions else (0, 0)
    logger.info("model %s captioned %d new images", model_version, total)
    if num_rescored:
        logger.info("%d earlier captions were scored again: their references changed", num_rescored)
    if num_gone:
        logger.info("%d captions were removed: their images left images_clean", num_gone)


def _with_features(lake: Lake, rows: DataFrame, directory: Path, settings: PredictionSettings) -> DataFrame:
    """The rows with features of the model's frozen encoder, null where there are none yet or they do not suffice."""
    version = encoder_version_of(directory) if settings.can_read_features else None
    if version is None or not lake.has("image_features"):
        return rows.withColumn("features", F.lit(None).cast("binary"))
    features = (
        lake.read("image_features")
        .where(F.col("encoder_version") == version)
        .select("image_id", "cleaning_version", "features")
    )
    joined = rows.join(features, on=["image_id", "cleaning_version"], how="left")
    return joined.withColumn("image", F.when(F.col("features").isNull(), F.col("image")))


def _predict(
    batch: DataFrame, num_rows: int, directory: Path, settings: PredictionSettings, counter: WorkerCounter
) -> DataFrame:
    predict = partial(predict_batches, directory=str(directory), settings=settings, counter=counter)
    columns = ("image_id", "image", "larger_image", "rotation_deg", "features", "cleaning_version")
    images = batch.select(*columns).repartition(num_tasks(batch.sparkSession, num_rows))
    return images.mapInPandas(predict, PREDICTED_SCHEMA)


def _as_rows(predicted: DataFrame, captions: DataFrame, model_version: str) -> DataFrame:
    return (
        with_scores(predicted, captions)
        .withColumns({"model_version": F.lit(model_version), "predicted_at": F.lit(commit_time())})
        .select(*CAPTION_PREDICTIONS.schema.names)
    )


def _bring_up_to_date(lake: Lake, clean: DataFrame, captions: DataFrame, model_version: str) -> tuple[int, int]:
    """Score predictions whose references have changed, and remove those whose image is clean no more; how many of each.

    References are compared, not times: a caption may be dated before a prediction that has not seen it. An image that
    was replaced or is cleaned by other settings may be rejected since: its caption is of what it was.
    """
    predictions = lake.read("caption_predictions").where(F.col("model_version") == model_version)
    references = captions.groupBy("image_id").agg(
        F.collect_list("caption").alias("texts"), F.min("split").alias("split_now")
    )
    # The one text that there is must be the reference; of several the nearest has to be found anew.
    is_same = F.col("texts").eqNullSafe(F.array("reference")) & F.col("split").eqNullSafe(F.col("split_now"))
    is_without = F.col("texts").isNull() & F.col("reference").isNull()
    cleaned = clean.select("image_id", F.lit(False).alias("is_gone"))
    others = (
        predictions.join(references, on="image_id", how="left")
        .join(cleaned, on="image_id", how="left")
        .withColumn("is_gone", F.coalesce("is_gone", F.lit(True)))
        .where(F.col("is_gone") | ~(is_same | is_without))
    )
    known = others.select(
        "image_id", "is_gone", F.col("reference").alias("known_reference"), F.col("split").alias("known_split")
    )
    rescored = with_scores(others.select(*UNSCORED_COLUMNS), captions)
    is_changed = ~(
        F.col("reference").eqNullSafe(F.col("known_reference")) & F.col("split").eqNullSafe(F.col("known_split"))
    )
    changed = rescored.join(known, on="image_id", how="inner").where(F.col("is_gone") | is_changed)
    changed = changed.withColumn("cleaning_version", F.when(~F.col("is_gone"), F.col("cleaning_version")))
    with lake.staging():
        rows = lake.stage(changed.select(*CAPTION_PREDICTIONS.schema.names))
        counts = {
            row["is_gone"]: row["count"]
            for row in rows.groupBy(F.col("cleaning_version").isNull().alias("is_gone")).count().collect()
        }
        if counts:
            lake.upsert("caption_predictions", rows, delete_when="new.cleaning_version is null")
    return counts.get(False, 0), counts.get(True, 0)


def predict_batches(
    batches: Iterator[pd.DataFrame], directory: str, settings: PredictionSettings, counter: WorkerCounter
) -> Iterator[pd.DataFrame]:
    """Rows of images_clean with their features in, PREDICTED_SCHEMA out, one for one."""
    torch.set_num_threads(settings.threads_per_worker)
    captioner = _captioner(directory, settings)
    for rows in _gathered(batches, settings.num_images_in_buffer):
        images = [_to_caption(row, captioner) for row in rows.itertuples()]
        # A part at a time, so that the count of images that are done grows as steadily as the work.
        for indices in of_like_size([image.pixels for image in images], BATCHES_AT_A_TIME * settings.batch_size):
            predicted = captioner.caption([images[index] for index in indices], counter.add)
            yield pd.DataFrame(
                {
                    "image_id": rows["image_id"].iloc[np.asarray(indices)].array,
                    "caption": [one.caption for one in predicted],
                    "confidence": [one.confidence for one in predicted],
                    "is_valid": [one.is_valid for one in predicted],
                    "alternatives": [
                        [{"caption": text, "score": score} for text, score in one.alternatives] for one in predicted
                    ],
                    "cleaning_version": rows["cleaning_version"].iloc[np.asarray(indices)].array,
                }
            )


def _to_caption(row: Any, captioner: ImageCaptioner) -> CleanedImage:
    if row.features is not None:
        return CleanedImage(unpack_features(row.features))
    image = captioner.stored(row.image, row.larger_image, row.rotation_deg)
    return image._replace(pixels=captioner.encoded(image.pixels))


@lru_cache(maxsize=1)
def _captioner(directory: str, settings: PredictionSettings) -> ImageCaptioner:
    """The captioner, loaded once per Python worker process, which lasts longer than a task."""
    return ImageCaptioner(Path(directory), settings)


def _gathered(batches: Iterator[pd.DataFrame], num_rows: int) -> Iterator[pd.DataFrame]:
    """Batches of rows joined until each has `num_rows`, so that many images of one size can be captioned together."""
    waiting: list[pd.DataFrame] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= num_rows:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
