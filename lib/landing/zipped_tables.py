"""Tables inside zips: caption files may lie beside the images. Those inside tars are not looked for."""

import posixpath
import struct
from collections.abc import Iterable, Iterator

import pandas as pd

from lib.lake.delta_tables import Lake
from lib.landing.caption_file_names import TABLE_SUFFIXES, TEXT_SUFFIXES
from lib.landing.caption_files import DAMAGE
from lib.landing.file_listing import is_hidden
from lib.landing.ledger import FILE_SCHEMA
from lib.landing.zip_directory import zip_entries
from lib.landing.zone import LandedFile, open_landed

MEMBER_SCHEMA = "path string, member string, num_bytes long"


def list_zipped_tables(lake: Lake, zips: list[LandedFile]) -> list[tuple[str, str, int]]:
    """(path of the zip, name of the member, its size in bytes) of every table; a damaged zip has one named ''."""
    if not zips:
        return []
    files = lake.spark.createDataFrame(zips, FILE_SCHEMA).repartition(len(zips))
    rows = files.mapInPandas(list_members, MEMBER_SCHEMA).orderBy("path", "member").collect()
    return [(row.path, row.member, row.num_bytes) for row in rows]


def list_members(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Rows with the path of a zip in, rows of MEMBER_SCHEMA out."""
    for batch in batches:
        for path in batch["path"]:
            try:
                with open_landed(path) as stream:
                    names = [(entry.name.decode("utf-8", "replace"), entry.num_bytes) for entry in zip_entries(stream)]
                rows = [(path, name, num_bytes) for name, num_bytes in names if _is_table(name)]
                if any("\ufffd" in name for _, name, _ in rows):  # zipfile could not open it by that name
                    rows = [(path, "", 0)]
            except (*DAMAGE, struct.error):
                rows = [(path, "", 0)]
            yield pd.DataFrame(rows, columns=["path", "member", "num_bytes"])


def _is_table(member: str) -> bool:
    return not is_hidden(member) and posixpath.basename(member).lower().endswith(TABLE_SUFFIXES + TEXT_SUFFIXES)
