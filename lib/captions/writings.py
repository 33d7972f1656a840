"""Captions as a notation writes them, in Spark: tokens, and the mark that each names."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column

from lib.captions.notation_process import NotationProcess
from lib.captions.notations import Writing, notation_named
from lib.errors import NotationError

WRITING = T.StructType([
    T.StructField("tokens", T.ArrayType(T.StringType())), T.StructField("marks", T.ArrayType(T.IntegerType())),
])
Writer = Callable[[str, np.ndarray | None, int], Writing | None]


def writing_of(
    caption: Column, notation_name: str, mark_x: Column | None = None, mark_y: Column | None = None,
    rotation_deg: Column | None = None,
) -> Column:
    """The caption as a struct of tokens and marks (the index that each token names, -1 for none).

    Null for a caption that the notation cannot express. Notations that follow the drawing go by where marks lie in the
    cleaned picture, or, where that is null, by where the drawer would have put them.
    """
    notation_named(notation_name)  # said here, not by every worker

    def write_all(captions: pd.Series, xs: pd.Series, ys: pd.Series, rotations: pd.Series) -> pd.DataFrame:
        write = _writer(notation_name)
        rows = []
        for text, x, y, rotation in zip(captions, xs, ys, rotations, strict=True):
            places = None if x is None or y is None else np.stack((x, y), axis=1)
            written = write(text, places, int(rotation))
            rows.append((written.tokens, written.marks) if written else (None, None))
        return pd.DataFrame(rows, columns=["tokens", "marks"])

    nowhere = F.lit(None).cast("array<float>")
    columns = (
        caption, nowhere if mark_x is None else mark_x, nowhere if mark_y is None else mark_y,
        F.lit(0) if rotation_deg is None else rotation_deg,
    )
    return F.pandas_udf(write_all, WRITING)(*columns)


@lru_cache(maxsize=1)
def _writer(notation_name: str) -> Writer:
    """One for each Python worker process, which outlives a task."""
    notation = notation_named(notation_name)
    if "write" in notation.needs_isolation:
        return NotationProcess(notation_name).write

    def write(caption: str, places: np.ndarray | None, rotation_deg: int) -> Writing | None:
        try:
            return notation.write(caption, places, rotation_deg)
        except NotationError:
            return None

    return write
