"""Training data: cleaned images with captions as token ids, and a name for exactly that data."""

from dataclasses import dataclass
from functools import reduce

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql.pandas.functions import pandas_udf

from lib.captions.notations import notation_named
from lib.captions.reviewed_captions import REVIEWED_INDEX, with_reviewed
from lib.captions.writings import writing_of
from lib.errors import MissingInputError, SettingsError
from lib.lake.delta_tables import Lake
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.sections.captions import CaptionSettings
from model.vocabulary import END, UNKNOWN, Vocabulary

NUM_MEASURED = 64  # images whose bytes are measured


@dataclass(frozen=True)
class TrainingData:
    """The data of one training: how much there is, under which name, and the tokens of its captions."""

    fingerprint: str
    num_train: int
    num_validation: int
    left_out: str  # how many captions with an image cannot be learned, and images without features; empty if none
    max_tokens: int  # of the longest train caption
    vocabulary: Vocabulary
    num_tokens: int = 0  # of the first to last train captions, without <end>
    num_unknown_tokens: int = 0  # of those, tokens that the vocabulary lacks


def describe_training_data(
    lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary, encoder_version: str | None = None
) -> TrainingData:
    """Count the train and validation images that have a caption to learn from, and name them; reads no image bytes.

    Raises MissingInputError if there is nothing to train on, or nothing to validate with though there should be, and
    SettingsError if features have several shapes, which no batch can hold.
    """
    pairs = _pairs(lake, settings, vocabulary)
    has_features, shape = F.lit(True), F.lit(None)
    if encoder_version is not None:
        features = _features_of(lake, encoder_version).select("image_id", "cleaning_version", "shape")
        if features.isEmpty():
            raise MissingInputError(f"no image has features of {encoder_version}: run extract_features")
        pairs = pairs.join(features, on=["image_id", "cleaning_version"], how="left")
        has_features, shape = F.col("shape").isNotNull(), F.col("shape")
    can_be_learned = F.col("is_learnable")
    is_learnable = can_be_learned & has_features
    is_train = is_learnable & (F.col("split") == "train")
    is_unknown = F.filter("token_ids", lambda token_id: token_id == UNKNOWN)
    # The same text counts otherwise once a reviewer has accepted it. Without weights the name is what it always was.
    weight = ("caption_weight",) if settings.weighs_reviews else ()
    row = pairs.agg(
        F.count_distinct(F.when(is_train, F.col("image_id"))).alias("num_train"),
        F.count_distinct(F.when(is_learnable & (F.col("split") == "validation"), F.col("image_id"))).alias(
            "num_validation"
        ),
        F.count_if(F.col("token_ids").isNull()).alias("num_unwritable"),
        F.count_if(F.size("token_ids") > settings.max_tokens).alias("num_too_long"),
        F.count_if(~can_be_learned & F.col("unknown_token").isNotNull()).alias("num_unknown"),
        F.min(F.when(~can_be_learned, F.col("unknown_token"))).alias("unknown_token"),
        F.count_distinct(F.when(can_be_learned & ~has_features, F.col("image_id"))).alias("num_without_features"),
        F.count_distinct(F.when(is_learnable, shape)).alias("num_shapes"),
        F.max(F.when(is_train, F.size("token_ids"))).alias("max_tokens"),
        F.sum(F.when(is_train, F.size("token_ids"))).alias("num_tokens"),
        F.sum(F.when(is_train, F.size(is_unknown))).alias("num_unknown_tokens"),
        # The same rows give the same sum in whatever order they lie.
        F.sum(
            F.when(
                is_learnable,
                F.xxhash64("image_id", "caption", "split", "cleaning_version", "atom_x", "atom_y", *weight),
            ).cast("decimal(38,0)")
        ).alias("fingerprint"),
    ).first()
    assert row is not None
    left_out = _left_out(row, settings, encoder_version)
    _check_counts(row, left_out, settings, encoder_version)
    counts = (row.num_train, row.num_validation, left_out, row.max_tokens)
    return TrainingData(str(row.fingerprint), *counts, vocabulary, row.num_tokens, row.num_unknown_tokens)


def _check_counts(row: Row, left_out: str, settings: CaptionSettings, encoder_version: str | None) -> None:
    """Raise what describe_training_data raises."""
    if not row.num_train:
        raise MissingInputError(
            f"no train image has both a cleaned image and a caption that can be learned "
            f"({left_out or 'no caption has a cleaned image'}): check that landing.image_id_column holds the images' "
            "file names"
        )
    if not row.num_validation and settings.validation_fraction:
        raise MissingInputError(
            f"the validation split is empty: of {row.num_train} images that can be learned from, all are in split "
            "train; more images would help, or captions.validation_fraction=0 to train without validation"
        )
    if row.num_shapes > 1:
        raise SettingsError(
            f"features of {encoder_version} have {row.num_shapes} shapes, and training on them takes one: set "
            "cleaning.keeps_aspect to false, or cleaning.canvas_step_px to the side of the canvas, and run "
            "clean_images and extract_features again"
        )


