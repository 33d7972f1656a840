"""Edit distances of captions to their references, and of controls that ignore the image, in native Spark."""

import logging
from functools import reduce
from typing import Any

import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Row, Window

from lib.captions.nearest_neighbour import neighbour_captions
from lib.captions.predictors import CONSTANT_CAPTION, MODEL, NEAREST_NEIGHBOUR, SHUFFLED_PICTURES
from lib.captions.sentence_evaluation import score_sentences
from lib.captions.sentence_scores import METRICS
from lib.errors import MissingInputError
from lib.fingerprints import fingerprint
from lib.lake.delta_tables import Lake, commit_time
from lib.lake.row_fingerprints import fingerprint_of_rows
from lib.lake.schemas import EVALUATIONS, PERCENTS

logger = logging.getLogger(__name__)

NUM_CONSTANT_CANDIDATES = 200
NUM_CONSTANT_REFERENCES = 1_000  # each candidate is compared with as many references


def with_scores(predicted: DataFrame, captions: DataFrame) -> DataFrame:
    """Add reference, edit_distance, similarity and split to rows with image_id and caption, one for one.

    Of several references of an image the nearest counts, and of equally near ones the first. All four are null for
    an image without reference.
    """

    def measured(reference: Column) -> Column:
        return F.struct(
            F.levenshtein(F.col("caption"), reference["caption"]).alias("edit_distance"),
            reference["caption_index"].alias("caption_index"),
            reference["caption"].alias("reference"),
        )

    references = (
        captions.where(F.col("caption").isNotNull())
        .groupBy("image_id")
        .agg(F.collect_list(F.struct("caption_index", "caption")).alias("references"), F.min("split").alias("split"))
    )
    # Structs compare field by field, so the least is the nearest reference.
    nearest = F.array_min(F.transform("references", measured))
    return (
        predicted.join(references, on="image_id", how="left")
        .withColumn("nearest", nearest)
        .withColumns({"reference": F.col("nearest.reference"), "edit_distance": F.col("nearest.edit_distance")})
        .withColumn("similarity", _similarity(F.col("edit_distance"), F.col("caption"), F.col("reference")))
        .select(*predicted.columns, "reference", "edit_distance", "similarity", "split")
    )


def _similarity(edit_distance: Column, caption: Column, reference: Column) -> Column:
    """1 - distance / length of the longer, 0..1; two empty texts are alike."""
    longest = F.greatest(F.length(caption), F.length(reference))
    return F.when(edit_distance.isNotNull() & (longest == 0), 1.0).otherwise(1 - edit_distance / longest)


def evaluate_captions(lake: Lake, model_version: str, as_sentences: bool = False) -> None:
    """Score a model's captions on each split beside controls that need no model.

    Where images have features, the caption of the most similar train image is one. `as_sentences` adds BLEU, METEOR,
    ROUGE-L and CIDEr to edit distances.
    Raises MissingInputError if that model has captioned nothing, and RuntimeMissingError if sentences cannot be scored.
    """
    predictions = lake.require("caption_predictions")
    of_model = F.col("model_version") == F.lit(model_version)
    if predictions.where(of_model).isEmpty():
        if lake.read("images_clean").isEmpty():
            logger.info("nothing to score: images_clean is empty")
            return
        raise MissingInputError(
            f"there are no predictions of model {model_version} in {lake.storage.root}: run predict_captions first"
        )
    captions = lake.read("captions")
    scored = with_known_reference(predictions.where(of_model), captions)
    known = lake.read("evaluations").where(of_model)
    if known.isEmpty() and scored.isEmpty():
        logger.info("nothing to score: no image has both a reference and a caption by model %s", model_version)
        return
    # Before they are scored: what changes in between makes the next run evaluate again.
    read = [scored.drop("predicted_at"), captions.drop("ingested_at")]
    if lake.has("image_features"):
        read.append(lake.read("image_features").select("image_id", "encoder_version", "cleaning_version"))
    inputs_fingerprint = fingerprint(as_sentences, *map(fingerprint_of_rows, read))
    if not known.where(F.col("inputs_fingerprint") == inputs_fingerprint).isEmpty():
        logger.info("the evaluations of model %s are up to date", model_version)
        return
    same_of_all = {
        "model_version": model_version,
        "evaluated_at": commit_time(),
        "inputs_fingerprint": inputs_fingerprint,
    }
    rows = _evaluate(lake, scored, captions, same_of_all, as_sentences)
    # The scores of a split are removed when none of its images has a reference any more.
    splits = {row.split for row in rows}
    gone = [Row(**row.asDict() | {"num_images": None}) for row in known.collect() if row.split not in splits]
    changes = lake.spark.createDataFrame([*rows, *gone], EVALUATIONS.schema)
    lake.upsert("evaluations", changes, delete_when="new.num_images is null")
    for row in rows:
        _log(row)


