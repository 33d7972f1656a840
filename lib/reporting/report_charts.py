"""The charts of a model's report, from its scores and its training."""

from typing import NamedTuple

import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Window

from lib.captions.predictors import LABELS, MODEL
from lib.lake.delta_tables import Lake
from lib.reporting.charts import confidence_chart, histogram_chart, loss_chart, sentence_confidence_chart

NUM_BINS = 40
CONFIDENCE = (
    "Images in ten groups of equal size by the model's confidence. Where it tells right from wrong, the bars rise to "
    "the right; where it is a probability to count on, each ends at its mark."
)
SENTENCE_CONFIDENCE = (
    "Images in ten groups of equal size by the model's confidence, the geometric mean probability of a word. Where it "
    "tells good captions from bad, the bars rise to the right."
)
LOSS = "Loss while the model was trained; where validation rises and train still falls, it learns by heart."


class Chart(NamedTuple):
    """One chart of the report."""

    title: str
    meaning: str  # what it shows
    data_uri: str  # of its SVG


def report_charts(
    lake: Lake, scores: DataFrame, tenths_of_sentences: list[tuple[float, float]] | None, model_version: str
) -> list[Chart]:
    """Each chart there are figures for."""
    charts = []
    if similarities := _histogram(scores, "similarity", 1 / NUM_BINS):
        svg = histogram_chart(*similarities, "similarity of caption and reference (0 to 1)")
        charts.append(Chart("Similarity", "Fraction of the images by similarity; further right is better.", svg))
    if distances := _histogram(scores, "edit_distance", _bin_width(scores)):
        svg = histogram_chart(*distances, "edit distance (characters)")
        charts.append(Chart("Edit distance", "Fraction of the images by edit distance; further left is better.", svg))
    if tenths_of_sentences:
        svg = sentence_confidence_chart(tenths_of_sentences)
        charts.append(Chart("Does confidence tell?", SENTENCE_CONFIDENCE, svg))
    elif tenths := deciles(scores):
        charts.append(Chart("Does confidence tell?", CONFIDENCE, confidence_chart(tenths)))
    metrics = lake.read("training_metrics").where(F.col("run_id") == model_version).orderBy("step").collect()
    train = [(row.step, row.train_loss) for row in metrics if row.train_loss is not None]
    validation = [(row.step, row.validation_loss) for row in metrics if row.validation_loss is not None]
    if train or validation:
        charts.append(Chart("Training", LOSS, loss_chart(train, validation)))
    return charts


def _bin_width(scores: DataFrame) -> int:
    """Width of a bin of edit distances, in characters, so that there are at most NUM_BINS."""
    longest = scores.agg(F.coalesce(F.max("edit_distance"), F.lit(0))).collect()[0][0]
    return int(longest) // NUM_BINS + 1


def _histogram(scores: DataFrame, measure: str, width: float) -> tuple[dict[str, list[float]], list[float]] | None:
    """(fraction of images per bin by predictor, edges of the bins); a similarity of 1 belongs to the last bin."""
    bin_index = F.floor(F.col(measure) / width + 1e-9).cast("int")
    rows = scores.where(F.col(measure).isNotNull()).groupBy("predictor", bin_index.alias("bin_index")).count().collect()
    if not rows:
        return None
    num_bins = NUM_BINS if measure == "similarity" else max(row.bin_index for row in rows) + 1
    counts = {predictor: [0] * num_bins for predictor in LABELS if any(row.predictor == predictor for row in rows)}
    for row in rows:
        counts[row.predictor][min(row.bin_index, num_bins - 1)] += row["count"]
    fractions = {predictor: [number / sum(numbers) for number in numbers] for predictor, numbers in counts.items()}
    return fractions, [bin_index * width for bin_index in range(num_bins + 1)]


def deciles(scores: DataFrame) -> list[tuple[float, float, float]]:
    """(mean confidence, fraction exact, mean similarity) by tenth of the model's captions, least confident first."""
    by_confidence = Window.partitionBy("split").orderBy("confidence", "image_id")
    rows = (
        scores.where((F.col("predictor") == MODEL) & F.col("confidence").isNotNull())
        .withColumn("decile", F.ntile(10).over(by_confidence))
        .groupBy("decile")
        .agg(F.avg("confidence"), F.avg((F.col("edit_distance") == 0).cast("double")), F.avg("similarity"))
        .orderBy("decile")
    )
    return [(row[1], row[2], row[3]) for row in rows.collect()]
