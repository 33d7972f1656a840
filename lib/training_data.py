"""What a model learns from: cleaned pictures with their captions as token ids, and the name of exactly that data."""

from dataclasses import dataclass

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import DataFrame

from lib.captions import CaptionSettings
from lib.delta_tables import Lake
from lib.errors import MissingInputError
from lib.vocabulary_tables import read_vocabulary, tokens_of
from model.vocabulary import Vocabulary


@dataclass(frozen=True)
class TrainingData:
    """The data of one training: how much there is, under which name, and the tokens of its captions."""

    fingerprint: str
    num_train: int
    num_validation: int
    max_tokens: int  # of the longest train caption
    vocabulary: Vocabulary


def describe_training_data(lake: Lake, settings: CaptionSettings) -> TrainingData:
    """Count and name the train and validation pictures, reading no image bytes.

    Raises MissingInputError if there is nothing to train on.
    """
    vocabulary = read_vocabulary(lake, settings)
    pairs = _pairs(lake, settings, with_images=False)
    row = pairs.agg(
        F.count_if(F.col("split") == "train").alias("num_train"),
        F.count_if(F.col("split") == "validation").alias("num_validation"),
        F.max(F.when(F.col("split") == "train", F.size("tokens"))).alias("max_tokens"),
        # The same rows give the same sum in whatever order they lie.
        F.sum(
            F.xxhash64("image_id", "caption", "split", "cleaning_version").cast("decimal(38,0)")
        ).alias("fingerprint"),
    ).first()
    assert row is not None
    if not row.num_train:
        raise MissingInputError(
            "no train picture has both a cleaned image and a caption of at most captions.max_tokens tokens: "
            "check that landing.image_id_column holds the pictures' file names"
        )
    return TrainingData(str(row.fingerprint), row.num_train, row.num_validation, row.max_tokens, vocabulary)


def training_rows(
    lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary, split: str, num_partitions: int
) -> DataFrame:
    """Rows (image: PNG bytes, token_ids: array<int>) of a split, in an order that says nothing about them."""
    rows = _pairs(lake, settings, with_images=True).where(F.col("split") == split)
    place = F.xxhash64("image_id", "caption")
    return rows.repartitionByRange(num_partitions, place).sortWithinPartitions(place).select(
        "image", _ids_of(vocabulary)(F.col("tokens")).alias("token_ids")
    )


def _pairs(lake: Lake, settings: CaptionSettings, with_images: bool) -> DataFrame:
    """Every caption that can be learned, beside its cleaned picture."""
    columns = ["image_id", "cleaning_version"] + (["image"] if with_images else [])
    captions = lake.require("captions", written_by="ingest_images").where(F.col("split") != "test")
    pictures = lake.require("images_clean", written_by="clean_images").select(*columns)
    tokenized = captions.withColumn("tokens", tokens_of(F.col("caption"), settings.notation))
    is_learnable = F.size("tokens").between(1, settings.max_tokens)  # size of null is -1
    return tokenized.where(is_learnable).join(pictures, on="image_id", how="inner")


def _ids_of(vocabulary: Vocabulary):  # type: ignore[no-untyped-def]  # pyspark does not export the type of a UDF
    def encode(tokens: pd.Series) -> pd.Series:
        return tokens.map(lambda text: vocabulary.encode(list(text)))

    return F.pandas_udf(encode, T.ArrayType(T.IntegerType()))
