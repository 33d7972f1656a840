"""Validation over all workers: the loss on the true captions, and how far greedily written captions are from them."""

from collections.abc import Iterator

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from lib.image_cleaning import decode_png
from lib.notations import Notation
from lib.row_blocks import RowBlocks
from lib.training_samples import as_sample
from model.batches import as_ink, collate, of_one_size, plan_batches, stack_pictures
from model.captioner import Captioner
from model.decoding import greedy
from model.precision import Precision
from model.training_loop import validate
from model.vocabulary import Vocabulary
from model.workers import over_all_workers

ROWS_PER_BATCH = 32  # whatever the number of workers, so that padding, and with it the loss, is the same


def validate_together(
    captioner: Captioner, rows: RowBlocks, vocabulary: Vocabulary, notation: Notation, max_tokens: int,
    precision: Precision, worker: int, num_workers: int,
) -> dict[str, float]:
    """Return validation_loss, validation_token_accuracy and validation_edit_distance, the same on every worker.

    Every worker must call this; each validates some of the batches. The edit distance is the mean over rows, in
    characters of the notation.
    """
    for buffer in captioner.buffers():  # running means of norms: each worker's are of its own pictures
        if buffer.is_floating_point():
            buffer.copy_(over_all_workers(buffer.clone(), "sum") / num_workers)
    own = plan_batches(rows.num_tokens, ROWS_PER_BATCH, len(rows.num_tokens), (0,))[worker::num_workers]
    batches = (
        collate([as_sample(row, captioner.config) for row in rows.read(places)], captioner.config.num_channels)
        for places in own
    )
    scores = validate(captioner, batches, precision)
    count = scores["num_tokens"]
    distances = list(_edit_distances(captioner, rows, own, vocabulary, notation, max_tokens))
    totals = [scores["loss"] * count, scores["token_accuracy"] * count] if count else [0.0, 0.0]
    device = next(captioner.parameters()).device
    sums = torch.tensor([*totals, count, sum(distances), len(distances)], dtype=torch.float64, device=device)
    loss, accuracy, num_tokens, distance, num_captions = over_all_workers(sums, "sum").tolist()
    return {
        "validation_loss": loss / num_tokens, "validation_token_accuracy": accuracy / num_tokens,
        "validation_edit_distance": distance / num_captions,
    }


def _edit_distances(
    captioner: Captioner, rows: RowBlocks, own: list[np.ndarray], vocabulary: Vocabulary, notation: Notation,
    max_tokens: int,
) -> Iterator[int]:
    """How far the likeliest captions of these rows are from their own, in characters."""
    was_training, device = captioner.training, next(captioner.parameters()).device
    captioner.eval()
    known = rows.read(np.concatenate(own)) if own else []
    pictures = [decode_png(row["image"]) for row in known]
    for places in of_one_size(pictures, ROWS_PER_BATCH):
        images = stack_pictures([pictures[place] for place in places], captioner.config.num_channels)
        for place, written in zip(places, greedy(captioner, as_ink(images.to(device)), max_tokens), strict=True):
            texts = [notation.join(vocabulary.decode(ids)) for ids in (written.token_ids, known[place]["token_ids"])]
            yield Levenshtein.distance(*texts)
    captioner.train(was_training)