def _evaluate(
    lake: Lake, scored: DataFrame, captions: DataFrame, same_of_all: dict[str, Any], as_sentences: bool
) -> list[Row]:
    """Rows of `evaluations`, one per split and predictor, with the columns that are the same in all.

    Collected, a handful, because a MERGE reads its source twice and would score everything twice.
    """
    control_caption = best_constant_caption(captions)
    neighbours = neighbour_captions(lake, scored, captions)
    summaries = _summarise(scores_by_predictor(scored, captions, control_caption, neighbours)).withColumn(
        "control_caption", F.when(F.col("predictor") == CONSTANT_CAPTION, F.lit(control_caption))
    )
    written = captions_by_predictor(scored, control_caption, neighbours)
    sentences = score_sentences(written, captions) if as_sentences else {}
    nulls = dict.fromkeys(EVALUATIONS.schema.names)
    names = [name for name in nulls if name in summaries.columns]
    return [
        Row(**nulls | same_of_all | row.asDict() | sentences.get((row.split, row.predictor), {}))
        for row in summaries.select(*names).orderBy("split", "predictor").collect()
    ]


def with_known_reference(predictions: DataFrame, captions: DataFrame) -> DataFrame:
    """The scored predictions of images that still have a reference."""
    references = captions.select("image_id", F.col("caption").alias("reference"))
    standing = predictions.join(references, on=["image_id", "reference"], how="left_semi")
    return standing.where(F.col("edit_distance").isNotNull() & F.col("split").isNotNull()).select(
        "image_id", "split", "caption", "is_valid", "confidence", "edit_distance", "similarity", "predicted_at"
    )


def scores_by_predictor(
    scored: DataFrame, captions: DataFrame, control_caption: str | None, neighbours: DataFrame | None = None
) -> DataFrame:
    """One row per image and predictor: split, predictor, edit_distance, similarity, is_valid, confidence.

    is_valid and confidence are null for the controls: their captions are the model's own and people's.
    """
    of_controls = captions_by_predictor(scored, control_caption, neighbours).where(F.col("predictor") != MODEL)
    controls = with_scores(of_controls.drop("split"), captions)
    columns = ["image_id", "split", "predictor", "edit_distance", "similarity", "is_valid", "confidence"]
    return (
        scored.withColumn("predictor", F.lit(MODEL))
        .select(*columns)
        .unionByName(
            controls.withColumns(
                {"is_valid": F.lit(None).cast("boolean"), "confidence": F.lit(None).cast("double")}
            ).select(*columns)
        )
    )


