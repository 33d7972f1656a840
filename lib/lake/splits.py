"""Which split an image falls into by its id; lists of splits move captions afterwards."""

import pyspark.sql.functions as F
from pyspark.sql import Column

from lib.sections.captions import CaptionSettings

NUM_BUCKETS = 1_000_000  # an image falls into one by the hash of its id


def split_of(image_id: Column, settings: CaptionSettings) -> Column:
    """The split of an image: a hash of its id alone, so that it never changes as data grows."""
    bucket = F.pmod(F.xxhash64(image_id), F.lit(NUM_BUCKETS)) / NUM_BUCKETS
    return (
        F.when(bucket < settings.test_fraction, "test")
        .when(bucket < settings.test_fraction + settings.validation_fraction, "validation")
        .otherwise("train")
    )
