"""Reviews are rows of a Delta table, each exactly once, whoever makes the table and however often they are sent."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from lib.errors import StorageError
from lib.lake.delta_rows import DeltaRows, UnreadableTableError
from lib.lake.review_columns import VERDICTS
from lib.lake.schemas import TABLES
from lib.reviewing import review_log
from lib.reviewing.review_log import COLUMNS, TABLE, Review, ReviewLog
from tests.unit.reviewing.reviewed_lake import write

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def review(review_id: str, verdict: str = "accept", reviewer: str = "anna", **others: object) -> Review:
    values = dict.fromkeys(Review._fields) | {
        "review_id": review_id,
        "image_id": "a",
        "model_version": "m1",
        "caption": "a dog",
        "verdict": verdict,
        "reviewer": reviewer,
        "reviewed_at": NOON,
    }
    return Review(**(values | others))  # type: ignore[arg-type]


def ids(root: Path) -> list[str]:
    return sorted(row.review_id for row in ReviewLog(DeltaRows(str(root))).reviews())


def append_some(root: str, first: int) -> None:
    """In a process of its own: five reviews of its own, and five that others send as well."""
    log = ReviewLog(DeltaRows(root))
    for number in range(5):
        log.append(review(f"own-{first}-{number}"))
        log.append(review(f"shared-{number}"))


def test_a_review_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = review("r1", "correct", rating=4, corrected_caption="zwei Hunde im Schnee ❄")
    log = ReviewLog(DeltaRows(str(tmp_path)))
    assert log.reviews() == []
    log.append(written)
    assert log.reviews() == [written]


@pytest.mark.parametrize("folder", ["p%20c", "b\\slash", "a\nb"])
def test_a_folder_in_whose_place_another_would_be_taken_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / folder)
    for name in (folder, "link"):
        with pytest.raises(UnreadableTableError, match="cannot be reached without Spark"):
            DeltaRows(str(tmp_path / name))


def test_a_review_that_is_sent_twice_is_one_row(tmp_path: Path) -> None:
    log = ReviewLog(DeltaRows(str(tmp_path)))
    log.append(review("r1"))
    log.append(review("r1", "wrong"))
    assert [(row.review_id, row.verdict) for row in log.reviews()] == [("r1", "accept")]
    assert DeltaTable(tmp_path / TABLE).version() == 1  # a second sending is no commit


def test_reviews_that_several_processes_send_at_once_are_each_one_row(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_some, args=(str(tmp_path), first)) for first in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    own = [f"own-{first}-{number}" for first in range(3) for number in range(5)]
    assert ids(tmp_path) == sorted(own + [f"shared-{number}" for number in range(5)])


def test_one_review_that_many_threads_send_is_one_row(tmp_path: Path) -> None:
    log = ReviewLog(DeltaRows(str(tmp_path)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: log.append(review("r1")), range(16)))
    assert ids(tmp_path) == ["r1"]


def test_the_page_makes_the_table_that_spark_would_make(tmp_path: Path) -> None:
    ReviewLog(DeltaRows(str(tmp_path))).append(review("r1"))
    made = DeltaTable(tmp_path / TABLE)
    spark = TABLES[TABLE]
    assert made.metadata().description == spark.comment
    fields = {
        field.name: (field.type.type, field.nullable, field.metadata["comment"]) for field in made.schema().fields
    }
    simple = {"int": "integer"}
    assert fields == {
        field.name: (
            simple.get(field.dataType.simpleString(), field.dataType.simpleString()),
            True,
            field.metadata["comment"],
        )
        for field in spark.schema
    }
    protocol = made.protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_a_table_that_was_there_first_is_written_to(tmp_path: Path) -> None:
    write(tmp_path, TABLE, [review("r0")._asdict()])
    ReviewLog(DeltaRows(str(tmp_path))).append(review("r1"))
    assert ids(tmp_path) == ["r0", "r1"]


def test_a_newer_table_with_columns_and_verdicts_unknown_here_is_read_and_written_to(tmp_path: Path) -> None:
    newer = pa.table(
        {name: pa.array([value], COLUMNS[name]) for name, value in review("r0", "praise")._asdict().items()}
    )
    write_deltalake(str(tmp_path / TABLE), newer.append_column("mood", pa.array(["good"])))
    log = ReviewLog(DeltaRows(str(tmp_path)))
    log.append(review("r1"))
    assert [(row.review_id, row.verdict) for row in log.reviews()] == [("r0", "praise"), ("r1", "accept")]


@pytest.mark.parametrize("lacking", ["rating", "corrected_caption", "undoes", "verdict"])
def test_a_table_that_lacks_a_column_loses_nothing_of_a_review(tmp_path: Path, lacking: str) -> None:
    write(tmp_path, TABLE, [review("r0")._asdict()])
    older = DeltaTable(tmp_path / TABLE).to_pyarrow_table().drop_columns([lacking])
    write_deltalake(tmp_path / TABLE, older, mode="overwrite", schema_mode="overwrite")
    log = ReviewLog(DeltaRows(str(tmp_path)))
    given = review("r1", "correct", rating=2, corrected_caption="a cat")
    undoing = review("r2", "undo", undoes="r1")
    log.append(given)
    log.append(undoing)
    assert [row for row in log.reviews() if row.review_id != "r0"] == [given, undoing]


def test_rows_that_no_page_wrote_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, TABLE, [review("r0")._asdict(), review("r1")._asdict() | {"reviewed_at": None}, {}])
    assert ids(tmp_path) == ["r0"]


def test_the_newest_review_of_each_reviewer_stands(tmp_path: Path) -> None:
    log = ReviewLog(DeltaRows(str(tmp_path)))
    log.append(review("r1"))
    log.append(review("r2", "wrong", reviewed_at=NOON + timedelta(seconds=1)))
    log.append(review("r3", "accept", "bert", reviewed_at=NOON + timedelta(seconds=2)))
    (standing,) = log.standing().values()
    assert {name: row.review_id for name, row in standing.items()} == {"anna": "r2", "bert": "r3"}


def test_an_undone_review_leaves_the_one_before_it_standing(tmp_path: Path) -> None:
    log = ReviewLog(DeltaRows(str(tmp_path)))
    for number, verdict in enumerate(("accept", "wrong")):
        log.append(review(f"r{number}", verdict, reviewed_at=NOON + timedelta(seconds=number)))
    newest = log.newest_of("anna")
    assert newest is not None
    log.append(review("u", "undo", undoes=newest.review_id, reviewed_at=NOON + timedelta(seconds=9)))
    assert log.standing()["a", "m1"]["anna"].review_id == "r0"
    again = log.newest_of("anna")
    assert again is not None
    assert again.review_id == "r0"
    assert log.newest_of("bert") is None


def test_what_another_reviewer_has_taken_back_does_not_stand_and_their_own_reviews_do(tmp_path: Path) -> None:
    log = ReviewLog(DeltaRows(str(tmp_path)))
    for number, (verdict, reviewer) in enumerate((("accept", "anna"), ("wrong", "anna"), ("accept", "adele"))):
        log.append(review(f"r{number}", verdict, reviewer, reviewed_at=NOON + timedelta(seconds=number)))
    log.append(review("u", "undo", "adele", undoes="r1", reviewed_at=NOON + timedelta(seconds=9)))
    assert {name: row.review_id for name, row in log.standing()["a", "m1"].items()} == {"anna": "r0", "adele": "r2"}
    newest = {name: log.newest_of(name) for name in ("anna", "adele")}
    assert {name: row and row.review_id for name, row in newest.items()} == {"anna": "r0", "adele": "r2"}


def test_another_process_reviews_are_seen_and_a_table_made_again_too(tmp_path: Path) -> None:
    mine, theirs = (ReviewLog(DeltaRows(str(tmp_path))) for _ in range(2))
    theirs.append(review("r1"))
    assert [row.review_id for row in mine.reviews()] == ["r1"]
    theirs.append(review("r2"))
    assert len(mine.reviews()) == 2
    (tmp_path / TABLE).rename(tmp_path / "elsewhere")
    assert mine.reviews() == []
    theirs.append(review("r3"))
    assert [row.review_id for row in mine.reviews()] == ["r3"]


def test_the_files_of_many_reviews_are_joined_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_log, "MAX_FILES", 5)
    log = ReviewLog(DeltaRows(str(tmp_path)))
    for number in range(12):
        log.append(review(f"r{number:02}"))
        assert [row.review_id for row in log.reviews()] == [f"r{earlier:02}" for earlier in range(number + 1)]
    assert len(DeltaTable(tmp_path / TABLE).file_uris()) <= 5
    assert ids(tmp_path) == [f"r{number:02}" for number in range(12)]


def test_a_place_that_cannot_be_written_to_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as refused:
        ReviewLog(DeltaRows(str(tmp_path / "file"))).append(review("r1"))
    assert "\n" not in str(refused.value)


def test_every_verdict_of_the_comment_is_explained() -> None:
    comment = TABLES[TABLE].schema["verdict"].metadata["comment"]
    assert all(f"{verdict}: {meaning}" in comment for verdict, meaning in VERDICTS.items())


READ_AND_END = """
import sys
import pyarrow as pa
from lib.lake.delta_rows import DeltaRows
assert len(DeltaRows(sys.argv[1]).read("caption_reviews", {"image_id": pa.string()})) == 3
"""


def test_a_process_that_has_read_tables_ends_in_peace(tmp_path: Path) -> None:
    for number in range(3):
        row = pa.table({"image_id": [f"image {number}"], "review_id": [f"r{number}"]})
        write_deltalake(str(tmp_path / "caption_reviews"), row, mode="append")
    for _ in range(6):  # threads were still reading in every second process
        ended = subprocess.run([sys.executable, "-c", READ_AND_END, str(tmp_path)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