def captions_by_predictor(
    scored: DataFrame, control_caption: str | None, neighbours: DataFrame | None = None
) -> DataFrame:
    """One row per image and predictor: image_id, split, predictor, caption; null where a control has no caption.

    `neighbours` are rows of neighbour_captions; without them there is no such predictor.
    """
    captions = {
        MODEL: F.col("caption"),
        CONSTANT_CAPTION: F.lit(control_caption).cast("string"),
        SHUFFLED_PICTURES: _caption_of_another(),
    }
    written = [
        scored.select("image_id", "split", F.lit(predictor).alias("predictor"), caption.alias("caption"))
        for predictor, caption in captions.items()
    ]
    if neighbours is not None:
        of_neighbours = scored.select("image_id", "split", F.lit(NEAREST_NEIGHBOUR).alias("predictor"))
        written.append(of_neighbours.join(neighbours, on="image_id", how="left"))
    return reduce(DataFrame.unionByName, written)


def best_constant_caption(captions: DataFrame) -> str | None:
    """The train caption, of a sample of them, that is nearest to train captions on average; None without any."""
    in_hash_order = captions.where(F.col("split") == "train").orderBy(
        F.xxhash64("image_id", "caption_index"), "image_id", "caption_index"
    )
    references = in_hash_order.select(F.col("caption").alias("reference")).limit(NUM_CONSTANT_REFERENCES)
    candidates = in_hash_order.select("caption").limit(NUM_CONSTANT_CANDIDATES).distinct()
    num_cores = captions.sparkSession.sparkContext.defaultParallelism
    best = (
        candidates.repartition(num_cores)  # else one core compares them all: a limit leaves one partition
        .crossJoin(F.broadcast(references))
        .groupBy("caption")
        .agg(F.avg(F.levenshtein("caption", "reference")).alias("mean_edit_distance"))
        .orderBy("mean_edit_distance", "caption")
        .first()
    )
    return best.caption if best else None


def _caption_of_another() -> Column:
    """The caption of the image before this one in the hash order of its split, the last for the first; null if alone.

    A ring of two or more images never hands an image its own caption.
    """
    split = Window.partitionBy("split")
    ring = split.orderBy(F.xxhash64("image_id"), "image_id")
    last = F.last("caption").over(ring.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing))
    return F.when(F.count("*").over(split) > 1, F.coalesce(F.lag("caption").over(ring), last))


def _summarise(scores: DataFrame) -> DataFrame:
    """One row per split and predictor with the columns of `evaluations` that are figures."""
    measures = ("edit_distance", "similarity")
    summaries = scores.groupBy("split", "predictor").agg(
        F.count("edit_distance").alias("num_images"),
        F.avg((F.col("edit_distance") == 0).cast("double")).alias("exact_match"),
        F.avg("edit_distance").alias("mean_edit_distance"),
        F.avg("similarity").alias("mean_similarity"),
        F.avg(F.col("is_valid").cast("double")).alias("valid_share"),
        F.avg("confidence").alias("mean_confidence"),
        *(F.percentile(measure, [percent / 100 for percent in PERCENTS]).alias(measure) for measure in measures),
    )
    return summaries.withColumns(
        {
            f"{measure}_p{percent:02d}": F.col(measure)[index].cast("double")
            for measure in measures
            for index, percent in enumerate(PERCENTS)
        }
    )


def _log(evaluation: Row) -> None:
    scores = (evaluation.mean_similarity, evaluation.mean_edit_distance, evaluation.exact_match)
    logger.info(
        "model %s, split %s, %s: %d images, mean similarity %s, mean edit distance %s, exact %s",
        evaluation.model_version,
        evaluation.split,
        evaluation.predictor,
        evaluation.num_images,
        *("none" if score is None else f"{score:.3f}" for score in scores),
    )
    if evaluation.num_sentences:
        logger.info(
            "model %s, split %s, %s: %d sentences, %d of them empty: "
            "BLEU-1 to BLEU-4 %.3f %.3f %.3f %.3f, METEOR %.3f, ROUGE-L %.3f, CIDEr %.3f",
            evaluation.model_version,
            evaluation.split,
            evaluation.predictor,
            evaluation.num_sentences,
            evaluation.num_empty_sentences,
            *(evaluation[name] for name in METRICS),
        )
