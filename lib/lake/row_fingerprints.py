"""Hashes of rows, by which a job tells whether its input has changed since it last ran."""

import pyspark.sql.functions as F
from pyspark.sql import DataFrame


def fingerprint_of_rows(rows: DataFrame) -> str:
    """A hash that is equal for equal rows in any order and any files, and differs for other rows."""
    # Spark's hash passes over nulls, so which columns are null is hashed besides.
    hashed = F.xxhash64(*rows.columns, *(F.col(column).isNull() for column in rows.columns))
    row = rows.agg(F.count("*"), F.sum(hashed.cast("decimal(38,0)"))).collect()[0]
    return f"{row[0]}-{row[1] or 0}"
