"""caption_reviews is one table, whether Spark or the review page made it, and each reads what the other wrote."""

from datetime import UTC, datetime

import pytest

from lib.lake.delta_rows import DeltaRows
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTION_REVIEWS
from lib.reviewing.review_log import Review, ReviewLog

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def review(review_id: str) -> Review:
    return Review(review_id, "a", "m1", "a dog", "correct", 4, "two dogs", "anna", None, NOON)


@pytest.mark.parametrize("first", ["spark", "page"])
def test_either_makes_the_table_and_reads_what_the_other_wrote(lake: Lake, first: str) -> None:
    log = ReviewLog(DeltaRows(lake.storage.root))
    if first == "page":
        log.append(review("r0"))
    rows = [tuple(review(name)) for name in ("r0", "r1")]
    lake.insert_new("caption_reviews", lake.spark.createDataFrame(rows, CAPTION_REVIEWS.schema))
    for name in ("r1", "r2"):
        log.append(review(name))
    read = lake.read("caption_reviews")
    assert read.schema == CAPTION_REVIEWS.schema
    assert [field.metadata for field in read.schema] == [field.metadata for field in CAPTION_REVIEWS.schema]
    found = {tuple(row)[:-1] for row in read.collect()}
    assert found == {tuple(review(name))[:-1] for name in ("r0", "r1", "r2")}
    assert {row.reviewed_at.timestamp() for row in read.collect()} == {NOON.timestamp()}
    assert log.reviews() == [review(name) for name in ("r0", "r1", "r2")]
    lake.compact("caption_reviews")
    log.append(review("r3"))
    assert len(log.reviews()) == lake.read("caption_reviews").count() == 4
