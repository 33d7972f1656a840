"""Validation over all workers: the loss on the true captions, and how far greedily written captions are from them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from lib.captions.notations import Notation
from lib.training.row_blocks import RowBlocks
from lib.training.training_samples import as_sample
from model.batches import Batch, as_ink, collate, plan_batches
from model.captioner import Captioner
from model.config import CaptionerConfig, Precision
from model.decoding import Candidate, greedy
from model.self_critical import CiderScorer, captions_of_images
from model.training_loop import validate
from model.vocabulary import END, Vocabulary
from model.workers import Worker, over_all_workers

ROWS_PER_BATCH = 32  # whatever the number of workers, so that padding, and with it every score, is the same


def validate_together(
    captioner: Captioner,
    rows: RowBlocks,
    vocabulary: Vocabulary,
    notation: Notation,
    max_tokens: int,
    precision: Precision,
    worker: Worker,
    scorer: CiderScorer | None = None,
) -> dict[str, float]:
    """Return validation_loss, validation_token_accuracy and validation_edit_distance, the same on every worker.

    Every worker must call this; each validates some of the batches. The edit distance is the mean over rows, in
    characters of the notation. With a scorer there is validation_cider too, the mean over rows, 0..10.
    """
    for buffer in captioner.buffers():  # running means of norms: each worker's are of its own images
        if buffer.is_floating_point():
            buffer.copy_(over_all_workers(buffer.clone(), "sum") / worker.num_workers)
    batches = plan_batches(rows.num_tokens, ROWS_PER_BATCH, len(rows.num_tokens), (0,))
    own = batches[worker.rank :: worker.num_workers]
    scores = validate(captioner, _batches(rows, own, captioner.config, notation), precision)
    count = scores["num_tokens"]
    totals = [scores["loss"] * count, scores["token_accuracy"] * count] if count else [0.0, 0.0]
    distance, cider, num_rows = 0.0, 0.0, 0.0
    for batch in _batches(rows, own, captioner.config, notation):
        written = _written(captioner, batch, max_tokens)
        distance += sum(_edit_distances(written, batch, vocabulary, notation))
        cider += _cider(written, batch, scorer) if scorer else 0.0
        num_rows += len(written)
    device = next(captioner.parameters()).device
    sums = torch.tensor([*totals, count, distance, cider, num_rows], dtype=torch.float64, device=device)
    loss, accuracy, num_tokens, distance, cider, num_rows = over_all_workers(sums, "sum").tolist()
    scores = {
        "validation_loss": loss / num_tokens,
        "validation_token_accuracy": accuracy / num_tokens,
        "validation_edit_distance": distance / num_rows,
    }
    return scores | {"validation_cider": cider / num_rows} if scorer else scores


def ranking_of(scores: dict[str, float]) -> tuple[float, float]:
    """The key by which epochs are compared, lower is better; the loss decides between equals.

    It is CIDEr where there is one: the edit distance says little of sentences, of which many are right.
    """
    first = -scores["validation_cider"] if "validation_cider" in scores else scores["validation_edit_distance"]
    return first, scores["validation_loss"]


def _batches(rows: RowBlocks, own: list[np.ndarray], captioner: CaptionerConfig, notation: Notation) -> Iterator[Batch]:
    for indices in own:
        yield collate([as_sample(row, captioner, notation) for row in rows.read(indices)], captioner.num_channels)


def _written(captioner: Captioner, batch: Batch, max_tokens: int) -> list[Candidate]:
    """The likeliest caption of each image of a batch.

    Padded as in training, not image by image as in captioning: three times as fast, and as good for a comparison.
    """
    was_training, device = captioner.training, next(captioner.parameters()).device
    captioner.eval()
    written = greedy(captioner, as_ink(batch.images.to(device)), max_tokens)
    captioner.train(was_training)
    return written


def _edit_distances(
    written: list[Candidate], batch: Batch, vocabulary: Vocabulary, notation: Notation
) -> Iterator[int]:
    """How far each caption is from the nearest of its image's own, in characters."""

    def text(token_ids: Sequence[int]) -> str:
        return notation.join(vocabulary.decode(token_ids))

    for candidate, references in zip(written, captions_of_images(batch), strict=True):
        caption = text(candidate.token_ids)
        yield min(Levenshtein.distance(caption, text(reference[:-1])) for reference in references)


def _cider(written: list[Candidate], batch: Batch, scorer: CiderScorer) -> float:
    """The sum of CIDEr-D over a batch."""
    captions = [[*candidate.token_ids, *([END] if candidate.is_finished else [])] for candidate in written]
    pairs = zip(captions, captions_of_images(batch), strict=True)
    return sum(scorer.score([caption], references)[0] for caption, references in pairs)
