"""Captions scored as sentences: what each predictor wrote is read from Delta split by split, and scored as a whole."""

import pyspark.sql.functions as F
from pyspark.sql import DataFrame

from lib.captions.sentence_scores import SentenceScorer

Scores = dict[tuple[str, str], dict[str, float]]  # by split and predictor, as SentenceScorer.score gives them


def score_sentences(written: DataFrame, captions: DataFrame) -> Scores:
    """Scores of `written` (image_id, split, predictor, caption) against all references.

    `written` has a row of each image for every predictor, and all are scored over the same images: a caption that is
    null counts as an empty one. A predictor without any caption has no scores. The driver holds the captions of one
    split at a time.
    Raises RuntimeMissingError if pycocoevalcap or Java 17 is missing, or if a program in Java fails.
    """
    scores: Scores = {}
    splits = sorted(row.split for row in written.select("split").distinct().collect())
    with SentenceScorer() as scorer:
        for split in splits:
            references = references_of(captions, split)
            predictions: dict[str, dict[str, str | None]] = {}
            for row in written.where(F.col("split") == split).select("image_id", "predictor", "caption").collect():
                predictions.setdefault(row.predictor, {})[row.image_id] = row.caption
            for predictor, of_predictor in predictions.items():
                if any(caption is not None for caption in of_predictor.values()):
                    # In one order, whichever order Spark has: sums of floating-point numbers depend on it.
                    captioned = {image_id: of_predictor[image_id] or "" for image_id in sorted(of_predictor)}
                    scores[split, predictor] = scorer.score(captioned, references)
    return scores


def references_of(captions: DataFrame, split: str) -> dict[str, list[str]]:
    """All references of each image of a split, in their order."""
    known = captions.where((F.col("split") == split) & F.col("caption").isNotNull())
    grouped = known.groupBy("image_id").agg(
        F.sort_array(F.collect_list(F.struct("caption_index", "caption")))["caption"].alias("references")
    )
    return {row.image_id: row.references for row in grouped.collect()}
