"""Tables inside archives: caption files may lie beside the images."""

from collections.abc import Iterable, Iterator
from functools import partial

import pandas as pd

from lib.hidden_files import is_hidden
from lib.lake.delta_tables import Lake
from lib.landing.archived_files import files_of
from lib.landing.caption_file_names import base_name, is_table
from lib.landing.caption_files import TABLE_ERRORS
from lib.landing.ledger import FILE_SCHEMA
from lib.landing.zone import LandedFile
from lib.sections.landing import LandingSettings

MEMBER_SCHEMA = "path string, member string, num_bytes long"


def list_archived_tables(
    lake: Lake, archives: list[LandedFile], landing: LandingSettings
) -> list[tuple[str, str, int]]:
    """(path of the archive, name of the member, its size in bytes) of every table; a damaged archive has one named ''.

    A packed tar is unpacked to its end for this, once for each of its versions.
    """
    if not archives:
        return []
    files = lake.spark.createDataFrame(archives, FILE_SCHEMA).repartition(len(archives))
    rows = files.mapInPandas(partial(list_members, landing=landing), MEMBER_SCHEMA).orderBy("path", "member").collect()
    return [(row.path, row.member, row.num_bytes) for row in rows]


def list_members(batches: Iterable[pd.DataFrame], landing: LandingSettings) -> Iterator[pd.DataFrame]:
    """Rows with the path of an archive in, rows of MEMBER_SCHEMA out."""
    for batch in batches:
        for path in batch["path"]:
            try:  # of members of one name the last is meant
                tables = {name: num_bytes for name, num_bytes, _ in files_of(path) if _is_table(name, landing)}
            except TABLE_ERRORS:
                tables = {"": 0}
            rows = [(path, name, num_bytes) for name, num_bytes in tables.items()]
            yield pd.DataFrame(rows, columns=["path", "member", "num_bytes"])


def _is_table(member: str, landing: LandingSettings) -> bool:
    return not is_hidden(member) and is_table(base_name(member), landing)
