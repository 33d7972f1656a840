"""Images and rows of caption files that were rejected, by step and reason, and the newest few of each."""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

REJECTED = {
    "stage": pa.string(),
    "reason": pa.string(),
    "image_id": pa.string(),
    "detail": pa.string(),
    "rejected_at": pa.timestamp("us", tz="UTC"),
}
NUM_REASONS = 30  # the most frequent
NUM_EXAMPLES = 4


class Example(NamedTuple):
    """A rejected image and what was seen in it."""

    image_id: str
    detail: str


class Rejected(NamedTuple):
    """Images, or rows of caption files where the stage is captions, that were rejected for one reason."""

    stage: str
    reason: str
    num_rejected: int
    examples: tuple[Example, ...] = ()  # the newest first


def rejected_images(rejected: pa.Table) -> list[Rejected]:
    """What was rejected, by reason, columns REJECTED, the most frequent first."""
    texts = {name: pc.fill_null(rejected[name], "") for name in ("stage", "reason", "image_id", "detail")}
    table = pa.table(texts | {"rejected_at": rejected["rejected_at"]})
    counted = table.group_by(["stage", "reason"]).aggregate([([], "count_all")])
    order = [("count_all", "descending"), ("stage", "ascending"), ("reason", "ascending")]
    return [
        Rejected(row["stage"], row["reason"], row["count_all"], _examples(table, row["stage"], row["reason"]))
        for row in counted.sort_by(order).slice(0, NUM_REASONS).to_pylist()
    ]


def _examples(table: pa.Table, stage: str, reason: str) -> tuple[Example, ...]:
    members = table.filter(pc.and_(pc.equal(table["stage"], stage), pc.equal(table["reason"], reason)))
    order = [("rejected_at", "descending"), ("image_id", "ascending")]
    newest = members.take(pc.select_k_unstable(members, NUM_EXAMPLES, order)).sort_by(order)
    return tuple(Example(row["image_id"], row["detail"]) for row in newest.to_pylist())
