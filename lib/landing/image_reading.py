"""The bytes of listed images, read in Spark's workers."""

import hashlib
from collections.abc import Iterator

import pandas as pd

from lib.lake.worker_counts import WorkerCounter
from lib.landing.archives import read_arrivals
from lib.landing.arrival_rows import arrivals_of

OUTCOME_SCHEMA = (
    "image_id string, source string, num_bytes long, sha256 string, image binary, reason string, detail string, "
    "file_version string"
)
MAX_BYTES_PER_ARROW_BATCH = 32 * 2**20  # a batch handed from Python to Spark must stay far below Arrow's 2 GiB
MAX_ROWS_PER_ARROW_BATCH = 128  # so that progress moves


def read_batches(batches: Iterator[pd.DataFrame], counter: WorkerCounter) -> Iterator[pd.DataFrame]:
    """Rows of ARRIVAL_SCHEMA in, rows of OUTCOME_SCHEMA out, one for one; each archive is opened once."""
    columns = ["image_id", "source", "num_bytes", "sha256", "image", "reason", "detail", "file_version"]
    rows: list[tuple[object, ...]] = []
    num_bytes = 0
    for arrival, content, reason, detail in read_arrivals(arrivals_of(batches)):
        digest = hashlib.sha256(content).hexdigest() if content is not None else None
        size = len(content) if content is not None else arrival.num_bytes
        rows.append((arrival.image_id, arrival.source, size, digest, content, reason, detail, arrival.file_version))
        num_bytes += len(content or b"")
        if num_bytes > MAX_BYTES_PER_ARROW_BATCH or len(rows) == MAX_ROWS_PER_ARROW_BATCH:
            counter.add(len(rows))
            yield pd.DataFrame(rows, columns=columns)
            rows, num_bytes = [], 0
    counter.add(len(rows))
    yield pd.DataFrame(rows, columns=columns)
