"""The queue: doubt first, filters, search, pages that hold while others review and the table changes."""

import math
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lib.lake.delta_rows import DeltaRows, UnreadableTableError
from lib.reviewing import table_cache
from lib.reviewing.doubt_queue import DoubtOrder, DoubtQueue
from lib.reviewing.queue_filters import QueueFilters
from lib.reviewing.review_log import Review, Standing
from lib.reviewing.review_thresholds import Thresholds, read_thresholds
from lib.serving.refusals import RefusedRequestError
from tests.unit.reviewing.reviewed_lake import fill, prediction, write

THRESHOLDS = Thresholds(0.5, 0.3, 0.5, 0.55)
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def order_of(root: Path) -> DoubtOrder:
    return DoubtQueue(DeltaRows(str(root)), THRESHOLDS).order()


def ids(order: DoubtOrder, standing: Standing | None = None, **filters: str) -> list[str]:
    matching = order.matching(QueueFilters.of(filters), standing or {}, "anna")
    return [row["image_id"] for row in order.page(matching, None, 1000).rows]


def wait_for_another(queue: DoubtQueue, before: DoubtOrder, until: float) -> None:
    while queue.order() is before:
        assert time.monotonic() < until
        time.sleep(0.01)


def reviewed(image_id: str, verdict: str = "accept", reviewer: str = "anna") -> Standing:
    review = Review("r", image_id, "m1", f"caption of {image_id}", verdict, None, None, reviewer, None, LATER)
    return {(image_id, "m1"): {reviewer: review}}


def test_the_thresholds_are_those_of_the_view() -> None:
    assert read_thresholds(None) == THRESHOLDS


def test_a_sentence_is_in_doubt_below_a_confidence_of_its_own(tmp_path: Path) -> None:
    captions = {"sentence": "a red bird", "molecule": "InChI=1S/CH4/h1H4", "poor sentence": "a bird"}
    confidences = {"sentence": 0.4, "molecule": 0.4, "poor sentence": 0.25}
    write(
        tmp_path, "caption_predictions", [prediction(one, confidences[one], caption=captions[one]) for one in captions]
    )
    order = order_of(tmp_path)
    rows = order.page(order.matching(QueueFilters(), {}, ""), None, 9).rows
    assert {row["image_id"] for row in rows if row["reasons"]} == {"molecule", "poor sentence"}


def test_doubtful_captions_come_first(tmp_path: Path) -> None:
    write(
        tmp_path,
        "caption_predictions",
        [
            prediction("sure", 0.9),
            prediction("unsure", 0.2),
            prediction("far", 0.95, reference="xyz", similarity=0.1),
            prediction("far sentence", 0.97, reference="a red bird", similarity=0.1),
            prediction("invalid", 0.8, is_valid=False),
            prediction("nothing", None, caption=None, is_valid=None),
        ],
    )
    order = order_of(tmp_path)
    assert ids(order) == ["nothing", "invalid", "far", "unsure", "sure", "far sentence"]
    found = {
        row["image_id"]: row["reasons"] for row in order.page(order.matching(QueueFilters(), {}, ""), None, 9).rows
    }
    assert found["far"] == ["far from the reference"]
    assert found["invalid"] == ["invalid"]
    assert found["nothing"] == ["no caption"]
    assert found["unsure"] == ["low confidence"]
    assert found["sure"] == found["far sentence"] == []


def test_the_days_to_choose_from_are_those_of_the_model(tmp_path: Path) -> None:
    of_days = {("m1", 1): "a", ("m1", 2): "b", ("m2", 3): "c"}
    rows = [
        prediction(name, 0.9, model_version=model, predicted_at=datetime(2026, 2, day, tzinfo=UTC))
        for (model, day), name in of_days.items()
    ]
    write(tmp_path, "caption_predictions", rows)
    order = order_of(tmp_path)
    assert order.days_of(QueueFilters()) == ["2026-02-03"]  # of the newest model
    assert order.days_of(QueueFilters(model="m1")) == ["2026-02-02", "2026-02-01"]
    assert order.days_of(QueueFilters(model="all")) == ["2026-02-03", "2026-02-02", "2026-02-01"]
    assert order.days_of(QueueFilters(day="2026-02-01")) == ["2026-02-03", "2026-02-01"]  # what is chosen is shown


