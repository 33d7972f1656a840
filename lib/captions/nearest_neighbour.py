"""The nearest-neighbour control: each image gets the caption of the train image with the most similar features."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import pandas as pd
import pyspark.sql.functions as F
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql.pandas.functions import pandas_udf

from lib.captions.nearest_image import NUM_CANDIDATES, Candidates, direction_of, nearest
from lib.images.packed_features import unpack_features
from lib.lake.delta_tables import Lake

IMAGES_AT_A_TIME = 1_000
NEIGHBOURS_SCHEMA = "image_id string, neighbour_id string"


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