def _left_out(counts: Row, settings: CaptionSettings, encoder_version: str | None) -> str:
    reasons = (
        (counts.num_too_long, f"captions longer than captions.max_tokens {settings.max_tokens}"),
        (counts.num_unwritable, f"captions that notation {settings.notation} cannot express"),
        (counts.num_unknown, f"captions with a token that the vocabulary lacks, such as {counts.unknown_token!r}"),
    )
    left_out = [f"{reason}: {count}" for count, reason in reasons if count]
    if counts.num_without_features:
        left_out.append(
            f"images without features of {encoder_version}: {counts.num_without_features} (run extract_features)"
        )
    return ", ".join(left_out)


def training_rows(
    lake: Lake,
    settings: CaptionSettings,
    vocabulary: Vocabulary,
    split: str,
    num_partitions: int,
    most: int | None = None,
    encoder_version: str | None = None,
) -> DataFrame:
    """Rows of a split, one per image, or the first `most` of them, in random but fixed order.

    image_id, image (PNG bytes), token_ids, other_token_ids (of further captions, END after each), marks_of_tokens,
    caption, and the layout in the cleaned image or nulls; in the train split, where reviews have a weight,
    caption_weight, that of token_ids. With encoder_version `features` of that encoder stand
    instead of `image`.
    """
    pairs = _pairs(lake, settings, vocabulary).where(F.col("is_learnable") & (F.col("split") == split))
    first = F.row_number().over(Window.partitionBy("image_id").orderBy("caption_index"))
    others = Window.partitionBy("image_id").orderBy("caption_index").rowsBetween(1, Window.unboundedFollowing)
    further = F.flatten(F.collect_list(F.concat("token_ids", F.array(F.lit(END)))).over(others))
    rows = pairs.withColumns({"rank": first, "other_token_ids": further}).where("rank = 1")
    order = (F.xxhash64("image_id", "caption"), "image_id")
    if most is not None:
        rows = rows.orderBy(*order).limit(most)
    if encoder_version is None:
        name = "image"
        images = lake.read("images_clean").select("image_id", "cleaning_version", name)
        rows = rows.join(images, on=["image_id", "cleaning_version"], how="inner")
    else:
        name = "features"
        rows = _with_features(lake, rows, encoder_version)
    weight = ("caption_weight",) if settings.weighs_reviews and split == "train" else ()
    columns = ("image_id", name, "token_ids", "other_token_ids", "marks_of_tokens", "caption", *LAYOUT_COLUMNS, *weight)
    return rows.repartitionByRange(num_partitions, *order).sortWithinPartitions(*order).select(*columns)


def mean_input_bytes(lake: Lake, encoder_version: str | None) -> float:
    """Mean bytes of the network's input for an image (its PNG or its features), over a few images."""
    if encoder_version is None:
        inputs = lake.read("images_clean").select(F.col("image").alias("input"))
    else:
        inputs = _features_of(lake, encoder_version).select(F.col("features").alias("input"))
    mean = inputs.limit(NUM_MEASURED).agg(F.avg(F.length("input"))).first()
    return mean[0] or 0.0 if mean else 0.0


def _with_features(lake: Lake, rows: DataFrame, encoder_version: str) -> DataFrame:
    """The rows whose image has features of this encoder, with them."""
    features = _features_of(lake, encoder_version).select("image_id", "cleaning_version", "features")
    return rows.join(features, on=["image_id", "cleaning_version"], how="inner")


def _features_of(lake: Lake, encoder_version: str) -> DataFrame:
    encoded = lake.require("image_features")
    return encoded.where(F.col("encoder_version") == encoder_version)


def _pairs(lake: Lake, settings: CaptionSettings, vocabulary: Vocabulary) -> DataFrame:
    """Every caption of a cleaned image, with whether it can be learned."""
    captions = lake.require("captions")
    captions = with_reviewed(lake, captions, settings).where(F.col("split") != "test")
    is_reviewed = F.col("caption_index") == REVIEWED_INDEX
    captions = captions.withColumn("caption_weight", F.when(is_reviewed, settings.review_weight).otherwise(1.0))
    images = lake.require("images_clean").select("image_id", "cleaning_version", "rotation_deg", "transform")
    layouts = lake.read("image_layouts").where(_is_sound()).select("image_id", *LAYOUT_COLUMNS)
    pairs = captions.join(images, on="image_id", how="inner").join(layouts, on="image_id", how="left")
    pairs = pairs.withColumns({"atom_x": _moved("transform", 0), "atom_y": _moved("transform", 3)})
    writing = writing_of(
        F.col("caption"), settings.notation, F.struct(*LAYOUT_COLUMNS), F.coalesce("rotation_deg", F.lit(0))
    )
    pairs = pairs.withColumn("writing", writing).select(
        "*",
        _ids_of(vocabulary)(F.col("writing.tokens")).alias("token_ids"),
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
    """One coordinate of the marks in the cleaned image: a row of the 2 x 3 matrix times (x, y, 1)."""
    by_x, by_y, shift = (F.element_at(transform, row + index) for index in (1, 2, 3))
    return F.zip_with("atom_x", "atom_y", lambda x, y: (by_x * x + by_y * y + shift).cast("float"))


def _ids_of(vocabulary: Vocabulary):  # type: ignore[no-untyped-def]  # pyspark does not export the type of a UDF
    def encode(tokens: pd.Series) -> pd.Series:
        return tokens.map(lambda text: None if text is None else vocabulary.encode(list(text)))

    return pandas_udf(encode, T.ArrayType(T.IntegerType()))  # type: ignore[call-overload]  # its stubs ask for functionType