def test_a_caption_that_another_reading_disputes_comes_after_unsure_ones_and_before_the_others(tmp_path: Path) -> None:
    def disputed(image_id: str, *probabilities: float, caption: str = "CC") -> dict[str, Any]:
        others = [{"caption": f"C{number}", "score": math.log(one)} for number, one in enumerate(probabilities)]
        return prediction(image_id, 0.9, caption=caption, alternatives=others)

    rows = [
        prediction("unsure", 0.4, caption="CC"),
        prediction("quite sure", 0.6, caption="CC"),
        prediction("of an older table", 0.7, caption="CC", alternatives=None),
        disputed("disputed", 0.6, 0.3),
        disputed("disputed by a damaged one", 0.6) | {"alternatives": [None]},
        disputed("second best of the same reading", 0.49, 0.48),
        disputed("sentence", 0.6, caption="a red bird"),
    ]
    write(tmp_path, "caption_predictions", rows)
    order = order_of(tmp_path)
    assert ids(order)[:4] == ["unsure", "disputed", "quite sure", "of an older table"]
    assert ids(order, reason="disputed") == ["disputed"]
    (row,) = order.page(order.matching(QueueFilters(reason="disputed"), {}, ""), None, 9).rows
    assert row["reasons"] == ["disputed"]
    assert "alternatives" not in row


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["b", "a"]),  # of the newest model
        ({"model": "m1"}, ["old"]),
        ({"model": "all"}, ["b", "old", "a"]),
        ({"model": "all", "day": "2026-02-01"}, ["b", "a"]),
        ({"reason": "invalid"}, ["b"]),
        ({"confidence_from": "0.5"}, ["a"]),
        ({"confidence_to": "0.5"}, ["b"]),
        ({"text": "CAPTION OF a"}, ["a"]),
        ({"text": "of caption"}, ["a"]),  # words in any order
        ({"text": "b"}, ["b"]),
        ({"text": "100%_.*"}, []),
    ],
)
def test_filters_and_search(tmp_path: Path, filters: dict[str, str], expected: list[str]) -> None:
    newer = {"model_version": "m2", "predicted_at": LATER}
    write(
        tmp_path,
        "caption_predictions",
        [
            prediction("old", 0.3),
            prediction("a", 0.9, **newer),
            prediction("b", 0.4, is_valid=False, caption="other", **newer),
        ],
    )
    assert ids(order_of(tmp_path), **filters) == expected


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"reason": "ugly"}, "reason must be one of"),
        ({"state": "lost"}, "state must be one of"),
        ({"day": "yesterday"}, "day must be a date"),
        ({"confidence_from": "high"}, "confidence from must be a number from 0 to 1"),
        ({"confidence_to": "nan"}, "confidence to must be a number from 0 to 1"),
        ({"text": "x" * 201}, "200 characters at most, not 201"),
    ],
)
def test_a_filter_that_cannot_be_used_is_named(filters: dict[str, str], said: str) -> None:
    with pytest.raises(RefusedRequestError, match=said):
        QueueFilters.of(filters)


def test_pages_follow_one_another_without_gap_or_repetition(tmp_path: Path) -> None:
    expected = fill(tmp_path, 25)
    order = order_of(tmp_path)
    matching = order.matching(QueueFilters(), {}, "anna")
    seen: list[str] = []
    after = None
    for _ in range(3):
        page = order.page(matching, after, 10)
        seen += [row["image_id"] for row in page.rows]
        after = (seen[-1], "m1")
    assert (seen, page.is_last, page.num_found) == (expected, True, 25)


