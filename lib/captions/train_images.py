"""Train images with their features and captions, read from the lake's tables without Spark."""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from lib.captions.nearest_image import NUM_CANDIDATES, Candidates, direction_of
from lib.errors import MissingInputError
from lib.images.packed_features import unpack_features
from lib.lake.delta_rows import DeltaRows, unreadable

FEATURES_AT_A_TIME = 64  # of about 125 kB each
CAPTIONS_AT_A_TIME = 10_000


class TrainImages(NamedTuple):
    """Train images to compare with."""

    candidates: Candidates
    captions: Mapping[str, list[str]]  # by image_id, in their order


def read_train_images(rows: DeltaRows, encoder_version: str, num_candidates: int = NUM_CANDIDATES) -> TrainImages:
    """Train images that have captions and features of that encoder: the first num_candidates in hash order.

    Raises MissingInputError if there are none, UnreadableTableError.
    """
    index, directions = _directions(rows, encoder_version, _chosen_ids(rows, num_candidates))
    captions = _captions(rows, index.keys())
    if not captions:
        raise MissingInputError(
            f"nearest neighbours need train images with captions and features of {encoder_version}, and {rows.root} "
            "has none: run ingest_images, clean_images and extract_features there"
        )
    image_ids = sorted(captions)  # of equally near ones the first is taken
    candidates = Candidates(np.array(image_ids, object), directions[[index[name] for name in image_ids]])
    return TrainImages(candidates, captions)


def _chosen_ids(rows: DeltaRows, num_candidates: int) -> set[str]:
    """The ids of train images with a caption, the first in hash order; twice as many are held meanwhile."""
    chosen: set[str] = set()
    for batch in _batches(rows, "captions", ["image_id"], _has_train_caption()):
        chosen.update(batch["image_id"].to_pylist())
        if len(chosen) > 2 * num_candidates:
            chosen = set(heapq.nsmallest(num_candidates, chosen, key=_hash))
    return set(heapq.nsmallest(num_candidates, chosen, key=_hash))


def _directions(rows: DeltaRows, encoder_version: str, chosen: set[str]) -> tuple[dict[str, int], np.ndarray]:
    """The row of each image that has features, and a direction in each row."""
    index: dict[str, int] = {}
    directions = np.empty((0, 0), np.float32)
    for image_id, packed in _features(rows, encoder_version):
        if image_id not in chosen:
            continue
        try:
            direction = direction_of(unpack_features(packed))
            if not index:  # one block: small arrays among the large ones of features would scatter memory
                directions = np.empty((len(chosen), len(direction)), np.float32)
            directions[index.setdefault(image_id, len(index))] = direction
        except ValueError as error:
            raise unreadable("image_features", error) from error
    return index, directions


def _features(rows: DeltaRows, encoder_version: str) -> Iterator[tuple[str, bytes]]:
    is_of_encoder = ds.field("encoder_version") == encoder_version
    for batch in _batches(rows, "image_features", ["image_id", "features"], is_of_encoder, FEATURES_AT_A_TIME):
        for image_id, features in zip(batch["image_id"].to_pylist(), batch["features"], strict=True):
            yield image_id, features.as_py()


def _captions(rows: DeltaRows, image_ids: Collection[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for batch in _batches(rows, "captions", ["image_id", "caption_index", "caption"], _has_train_caption()):
        for row in batch.to_pylist():
            if row["image_id"] in image_ids:
                found[row["image_id"]].append((row["caption_index"], row["caption"]))
    return {image_id: [caption for _, caption in sorted(captions)] for image_id, captions in found.items()}


def _has_train_caption() -> ds.Expression:
    return (ds.field("split") == "train") & ds.field("caption").is_valid()


def _batches(
    rows: DeltaRows, name: str, columns: list[str], asked: ds.Expression, num_rows: int = CAPTIONS_AT_A_TIME
) -> Iterator[Any]:
    """The rows of a table that are asked for, at most num_rows at a time; none if there is no table."""
    dataset, _ = rows.dataset(name)
    if dataset is None:
        return
    try:
        # Without read-ahead: features that are not used yet would fill memory.
        yield from dataset.to_batches(
            columns=columns,
            filter=asked,
            batch_size=num_rows,
            batch_readahead=0,
            fragment_readahead=0,
            use_threads=False,
        )
    except (OSError, pa.ArrowException) as error:
        raise unreadable(name, error) from error


def _hash(image_id: str) -> tuple[bytes, str]:
    return hashlib.blake2b(image_id.encode(), digest_size=8).digest(), image_id
