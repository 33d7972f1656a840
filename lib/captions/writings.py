"""Captions as a notation writes them, in Spark: tokens, and the atom that each names."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pandas as pd
import pyspark.sql.functions as F
import pyspark.sql.types as T
from pyspark.sql import Column

from lib.captions.notation_process import NotationProcess
from lib.captions.notations import notation_named
from lib.errors import NotationError
from lib.lake.schemas import TABLES
from lib.molecules.layout import Layout
from lib.molecules.smiles import Writing

WRITING = T.StructType([
    T.StructField("tokens", T.ArrayType(T.StringType())), T.StructField("atoms", T.ArrayType(T.IntegerType())),
])
LAYOUT = T.StructType([TABLES["image_layouts"].schema[name] for name in Layout._fields])
Writer = Callable[[str, Layout | None, int], Writing | None]


def writing_of(
    caption: Column, notation_name: str, layout: Column | None = None, rotation_deg: Column | None = None
) -> Column:
    """The caption as a struct of tokens and atoms (the index that each token names, -1 for none).

    Null for a caption that the notation cannot express. Notations that follow the drawing go by the `layout` in the
    cleaned picture, a struct of LAYOUT's fields, or, where that is null, by where the drawer would have put the atoms.
    """
    notation_named(notation_name)  # said here, not by every worker

    def write_all(captions: pd.Series, layouts: pd.DataFrame, rotations: pd.Series) -> pd.DataFrame:
        write = _writer(notation_name)
        rows = []
        for text, fields, rotation in zip(captions, layouts.itertuples(index=False), rotations, strict=True):
            known = None if any(field is None for field in fields) else Layout(*map(np.asarray, fields))
            written = write(text, known, int(rotation))
            rows.append((written.tokens, written.atoms) if written else (None, None))
        return pd.DataFrame(rows, columns=["tokens", "atoms"])

    columns = (
        caption, F.lit(None).cast(LAYOUT) if layout is None else layout,
        F.lit(0) if rotation_deg is None else rotation_deg,
    )
    return F.pandas_udf(write_all, WRITING)(*columns)


@lru_cache(maxsize=1)
def _writer(notation_name: str) -> Writer:
    """One for each Python worker process, which outlives a task."""
    notation = notation_named(notation_name)
    if notation.is_written_by_rdkit:
        return NotationProcess(notation_name).write

    def write(caption: str, layout: Layout | None, rotation_deg: int) -> Writing | None:
        try:
            return notation.write(caption, layout, rotation_deg)
        except NotationError:
            return None

    return write
