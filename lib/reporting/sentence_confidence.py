"""Whether confidence tells good sentences from bad ones: CIDEr by tenth of the images."""

from collections.abc import Mapping

import numpy as np
import pyspark.sql.functions as F
from pyspark.sql import DataFrame, Row

from lib.captions.sentence_evaluation import references_of
from lib.captions.sentence_scores import cider_by_image


def ciders_of(predictions: DataFrame, captions: DataFrame, split: str) -> dict[str, float]:
    """The CIDEr of each captioned image of a split, by image_id; document frequencies are those of the whole split.

    Raises RuntimeMissingError as cider_by_image does.
    """
    rows = _captioned(predictions, split)
    return cider_by_image({row.image_id: row.caption for row in rows}, references_of(captions, split))


def cider_deciles(predictions: DataFrame, ciders: Mapping[str, float], split: str) -> list[tuple[float, float]]:
    """(mean confidence, mean CIDEr) by tenth of the images of a split, least confident first."""
    rows = _captioned(predictions, split)
    ordered = sorted((row.confidence, row.image_id) for row in rows if row.image_id in ciders)
    pairs = np.array([(confidence, ciders[image_id]) for confidence, image_id in ordered]).reshape(-1, 2)
    return [tuple(tenth.mean(axis=0).tolist()) for tenth in np.array_split(pairs, 10) if len(tenth)]


def _captioned(predictions: DataFrame, split: str) -> list[Row]:
    is_known = (F.col("split") == split) & F.col("confidence").isNotNull() & F.col("caption").isNotNull()
    return predictions.where(is_known).select("image_id", "caption", "confidence").collect()
