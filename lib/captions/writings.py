"""Captions as a notation writes them, in Spark: tokens, and the mark that each names."""

from functools import lru_cache

import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column
from pyspark.sql.pandas.functions import pandas_udf

from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.lake.schemas import TABLES

WRITING = T.StructType(
    [T.StructField("tokens", T.ArrayType(T.StringType())), T.StructField("marks", T.ArrayType(T.IntegerType()))]
)
LAYOUT = T.StructType([TABLES["image_layouts"].schema[name] for name in LAYOUT_COLUMNS])


def writing_of(
    caption: Column, notation_name: str, layout: Column | None = None, rotation_deg: Column | None = None
) -> Column:
    """The caption as a struct of tokens and marks (the index that each token names, -1 for none).

    Null for a caption that the notation cannot express. Notations that follow the drawing go by the `layout` in the
    cleaned image, a struct of LAYOUT's fields, or, where that is null, by where the drawer would have put the marks.
    """
    notation_named(notation_name)  # said here, not by every worker

    def write_all(captions: pd.Series, layouts: pd.DataFrame, rotations: pd.Series) -> pd.DataFrame:
        notation = _safe(notation_name)
        rows = []
        for text, row, rotation in zip(captions, layouts.to_dict("records"), rotations, strict=True):
            known = None if any(column is None for column in row.values()) else {str(name): row[name] for name in row}
            written = notation.write(text, known, int(rotation))
            rows.append((written.tokens, written.marks) if written else (None, None))
        return pd.DataFrame(rows, columns=["tokens", "marks"])

    columns = (
        caption,
        F.lit(None).cast(LAYOUT) if layout is None else layout,
        F.lit(0) if rotation_deg is None else rotation_deg,
    )
    return pandas_udf(write_all, WRITING)(*columns)  # type: ignore[call-overload]  # its stubs ask for functionType


@lru_cache(maxsize=1)
def _safe(notation_name: str) -> SafeNotation:
    """The notation, made once per Python worker process, which lasts longer than a task."""
    return SafeNotation(notation_named(notation_name))
