"""Validation over all workers: the loss on the true captions, and how far greedily written captions are from them."""

from collections.abc import Iterator

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from lib.captions.notations import Notation
from lib.training.row_blocks import RowBlocks
from lib.training.training_samples import as_sample
from model.batches import Batch, as_ink, collate, plan_batches
from model.captioner import Captioner
from model.config import CaptionerConfig, Precision
from model.decoding import greedy
from model.training_loop import validate
from model.vocabulary import END, Vocabulary
from model.workers import over_all_workers

ROWS_PER_BATCH = 32  # whatever the number of workers, so that padding, and with it every score, is the same


def validate_together(
    captioner: Captioner,
    rows: RowBlocks,
    vocabulary: Vocabulary,
    notation: Notation,
    max_tokens: int,
    precision: Precision,
    worker: int,
    num_workers: int,
) -> dict[str, float]:
    """Return validation_loss, validation_token_accuracy and validation_edit_distance, the same on every worker.

    Every worker must call this; each validates some of the batches. The edit distance is the mean over rows, in
    characters of the notation.
    """
    for buffer in captioner.buffers():  # running means of norms: each worker's are of its own images
        if buffer.is_floating_point():
            buffer.copy_(over_all_workers(buffer.clone(), "sum") / num_workers)
    own = plan_batches(rows.num_tokens, ROWS_PER_BATCH, len(rows.num_tokens), (0,))[worker::num_workers]
    scores = validate(captioner, _batches(rows, own, captioner.config, notation), precision)
    count = scores["num_tokens"]
    totals = [scores["loss"] * count, scores["token_accuracy"] * count] if count else [0.0, 0.0]
    distances = [
        distance
        for batch in _batches(rows, own, captioner.config, notation)
        for distance in _edit_distances(captioner, batch, vocabulary, notation, max_tokens)
    ]
    device = next(captioner.parameters()).device
    sums = torch.tensor([*totals, count, sum(distances), len(distances)], dtype=torch.float64, device=device)
    loss, accuracy, num_tokens, distance, num_captions = over_all_workers(sums, "sum").tolist()
    return {
        "validation_loss": loss / num_tokens,
        "validation_token_accuracy": accuracy / num_tokens,
        "validation_edit_distance": distance / num_captions,
    }


def _batches(rows: RowBlocks, own: list[np.ndarray], captioner: CaptionerConfig, notation: Notation) -> Iterator[Batch]:
    for indices in own:
        yield collate([as_sample(row, captioner, notation) for row in rows.read(indices)], captioner.num_channels)


def _edit_distances(
    captioner: Captioner, batch: Batch, vocabulary: Vocabulary, notation: Notation, max_tokens: int
) -> list[int]:
    """How far the likeliest caption of each image of a batch is from the nearest of its own, in characters.

    Padded as in training, not image by image as in captioning: three times as fast, and as good for a comparison.
    """
    was_training, device = captioner.training, next(captioner.parameters()).device
    captioner.eval()
    written = greedy(captioner, as_ink(batch.images.to(device)), max_tokens)
    captioner.train(was_training)
    indices = range(len(written)) if batch.image_indices is None else batch.image_indices.tolist()
    distances: dict[int, int] = {}
    for index, ids in zip(indices, batch.targets.tolist(), strict=True):
        pair = (notation.join(vocabulary.decode(one)) for one in (written[index].token_ids, ids[: ids.index(END)]))
        distance = Levenshtein.distance(*pair)
        distances[index] = min(distance, distances.get(index, distance))
    return [distances[index] for index in range(len(written))]
