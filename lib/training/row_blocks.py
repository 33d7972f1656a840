"""Rows of a split in Ray's object store: handed over by Spark once, then read by their index from any worker."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from pyspark.sql import DataFrame

from lib.training.training_samples import captions_of
from model.batches import plan_batches, weight_of
from model.config import TrainingConfig
from model.workers import Worker


@dataclass(frozen=True)
class RowBlocks:
    """Rows in one order for all workers, block after block; a worker's machine fetches the blocks that it reads."""

    blocks: list[ray.ObjectRef]  # of Arrow tables
    ends: np.ndarray  # number of rows up to the end of each block
    num_tokens: np.ndarray  # of each row's caption, or of its captions with an <end> between
    token_weights: np.ndarray  # of each row: its tokens, <end> included, each times its caption's weight

    def fetch(self, indices: np.ndarray) -> None:
        """Begin to bring the blocks of these rows to this machine, without waiting for them."""
        ray.wait([self.blocks[number] for number in np.unique(self._numbers(indices))], timeout=0, fetch_local=True)

    def read(self, indices: np.ndarray) -> list[dict[str, Any]]:
        """The rows at these indices, in their order."""
        numbers = self._numbers(indices)
        rows: dict[int, dict[str, Any]] = {}
        for number in np.unique(numbers):
            table = ray.get(self.blocks[number])
            wanted = indices[numbers == number]
            taken = table.take(wanted - (self.ends[number] - table.num_rows))
            rows.update(zip(wanted.tolist(), taken.to_pylist(), strict=True))
        return [rows[index] for index in indices.tolist()]

    def captions(self) -> Iterator[list[list[int]]]:
        """The token ids of each row's captions, row by row, of all rows."""
        for block in self.blocks:
            table = ray.get(block)
            columns = [name for name in ("token_ids", "other_token_ids") if name in table.column_names]
            yield from map(captions_of, table.select(columns).to_pylist())

    def _numbers(self, indices: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.ends, indices, side="right")


def hand_over(frame: DataFrame) -> RowBlocks:
    """Rows with token_ids from Spark to Ray, partition by partition, none through this process."""
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    return row_blocks(ray.data.from_spark(frame).to_arrow_refs())


def row_blocks(blocks: list[ray.ObjectRef]) -> RowBlocks:
    """The rows of Arrow tables that lie in the object store."""
    measured = ray.get([_caption_lengths.remote(block) for block in blocks])
    num_tokens, token_weights = np.concatenate(measured, axis=1)
    ends = np.cumsum([lengths.shape[1] for lengths in measured])
    return RowBlocks(blocks, ends, num_tokens.astype(int), token_weights)


def parts_of_epoch(
    rows: RowBlocks, training: TrainingConfig, epoch: int, first_step: int, worker: Worker
) -> Iterator[tuple[list[dict[str, Any]], float]]:
    """This worker's rows of each step of an epoch, from `first_step` on, with the weight of their mean loss.

    What a step consists of does not depend on the workers: each row is in one step, at one worker.
    """
    steps = plan_batches(rows.num_tokens, training.batch_size, training.num_batches_in_buffer, (training.seed, epoch))[
        first_step:
    ]
    parts = [worker.part_of(step) for step in steps]
    for index, (step, part) in enumerate(zip(steps, parts, strict=True)):
        for coming in parts[index + 1 : index + 2]:
            rows.fetch(coming)
        yield rows.read(part), weight_of(part, step, rows.token_weights, worker.num_workers)


@ray.remote  # type: ignore[untyped-decorator]  # Ray comes without types
def _caption_lengths(block: pa.Table) -> np.ndarray:
    """num_tokens and token_weights of a block's rows, (2, N)."""
    first = pc.list_value_length(block["token_ids"]).to_numpy()
    lengths = first
    if "other_token_ids" in block.column_names:
        lengths = lengths + pc.list_value_length(block["other_token_ids"]).to_numpy()
    weights = lengths + 1.0  # <end> is learned too
    if "caption_weight" in block.column_names:
        weights = weights + (block["caption_weight"].to_numpy() - 1) * (first + 1)
    return np.stack((lengths, weights))
