"""Captions that reviewers accepted or wrote, as training captions."""

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

from lib.lake.delta_tables import Lake
from lib.lake.models import IN_THE_PROJECT, why_nothing_is_trained
from lib.lake.splits import split_of
from lib.sections.captions import CaptionSettings

REVIEWED_INDEX = -1  # caption_index of what reviewers accepted or wrote


def with_reviewed(lake: Lake, captions: DataFrame, settings: CaptionSettings) -> DataFrame:
    """Captions with those that reviewers accepted or wrote, as image_id, caption_index, caption and split.

    A reviewed caption is the image's first; `instead` leaves none of its others, `added` leaves all. An image on which
    reviewers disagree keeps what it has, and so does one whose file was replaced after its review. One that has a
    caption from reviewers alone falls into the split that its id says.
    """
    captions = captions.select("image_id", "caption_index", "caption", "split")
    if settings.reviewed == "ignored":
        return captions
    splits = captions.groupBy("image_id").agg(F.min("split").alias("split"))
    split = F.coalesce("split", split_of(F.col("image_id"), settings))
    reviewed = (
        _agreed(_of_these_bytes(lake))
        .join(splits, on="image_id", how="left")
        .select("image_id", F.lit(REVIEWED_INDEX).alias("caption_index"), "caption", split)
        .toDF(*captions.columns)
    )
    same = ["image_id"] if settings.reviewed == "instead" else ["image_id", "caption"]
    return captions.join(reviewed, on=same, how="left_anti").select(*captions.columns).unionByName(reviewed)


def agreement_with_reviews(lake: Lake, candidate: str, champion: str) -> str | None:
    """For people: how many captions of each model are what reviewers agreed on, of images that both have captioned.

    None if there is no such image.
    """
    agreed = _agreed(_of_these_bytes(lake)).withColumnRenamed("caption", "agreed")
    predictions = lake.read("caption_predictions").where(F.col("model_version").isin(candidate, champion))
    of_both = (
        predictions.join(agreed, on="image_id", how="inner")
        .withColumn("is_right", F.col("caption").eqNullSafe(F.col("agreed")))
        .groupBy("image_id")
        .pivot("model_version", [candidate, champion])
        .agg(F.first("is_right"))
        .dropna()
    )
    counts = of_both.agg(F.count("*").alias("num"), *(F.count_if(F.col(f"`{one}`")) for one in (candidate, champion)))
    row = counts.first()
    if row is None or not row.num:
        return None
    return f"of {row.num} captions that reviewers agree on it has {row[1]}, the champion {row[2]}"


def why_nothing_is_learned(lake: Lake, model_version: str, settings: CaptionSettings) -> str | None:
    """Why nothing is trained for captioning with the model of that name, reviewers' captions counted; None if it is."""
    why = why_nothing_is_trained(lake, model_version)
    if why is None or model_version == IN_THE_PROJECT or settings.reviewed == "ignored":
        return why
    found = with_reviewed(lake, lake.read("captions"), settings).select("split").distinct().collect()
    needed = {"train", "validation"} if settings.validation_fraction else {"train"}
    missing = sorted(needed - {row.split for row in found})
    return f"{why}, and no caption that reviewers found right is in split {' or '.join(missing)}" if missing else None


def standing_reviews(reviews: DataFrame) -> DataFrame:
    """The newest review of each caption by each reviewer, without those taken back: the view standing_reviews."""
    undone = reviews.select(F.col("undoes").alias("review_id"))
    of_reviewer = Window.partitionBy("image_id", "model_version", "reviewer")
    newest = of_reviewer.orderBy(F.desc("reviewed_at"), F.desc("review_id"))
    given = reviews.where(F.col("verdict") != "undo").join(undone, on="review_id", how="left_anti")
    return given.withColumn("newness", F.row_number().over(newest)).where("newness = 1").drop("newness")


def _of_these_bytes(lake: Lake) -> DataFrame:
    """The reviews that stand of images as they are now, not of a file that was replaced since."""
    images = lake.read("images_raw").where("is_replaced").select("image_id", F.col("ingested_at").alias("replaced_at"))
    standing = standing_reviews(lake.read("caption_reviews")).join(images, on="image_id", how="left")
    return standing.where(F.col("replaced_at").isNull() | (F.col("reviewed_at") >= F.col("replaced_at")))


def _agreed(standing: DataFrame) -> DataFrame:
    """The caption of each image that reviewers agree on: accepted by at least one, contradicted by none."""
    is_corrected = F.col("verdict") == "correct"
    right = standing.where(F.col("verdict").isin("accept", "correct")).select(
        "image_id", F.when(is_corrected, F.col("corrected_caption")).otherwise(F.col("caption")).alias("caption")
    )
    wrong = standing.where(F.col("verdict").isin("wrong", "correct")).select("image_id", "caption")
    one = right.groupBy("image_id").agg(F.max("caption").alias("caption"), F.count_distinct("caption").alias("count"))
    return one.where("count = 1").join(wrong, on=["image_id", "caption"], how="left_anti").select("image_id", "caption")