def test_a_page_begins_after_a_row_that_was_reviewed_meanwhile(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    order = order_of(tmp_path)
    matching = order.matching(QueueFilters(), reviewed("image-001"), "anna")
    page = order.page(matching, ("image-001", "m1"), 2)
    assert [row["image_id"] for row in page.rows] == ["image-002", "image-003"]


def test_neighbours_are_those_that_the_filters_leave(tmp_path: Path) -> None:
    fill(tmp_path, 4)
    order = order_of(tmp_path)
    matching = order.matching(QueueFilters(), reviewed("image-001"), "anna")
    assert order.neighbour(matching, ("image-000", "m1"), 1) == ("image-002", "m1")
    assert order.neighbour(matching, ("image-002", "m1"), -1) == ("image-000", "m1")
    assert order.neighbour(matching, ("image-001", "m1"), 1) == ("image-002", "m1")  # itself not among them
    assert order.neighbour(matching, ("image-001", "m1"), -1) == ("image-000", "m1")
    assert order.neighbour(matching, ("image-003", "m1"), 1) is None
    assert order.neighbour(matching, ("image-000", "m1"), -1) is None


@pytest.mark.parametrize(
    ("standing", "is_open", "is_mine", "is_reviewed"),
    [
        (reviewed("image-000"), False, True, True),
        (reviewed("image-000", "wrong", "bert"), False, False, True),
        (reviewed("image-000", "skip"), False, True, False),
        (reviewed("image-000", "skip", "bert"), True, False, False),  # another one may know
        (reviewed("gone"), True, False, False),
    ],
)
def test_what_is_open_to_review(
    tmp_path: Path, standing: Standing, is_open: bool, is_mine: bool, is_reviewed: bool
) -> None:
    fill(tmp_path, 1)
    order = order_of(tmp_path)
    found = {state: ids(order, standing, state=state) == ["image-000"] for state in ("open", "mine", "reviewed", "all")}
    assert found == {"open": is_open, "mine": is_mine, "reviewed": is_reviewed, "all": True}


def test_a_formula_is_searched_for_as_a_whole_and_a_part_of_an_inchi_as_a_part(tmp_path: Path) -> None:
    captions = ["InChI=1S/C9H8O4/c1-6(10)13-8", "InChI=1S/C9H8O4S/c1-2", "InChI=1S/C9H8O4", "a C9H8O4 in a sentence"]
    rows = [prediction(str(number), number / 9, caption=caption) for number, caption in enumerate(captions)]
    write(tmp_path, "caption_predictions", rows)
    order = order_of(tmp_path)
    assert ids(order, text="C9H8O4") == ["0", "2", "3"]
    assert ids(order, text="C9H8O4 13-8") == ["0"]
    assert ids(order, text="C9H8O4/c1") == ["0"]
    assert ids(order, text="c9h8o4") == ["0", "1", "2", "3"]


def test_a_caption_that_was_replaced_since_its_review_is_to_be_reviewed_again(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    changed = [prediction("image-000", 0.5, caption="another one")]
    write(tmp_path, "caption_predictions", changed, mode="overwrite")
    order = order_of(tmp_path)
    found = {state: ids(order, reviewed("image-000"), state=state) for state in ("open", "mine", "reviewed")}
    assert found == {"open": ["image-000"], "mine": [], "reviewed": []}


def test_captions_that_come_while_the_page_runs_are_seen(tmp_path: Path) -> None:
    queue = DoubtQueue(DeltaRows(str(tmp_path)), THRESHOLDS)
    assert queue.order().rows.num_rows == 0
    write(tmp_path, "caption_predictions", [])
    assert queue.order().rows.num_rows == 0
    write(tmp_path, "caption_predictions", [prediction("a", 0.5)])
    assert ids(queue.order()) == ["a"]


def test_where_there_are_many_nobody_waits_for_new_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_cache, "MADE_AT_ONCE", 1)
    fill(tmp_path, 2)
    queue = DoubtQueue(DeltaRows(str(tmp_path)), THRESHOLDS)
    before = queue.order()
    assert len(ids(before)) == 2
    write(tmp_path, "caption_predictions", [prediction("new", 0.99)])
    assert queue.order() is before
    until = time.monotonic() + 60
    wait_for_another(queue, before, until)
    assert ids(queue.order())[-1] == "new"
    for file in (tmp_path / "caption_predictions").glob("*.parquet"):
        file.unlink()
    write(tmp_path, "caption_predictions", [prediction("newer", 0.99)])
    before = queue.order()
    with pytest.raises(UnreadableTableError):
        wait_for_another(queue, before, until)
    for _ in range(20):  # whether it is being tried again or not, captions of before are not shown for the new ones
        with pytest.raises(UnreadableTableError):
            queue.order()
        time.sleep(0.01)
    write(tmp_path, "caption_predictions", [prediction("newest", 0.99)], mode="overwrite")
    eventually_ids: list[str] = []
    while eventually_ids != ["newest"]:
        assert time.monotonic() < until
        with suppress(UnreadableTableError):
            eventually_ids = ids(queue.order())


def test_a_damaged_table_is_said_in_one_sentence(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    for file in (tmp_path / "caption_predictions").glob("*.parquet"):
        file.unlink()
    with pytest.raises(UnreadableTableError, match=r"table caption_predictions cannot be read .*") as refused:
        order_of(tmp_path)
    assert "\n" not in str(refused.value)
    (tmp_path / "captions" / "_delta_log").mkdir(parents=True)
    assert DeltaRows(str(tmp_path)).version("captions") is None  # begun by a job that was killed
