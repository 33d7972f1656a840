"""How a task reads the images of its batches: `pytest tests/unit/landing/test_reading_batches.py`."""

import gzip

import pandas as pd

from lib.lake.worker_counts import WorkerCounter
from lib.landing.arrival_rows import ARRIVAL_SCHEMA
from lib.landing.image_reading import MAX_ROWS_PER_ARROW_BATCH, read_batches
from tests.unit.landing.landed_files import arrivals_in, write_tar


def test_a_packed_tar_is_unpacked_once_for_all_batches_of_a_task(tmp_path, monkeypatch):
    num_members = MAX_ROWS_PER_ARROW_BATCH + 12
    write_tar(tmp_path / "a.tar.gz", "w:gz", {f"{i:03}.png": bytes([i % 251]) * 50 for i in range(num_members)})
    arrivals = arrivals_in(tmp_path)
    opened = []

    class CountedGzipFile(gzip.GzipFile):
        def __init__(self, *args, **kwargs):
            opened.append(kwargs)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(gzip, "GzipFile", CountedGzipFile)
    batches = (pd.DataFrame(arrivals[i : i + 10], columns=ARRIVAL_SCHEMA.names) for i in range(0, num_members, 10))
    outcomes = list(read_batches(batches, WorkerCounter("localhost", 9, bytes(16))))
    rows = pd.concat(outcomes)
    assert rows["image"].tolist() == [bytes([i % 251]) * 50 for i in range(num_members)]
    assert rows["reason"].isna().all()
    assert [len(batch) for batch in outcomes] == [MAX_ROWS_PER_ARROW_BATCH, 12]
    assert len(opened) == 1


def test_what_is_refused_already_keeps_its_reason_among_what_is_read(tmp_path):
    write_tar(tmp_path / "a.tar", "w", {"../up.png": b"x", "good.png": b"y"})
    batches = iter([pd.DataFrame(arrivals_in(tmp_path), columns=ARRIVAL_SCHEMA.names)])
    (rows,) = read_batches(batches, WorkerCounter("localhost", 9, bytes(16)))
    assert rows[["image_id", "reason", "image"]].to_numpy().tolist() == [
        ["up", "unsafe_path", None],
        ["good", None, b"y"],
    ]
