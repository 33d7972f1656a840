"""The table caption_reviews: reviews are added to it exactly once, and those that stand are read from it."""

import logging
import threading
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import PrimitiveType

from lib.errors import StorageError
from lib.lake.commits import retried
from lib.lake.delta_rows import DeltaRows, Version, as_columns, unreadable
from lib.lake.review_columns import REVIEW_COLUMNS, REVIEWS_COMMENT
from lib.storage_faults import storage_fault

logger = logging.getLogger(__name__)

TABLE = "caption_reviews"
ARROW = {"string": pa.string(), "int": pa.int32(), "timestamp": pa.timestamp("us", tz="UTC")}
DELTA = {"string": "string", "int": "integer", "timestamp": "timestamp"}
COLUMNS = {name: ARROW[kind] for name, (kind, _) in REVIEW_COLUMNS.items()}
NEVER_NULL = ("review_id", "image_id", "model_version", "verdict", "reviewer", "reviewed_at")
MAX_FILES = 64
FIRST_PAUSE_S = 0.02
SAME_REVIEW = "old.review_id = new.review_id"


class Review(NamedTuple):
    """A row of caption_reviews, whose columns say what each field means."""

    review_id: str
    image_id: str
    model_version: str
    caption: str | None
    verdict: str
    rating: int | None
    corrected_caption: str | None
    reviewer: str
    undoes: str | None
    reviewed_at: datetime


Standing = dict[tuple[str, str], dict[str, Review]]  # by image_id and model_version: by reviewer, what now counts


class ReviewLog:
    """The reviews of a lake. May be used by threads, and beside other processes that write to the table."""

    def __init__(self, rows: DeltaRows) -> None:
        self._rows = rows
        self._read_at: Version | None = None
        self._of_file: dict[str, list[Review]] = {}
        self._reviews: list[Review] = []
        self._standing: Standing = {}
        self._reading, self._writing = threading.Lock(), threading.Lock()

    def reviews(self) -> list[Review]:
        """All rows, the oldest first. Raises UnreadableTableError."""
        with self._reading:
            self._refresh()
            return self._reviews

    def standing(self) -> Standing:
        """The newest review of each caption by each reviewer, without those taken back. Raises UnreadableTableError."""
        with self._reading:
            self._refresh()
            return self._standing

    def newest_of(self, reviewer: str) -> Review | None:
        """The review that undo would take back. Raises UnreadableTableError."""
        undone = {review.undoes for review in self.reviews()}
        mine = (review for review in reversed(self.reviews()) if review.reviewer == reviewer)
        return next((one for one in mine if one.verdict != "undo" and one.review_id not in undone), None)

    def append(self, review: Review) -> None:
        """Add the review, unless one with its review_id is there.

        A MERGE: of two writers that would add a row at once Delta refuses one, which looks again and tries again.
        Raises ConcurrentWriteError if that never helps, StorageError where nothing can be written.
        """
        source = pa.table({name: pa.array([value], COLUMNS[name]) for name, value in review._asdict().items()})
        values = {name: f"new.{name}" for name in COLUMNS}
        with self._writing:
            retried(
                TABLE, lambda: self._merge(source, values), (CommitFailedError,), FIRST_PAUSE_S, "send the review again"
            )

    def _merge(self, source: pa.Table, values: dict[str, str]) -> None:
        """Write the review, unless it is there. Raises CommitFailedError where another writer came between."""
        try:
            table = self._open()
            merge = table.merge(source, SAME_REVIEW, source_alias="new", target_alias="old")
            merge.when_not_matched_insert(values).execute()
            _join_files(table)
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise storage_fault(str(error)) or StorageError(
                f"the review cannot be written to {TABLE} ({str(error).splitlines()[0][:300]})"
            ) from error

    def _open(self) -> DeltaTable:
        """The table, with all columns of a review; made as Spark would make it, if it is not there."""
        address = str(self._rows.root / TABLE)
        fields = {
            name: Field(name, PrimitiveType(DELTA[kind]), nullable=True, metadata={"comment": comment})
            for name, (kind, comment) in REVIEW_COLUMNS.items()
        }
        if not DeltaTable.is_deltatable(address):
            try:
                return DeltaTable.create(
                    address, Schema(list(fields.values())), mode="ignore", description=REVIEWS_COMMENT
                )
            except DeltaError:
                if not DeltaTable.is_deltatable(address):  # or another process has made it meanwhile
                    raise
        table = DeltaTable(address)
        known = {field.name for field in table.schema().fields}
        if missing := [field for name, field in fields.items() if name not in known]:
            table.alter.add_columns(missing)  # a MERGE would leave their values out
        return table

    def _refresh(self) -> None:
        dataset, version = self._rows.dataset(TABLE)
        if version == self._read_at:
            return
        try:
            fragments = dataset.get_fragments() if dataset is not None else []
            # A file never changes, so those that were read need not be read again.
            self._of_file = {one.path: self._of_file.get(one.path) or _reviews_of(one) for one in fragments}
        except (OSError, pa.ArrowException) as error:
            raise unreadable(TABLE, error) from error
        rows = [review for reviews in self._of_file.values() for review in reviews]
        self._reviews = sorted(rows, key=lambda review: (review.reviewed_at, review.review_id))
        undone = {review.undoes for review in self._reviews}
        self._standing = {}
        for review in self._reviews:
            if review.verdict != "undo" and review.review_id not in undone:
                self._standing.setdefault((review.image_id, review.model_version), {})[review.reviewer] = review
        self._read_at = version


def _reviews_of(fragment: Any) -> list[Review]:
    """A file's reviews; rows without what every review has, which no page wrote, are left out."""
    rows = as_columns(fragment.to_table(), COLUMNS).to_pylist()
    return [Review(*row.values()) for row in rows if all(row[name] is not None for name in NEVER_NULL)]


def _join_files(table: DeltaTable) -> None:
    """Join files where there are many, one a review, in a commit that changes no row: each takes time to open."""
    if len(table.file_uris()) > MAX_FILES:
        try:
            table.optimize.compact()
        except DeltaError as error:  # after the next review, then
            logger.info("%s: files were not joined: %s", TABLE, error)
