"""The control that looks at images but writes nothing: the caption of the train image whose features are most alike."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql.pandas.functions import pandas_udf

from lib.images.packed_features import unpack_features
from lib.lake.delta_tables import Lake

NUM_CANDIDATES = 20_000  # train images that are compared, at most, in hash order: 100 MB of 1,280 features
IMAGES_AT_A_TIME = 1_000
NEIGHBOURS_SCHEMA = "image_id string, neighbour_id string"


class Candidates(NamedTuple):
    """Train images with their features."""

    image_ids: np.ndarray  # (N,)
    directions: np.ndarray  # (N, F) float32, each of length 1


def neighbour_captions(lake: Lake, images: DataFrame, captions: DataFrame) -> DataFrame | None:
    """Rows (image_id, caption) for those of `images` that have features: the caption of the nearest train image.

    Features are averaged over the grid and compared by the cosine of their angle; an image is no neighbour of itself.
    Of the neighbour's captions it is the one nearest to the others. None for a lake without features. The driver holds
    the features of NUM_CANDIDATES train images, and of IMAGES_AT_A_TIME others.
    """
    if not lake.has("image_features"):
        return None
    features = lake.read("image_features")
    train = captions.where((F.col("split") == "train") & F.col("caption").isNotNull()).select("image_id").distinct()
    first = train.orderBy(F.xxhash64("image_id"), "image_id").limit(NUM_CANDIDATES)
    pairs: list[tuple[str, str]] = []
    for version in sorted(row[0] for row in features.select("encoder_version").distinct().collect()):
        of_encoder = features.where(F.col("encoder_version") == version).withColumn(
            "direction", _direction(F.col("features"))
        )
        candidates = _collected(of_encoder.join(first, on="image_id", how="left_semi"))
        asked = of_encoder.join(images.select("image_id").distinct(), on="image_id", how="left_semi")
        if len(candidates.image_ids):
            pairs += _nearest_pairs(asked, candidates)
    neighbours = lake.spark.createDataFrame(pairs, NEIGHBOURS_SCHEMA)
    return neighbours.join(central_captions(captions).withColumnRenamed("image_id", "neighbour_id"), on="neighbour_id")[
        ["image_id", "caption"]
    ]


def central_captions(captions: DataFrame) -> DataFrame:
    """One row (image_id, caption) per image: its caption with the fewest edits to its others, the first of equals."""
    known = captions.where(F.col("caption").isNotNull()).select("image_id", "caption_index", "caption")
    others = known.select("image_id", F.col("caption").alias("other"))
    edits = known.join(others, on="image_id").groupBy("image_id", "caption_index", "caption")
    distances = edits.agg(F.sum(F.levenshtein("caption", "other")).alias("distance"))
    order = Window.partitionBy("image_id").orderBy("distance", "caption_index")
    return distances.withColumn("rank", F.row_number().over(order)).where("rank = 1").select("image_id", "caption")


def nearest(directions: np.ndarray, image_ids: np.ndarray, candidates: Candidates) -> list[str | None]:
    """The id of each image's nearest candidate (rows of length 1, (M, F)), None if there is none but itself."""
    cosines = directions @ candidates.directions.T  # (M, N)
    cosines[image_ids[:, None] == candidates.image_ids[None]] = -np.inf
    best = cosines.argmax(axis=1)
    is_other = np.isfinite(cosines[np.arange(len(best)), best])
    return [str(candidates.image_ids[index]) if other else None for index, other in zip(best, is_other, strict=True)]


def direction_of(features: np.ndarray) -> np.ndarray:
    """Features (F, h, w) averaged over the grid and scaled to length 1: float32 (F,); zeros stay zeros."""
    mean = features.astype(np.float32).mean(axis=(1, 2))
    scaled: np.ndarray = mean / max(float(np.linalg.norm(mean)), np.finfo(np.float32).tiny)
    return scaled


def _direction(features: Column) -> Column:
    def average(packed: pd.Series) -> pd.Series:
        return packed.map(lambda one: direction_of(unpack_features(one)).tobytes())

    return pandas_udf(average, "binary")(features)  # type: ignore[call-overload]  # its stubs ask for functionType


def _collected(features: DataFrame) -> Candidates:
    # In one order, whichever order Spark has: the first of equally near ones is taken.
    return _as_candidates(features.select("image_id", "direction").orderBy("image_id").collect())


def _as_candidates(rows: list[Row]) -> Candidates:
    directions = [np.frombuffer(row.direction, np.float32) for row in rows]
    return Candidates(np.array([row.image_id for row in rows], object), np.stack(directions) if rows else np.empty(0))


def _nearest_pairs(asked: DataFrame, candidates: Candidates) -> Iterator[tuple[str, str]]:
    rows = asked.select("image_id", "direction").toLocalIterator()
    while chunk := list(islice(rows, IMAGES_AT_A_TIME)):
        ours = _as_candidates(chunk)
        for image_id, neighbour in zip(
            ours.image_ids, nearest(ours.directions, ours.image_ids, candidates), strict=True
        ):
            if neighbour is not None:
                yield image_id, neighbour
