"""The captions of a model as a CSV file, for users without Spark and SQL."""

import csv
from pathlib import Path

import pyspark.sql.functions as F

from lib.lake.delta_tables import Lake
from lib.sql.views import read_views
from lib.sql_folder import SQL
from model.whole_writes import written_whole

COLUMNS = ("image_id", "caption", "confidence", "is_valid", "flagged", "rejected")
READ_VIEWS = ("newest_captions", "review_thresholds", "captions_to_review")  # each after those it reads


def write_captions_file(lake: Lake, model_version: str, sql: Path = SQL) -> Path | None:
    """Write reports/<model_version>.csv: a row of COLUMNS for each image that has arrived; None without any.

    `flagged` images are those that the view captions_to_review, of the folder `sql`, would show. After the images that
    the model captioned come those that were rejected, flagged too, with the reason in the column `rejected`.
    """
    # A session of its own, in which the views' text reads the captions of this model alone.
    lake = Lake(lake.spark.newSession(), lake.storage)
    predictions = lake.read("caption_predictions").where(F.col("model_version") == model_version)
    rejected = lake.read("images_rejected").where(F.col("stage").isin("ingest", "clean"))
    if predictions.isEmpty() and rejected.isEmpty():
        return None
    predictions.createOrReplaceTempView("caption_predictions")
    queries = {view.name: view.query for view in read_views(sql)}
    for name in READ_VIEWS:
        lake.spark.sql(queries[name]).createOrReplaceTempView(name)
    flagged = lake.spark.table("captions_to_review").select("image_id", F.lit(True).alias("flagged"))
    rows = lake.spark.table("newest_captions").join(flagged, on="image_id", how="left").orderBy("image_id")
    path = Path(lake.storage.root) / "reports" / f"{model_version}.csv"
    with written_whole(path) as written, written.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows.select("image_id", "caption", "confidence", "is_valid", "flagged").toLocalIterator():
            confidence = None if row.confidence is None else f"{row.confidence:.4f}"
            writer.writerow((row.image_id, row.caption, confidence, _word(row.is_valid), _word(row.flagged), None))
        for row in rejected.orderBy("image_id", "source").select("image_id", "reason", "detail").toLocalIterator():
            why = f"{row.reason}: {row.detail}" if row.detail else row.reason
            writer.writerow((row.image_id, None, None, None, _word(True), why))
    return path


def _word(is_so: bool | None) -> str:
    return "true" if is_so else "false"
