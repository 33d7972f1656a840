"""The part of a cleaned image's version that stands for its bytes."""

import pyspark.sql.functions as F
from pyspark.sql import Column


def version_of_bytes() -> Column:
    """The end of `cleaning_version` for a row of images_raw: '' for the bytes that arrived first, else their hash."""
    is_replaced = F.coalesce(F.col("is_replaced"), F.lit(False))
    return F.when(is_replaced, F.concat(F.lit("-"), F.substring("sha256", 1, 12))).otherwise("")
