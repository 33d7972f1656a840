"""Rows of caption files on their way to Spark: `pytest tests/unit/landing/test_caption_chunks.py`."""

import gzip
from pathlib import Path

from lib.landing import caption_ingestion
from lib.landing.caption_files import examine
from lib.landing.caption_rows import CaptionRow
from tests.unit.landing.landed_files import settings


def test_long_captions_come_in_small_chunks_and_none_is_lost() -> None:
    long = CaptionRow("p", "x" * 2**20, "file", 1, None, None, "p")
    rows = [long._replace(position=number) for number in range(40)]
    chunks = list(caption_ingestion._chunks(iter(rows)))
    assert [number for chunk in chunks for number in chunk["position"]] == list(range(40))
    assert max(chunk["caption"].str.len().sum() for chunk in chunks) <= caption_ingestion.CHARS_PER_CHUNK + 2**20


def test_a_file_that_is_cut_after_it_was_found_has_its_rows_and_one_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv.gz"
    path.write_bytes(gzip.compress(b"image_id,caption\n" + b"".join(b"%d,text %d\n" % (i, i) for i in range(20_000))))
    file = examine(f"file://{path}", "", settings(tmp_path))
    assert file is not None
    path.write_bytes(path.read_bytes()[:-5_000])
    *rows, last = caption_ingestion._rows_to_the_end(file, settings(tmp_path), ("",))
    assert [row.caption for row in rows[:2]] == ["text 0", "text 1"]
    assert (last.reason, last.caption, last.source) == ("unreadable_row", None, f"file://{path}")


def test_a_file_that_is_gone_after_it_was_found_is_one_row_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image_id,caption\na,x\n")
    file = examine(f"file://{path}", "", settings(tmp_path))
    assert file is not None
    path.unlink()
    (row,) = caption_ingestion._rows_to_the_end(file, settings(tmp_path), ("",))
    assert (row.reason, row.caption, row.position, row.source) == ("unreadable_row", None, 0, f"file://{path}")
