"""images_clean to image_features: a frozen encoder runs once over each image; training and captioning read the rest."""

import logging
from collections.abc import Iterator
from functools import lru_cache, partial

import pandas as pd
import pyspark.sql.functions as F
import torch
from pyspark.sql import DataFrame

from lib.errors import SettingsError
from lib.images.cleaning import decode_png
from lib.images.frozen_features import encoder_version, extract
from lib.images.packed_features import pack_features
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.pending_rows import PendingRows, commit_batches, find_pending_rows, num_tasks
from lib.lake.schemas import IMAGE_FEATURES
from lib.lake.worker_counts import WorkerCounter
from model.config import CaptionerConfig
from model.encoders import frozen_encoder
from model.errors import EncoderWeightsError

logger = logging.getLogger(__name__)

IMAGES_AT_A_TIME = 16  # of one size, a batch of the encoder
FEATURES_SCHEMA = "image_id string, cleaning_version string, shape array<int>, features binary"


def extract_new_features(lake: Lake, config: CaptionerConfig) -> None:
    """Encode the images of images_clean that this encoder has not encoded as they are now.

    The settings say that its features last. Raises SettingsError if the encoder's weights cannot be had.
    """
    version = encoder_version(config)
    assert version is not None, "has_lasting_features"
    lake.create("image_features")
    clean = lake.require("images_clean")
    encoded = lake.read("image_features").where(F.col("encoder_version") == version)
    done = encoded.join(
        clean.select("image_id", "cleaning_version"), on=["image_id", "cleaning_version"], how="left_semi"
    )
    rows = clean.select("image_id", "cleaned_at", "cleaning_version", "image")
    with lake.staging():
        _extract_pending(lake, find_pending_rows(lake, rows, done, "cleaned_at"), config, version)


def _extract_pending(lake: Lake, pending: PendingRows, config: CaptionerConfig, version: str) -> None:
    if not pending.num_rows:
        logger.info("nothing new")
        return
    try:
        frozen_encoder(config)  # weights that are not there are said here, not by every worker
    except EncoderWeightsError as error:
        raise SettingsError(str(error)) from None
    commit = partial(_commit_batch, lake, config, version)
    commit_batches(lake, "extract_features", pending.batches(), pending.num_rows, commit)


def _commit_batch(
    lake: Lake, config: CaptionerConfig, version: str, batch: DataFrame, num_rows: int, counter: WorkerCounter
) -> None:
    encode = partial(encode_batches, config=config, counter=counter)
    images = batch.select("image_id", "cleaning_version", "image").repartition(num_tasks(lake.spark, num_rows))
    rows = images.mapInPandas(encode, FEATURES_SCHEMA).withColumns(
        {"encoder_version": F.lit(version), "extracted_at": F.lit(commit_time())}
    )
    lake.upsert("image_features", lake.stage(rows.select(*IMAGE_FEATURES.schema.names)))


def encode_batches(
    batches: Iterator[pd.DataFrame], config: CaptionerConfig, counter: WorkerCounter
) -> Iterator[pd.DataFrame]:
    """Rows (image_id, cleaning_version, image) in, rows of FEATURES_SCHEMA out, one for one."""
    torch.set_num_threads(1)  # Spark runs one worker per core
    for batch in batches:
        images = [decode_png(image) for image in batch["image"]]
        features = [
            one
            for start in range(0, len(images), IMAGES_AT_A_TIME)
            for one in extract(images[start : start + IMAGES_AT_A_TIME], _encoder(config), config.num_channels)
        ]
        counter.add(len(features))
        yield pd.DataFrame(
            {
                "image_id": batch["image_id"],
                "cleaning_version": batch["cleaning_version"],
                "shape": [list(one.shape) for one in features],
                "features": [pack_features(one) for one in features],
            }
        )


_encoder = lru_cache(maxsize=1)(frozen_encoder)  # once per Python worker process, which outlives a task
