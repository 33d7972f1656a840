"""What a model learns from: cleaned pictures with their captions as token ids, and the name of exactly that data."""

from dataclasses import dataclass
from functools import reduce

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql.pandas.functions import pandas_udf

from lib.captions.notations import notation_named
from lib.captions.writings import writing_of
from lib.errors import MissingInputError
from lib.lake.delta_tables import Lake
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.sections.captions import CaptionSettings
from model.vocabulary import UNKNOWN, Vocabulary


@dataclass(frozen=True)
class TrainingData:
    """The data of one training: how much there is, under which name, and the tokens of its captions."""

    fingerprint: str
    num_train: int
    num_validation: int
    left_out: str  # how many captions with a picture cannot be learned, and why; empty if none
    max_tokens: int  # of the longest train caption
    vocabulary: Vocabulary


def describe_training_data(lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary) -> TrainingData:
    """Count and name the train and validation pictures, reading no image bytes.

    Raises MissingInputError if there is nothing to train on, or nothing to validate with though there should be.
    """
    pairs = _pairs(lake, settings, vocabulary, with_images=False)
    is_learnable = F.col("is_learnable")
    row = pairs.agg(
        F.count_if(is_learnable & (F.col("split") == "train")).alias("num_train"),
        F.count_if(is_learnable & (F.col("split") == "validation")).alias("num_validation"),
        F.count_if(F.col("token_ids").isNull()).alias("num_unwritable"),
        F.count_if(F.size("token_ids") > settings.max_tokens).alias("num_too_long"),
        F.count_if(~is_learnable & F.col("unknown_token").isNotNull()).alias("num_unknown"),
        F.min(F.when(~is_learnable, F.col("unknown_token"))).alias("unknown_token"),
        F.max(F.when(is_learnable & (F.col("split") == "train"), F.size("token_ids"))).alias("max_tokens"),
        # The same rows give the same sum in whatever order they lie.
        F.sum(F.when(is_learnable, F.xxhash64("image_id", "caption", "split", "cleaning_version", "atom_x", "atom_y"))
              .cast("decimal(38,0)")).alias("fingerprint"),
    ).first()
    assert row is not None
    left_out = _left_out(row, settings)
    if not row.num_train:
        raise MissingInputError(
            f"no train picture has both a cleaned image and a caption that can be learned "
            f"({left_out or 'no caption has a cleaned image'}): check that landing.image_id_column holds the pictures' "
            "file names"
        )
    if not row.num_validation and settings.validation_share:
        raise MissingInputError(
            f"the validation split is empty: of {row.num_train} pictures that can be learned from, all are in split "
            "train; more pictures would help, or captions.validation_share=0 to train without validation"
        )
    return TrainingData(
        str(row.fingerprint), row.num_train, row.num_validation, left_out, row.max_tokens, vocabulary
    )


def _left_out(counts: Row, settings: CaptionSettings) -> str:
    reasons = (
        (counts.num_too_long, f"captions longer than captions.max_tokens {settings.max_tokens}"),
        (counts.num_unwritable, f"captions that notation {settings.notation} cannot express"),
        (counts.num_unknown, f"captions with a token that the vocabulary lacks, such as {counts.unknown_token!r}"),
    )
    return ", ".join(f"{reason}: {count}" for count, reason in reasons if count)


def training_rows(
    lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary, split: str, num_partitions: int,
    most: int | None = None,
) -> DataFrame:
    """Rows of a split, or the first `most` of them, in an order that says nothing about them, always the same.

    image_id, image (PNG bytes), token_ids, marks_of_tokens, caption, and the layout in the cleaned
    picture or nulls.
    """
    rows = _pairs(lake, settings, vocabulary, with_images=True).where(F.col("is_learnable") & (F.col("split") == split))
    place = (F.xxhash64("image_id", "caption"), "image_id", "caption_index")
    if most is not None:
        rows = rows.orderBy(*place).limit(most)
    return rows.repartitionByRange(num_partitions, *place).sortWithinPartitions(*place).select(
        "image_id", "image", "token_ids", "marks_of_tokens", "caption", *LAYOUT_COLUMNS
    )


def _pairs(lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary, with_images: bool) -> DataFrame:
    """Every caption beside its cleaned picture, with whether it can be learned."""
    columns = ["image_id", "cleaning_version", "rotation_deg", "transform"] + (["image"] if with_images else [])
    captions = lake.require("captions", written_by="ingest_images").where(F.col("split") != "test")
    pictures = lake.require("images_clean", written_by="clean_images").select(*columns)
    layouts = lake.read("image_layouts").where(_is_sound()).select("image_id", *LAYOUT_COLUMNS)
    pairs = captions.join(pictures, on="image_id", how="inner").join(layouts, on="image_id", how="left")
    pairs = pairs.withColumns({"atom_x": _moved("transform", 0), "atom_y": _moved("transform", 3)})
    writing = writing_of(
        F.col("caption"), settings.notation, F.struct(*LAYOUT_COLUMNS), F.coalesce("rotation_deg", F.lit(0))
    )
    pairs = pairs.withColumn("writing", writing).select(
        "*", _ids_of(vocabulary)(F.col("writing.tokens")).alias("token_ids"),
        F.col("writing.marks").alias("marks_of_tokens"),
    )
    tokens = F.arrays_zip(F.col("writing.tokens").alias("token"), F.col("token_ids").alias("id"))
    unknown = F.get(F.filter(tokens, lambda one: one["id"] == UNKNOWN), F.lit(0))["token"]
    pairs = pairs.withColumn("unknown_token", unknown)
    is_learnable = F.size("token_ids").between(1, settings.max_tokens)  # size of null is -1
    if notation_named(settings.notation).needs_every_token:
        is_learnable &= F.col("unknown_token").isNull()
    return pairs.withColumn("is_learnable", is_learnable)


def _is_sound() -> Column:
    """Whether a layout's lists are whole, equally long, and name marks that it has."""
    whole = [F.coalesce(~F.exists(name, lambda value: value.isNull()), F.lit(False)) for name in LAYOUT_COLUMNS]
    equal = [F.size("atom_x") == F.size("atom_y")]
    equal += [F.size(name) == F.size("bond_begin") for name in ("bond_end", "bond_order", "bond_wedge")]
    ends = ("bond_begin", "bond_end")
    named = [F.forall(name, lambda mark: (mark >= 0) & (mark < F.size("atom_x"))) for name in ends]
    return reduce(Column.__and__, whole + equal + named)


def _moved(transform: str, row: int) -> Column:
    """One coordinate of the marks in the cleaned picture: a row of the 2 x 3 matrix times (x, y, 1)."""
    by_x, by_y, shift = (F.element_at(transform, row + place) for place in (1, 2, 3))
    return F.zip_with("atom_x", "atom_y", lambda x, y: (by_x * x + by_y * y + shift).cast("float"))


def _ids_of(vocabulary: Vocabulary):  # type: ignore[no-untyped-def]  # pyspark does not export the type of a UDF
    def encode(tokens: pd.Series) -> pd.Series:
        return tokens.map(lambda text: None if text is None else vocabulary.encode(list(text)))

    return pandas_udf(encode, T.ArrayType(T.IntegerType()))  # type: ignore[call-overload]  # its stubs ask for functionType
