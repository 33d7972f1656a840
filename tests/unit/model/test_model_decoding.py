"""Decoding: what is written does not depend on who else is in the batch, and the best is the best."""

import math
from collections.abc import Iterator

import pytest
import torch

from model.batches import as_ink
from model.captioner import Captioner, Grid, join_grids
from model.decoding import beam_search, greedy
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch
from model.vocabulary import END, START
from tests.unit.tiny_captioner import VOCABULARY, quick_training, stroke_batch, tiny_captioner


@pytest.fixture(scope="module")
def reader() -> Iterator[Captioner]:
    """A captioner that has learned a little: enough to write captions of different lengths, not all of them right."""
    captioner, config = tiny_captioner(), quick_training()
    batches = [stroke_batch(16, seed) for seed in range(40)]
    train_epoch(captioner, batches, make_optimizer(captioner, config), config, TrainingState(), 40, ignore_step)
    return captioner.eval()


IMAGES = as_ink(stroke_batch(12, seed=99).images)


def encoded(captioner: Captioner, images: torch.Tensor) -> Grid:
    with torch.inference_mode():
        return captioner.encode(images)


@torch.no_grad()
def written_one_by_one(captioner: Captioner, image: torch.Tensor, max_tokens: int) -> tuple[list[int], float]:
    """The obvious way: the whole caption so far through forward, once per token."""
    tokens, probabilities = [START], []
    while len(tokens) <= max_tokens and tokens[-1] != END:
        probs = captioner(image[None], torch.tensor([tokens]))[0, -1].softmax(dim=0)
        probs[[0, 1, 3]] = probs[[0, 1, 3]].clamp(max=0)
        tokens.append(int(probs.argmax()))
        probabilities.append(float(probs.max()))
    return [token for token in tokens[1:] if token != END], math.prod(probabilities)


def test_greedy_takes_the_likeliest_token_each_time(reader: Captioner) -> None:
    for image, candidate in zip(IMAGES, greedy(reader, IMAGES, max_tokens=10), strict=True):
        token_ids, probability = written_one_by_one(reader, image, max_tokens=10)
        assert list(candidate.token_ids) == token_ids
        assert candidate.probability == pytest.approx(probability, abs=1e-5)


def test_greedy_is_a_beam_of_one(reader: Captioner) -> None:
    beams = beam_search(reader, encoded(reader, IMAGES), num_beams=1, max_tokens=10)
    assert greedy(reader, IMAGES, max_tokens=10) == [candidates[0] for candidates in beams]


def test_captions_do_not_depend_on_the_batch(reader: Captioner) -> None:
    assert len({len(candidate.token_ids) for candidate in greedy(reader, IMAGES, 10)}) >= 3

    def captions(images: torch.Tensor) -> list[list[tuple[int, ...]]]:
        found = beam_search(reader, encoded(reader, images), num_beams=3, max_tokens=10)
        return [[candidate.token_ids for candidate in candidates] for candidates in found]

    together = captions(IMAGES)
    assert [captions(image[None])[0] for image in IMAGES] == together
    assert captions(IMAGES.flip(0)) == together[::-1]
    assert captions(IMAGES[:5]) + captions(IMAGES[5:]) == together


def test_captions_do_not_depend_on_padding_by_larger_images(reader: Captioner) -> None:
    cropped = [IMAGES[:5, :, :16], IMAGES[5:]]
    grids = [encoded(reader, images) for images in cropped]
    assert grids[0].keys.shape[3] < grids[1].keys.shape[3]
    apart = [candidates for grid in grids for candidates in beam_search(reader, grid, 3, 10)]
    together = beam_search(reader, join_grids(grids), 3, 10)
    for ones, others in zip(together, apart, strict=True):
        assert [one.token_ids for one in ones] == [other.token_ids for other in others]
        assert [one.score for one in ones] == pytest.approx([other.score for other in others], abs=1e-4)


def test_a_wide_beam_finds_the_likeliest_of_all_captions(reader: Captioner) -> None:
    """With as many beams as there are captions of up to two tokens, nothing can be missed."""
    letters = range(4, len(VOCABULARY))
    every = [()] + [(first,) for first in letters] + [(first, second) for first in letters for second in letters]
    image = IMAGES[:1]
    tokens = torch.tensor([[START, *caption, *[END] * (3 - len(caption))] for caption in every])
    with torch.no_grad():
        scores = reader(image.expand(len(every), -1, -1, -1), tokens[:, :-1]).log_softmax(dim=2)
    chosen = scores.gather(2, tokens[:, 1:, None])[..., 0]
    totals = torch.stack([row[: len(caption) + 1].sum() for row, caption in zip(chosen, every, strict=True)])
    found = beam_search(reader, encoded(reader, image), num_beams=300, max_tokens=3)[0]
    finished = [candidate for candidate in found if candidate.is_finished]
    assert finished[0].token_ids == every[int(totals.argmax())]
    assert finished[0].score == pytest.approx(float(totals.max()), abs=1e-4)
    assert len({candidate.token_ids for candidate in finished}) == len(finished) == len(every)


def test_candidates_are_different_and_best_first(reader: Captioner) -> None:
    for candidates in beam_search(reader, encoded(reader, IMAGES), num_beams=4, max_tokens=10):
        scores = [candidate.score for candidate in candidates]
        assert scores == sorted(scores, reverse=True)
        assert len({candidate.token_ids for candidate in candidates}) == 4
        assert all(0 < candidate.probability <= 1 for candidate in candidates)


def test_scores_and_confidence_are_those_of_the_caption_itself(reader: Captioner) -> None:
    found = beam_search(reader, encoded(reader, IMAGES), 4, 10)
    for image, candidates in zip(IMAGES, found, strict=True):
        for candidate in candidates:
            tokens = torch.tensor([[START, *candidate.token_ids, *[END] * candidate.is_finished]])
            with torch.no_grad():
                probs = reader(image[None], tokens[:, :-1])[0].softmax(dim=1)
            chosen = probs.gather(1, tokens[0, 1:, None])
            assert candidate.score == pytest.approx(float(chosen.log().sum()), abs=1e-4)
            assert candidate.probability == pytest.approx(float(chosen.prod()), abs=1e-5)


def test_a_caption_without_end_is_cut_and_says_so(reader: Captioner) -> None:
    cut, whole = (greedy(reader, IMAGES, max_tokens) for max_tokens in (2, 10))
    assert all(len(candidate.token_ids) <= 2 for candidate in cut)
    for short, long in zip(cut, whole, strict=True):
        assert short.is_finished == (len(long.token_ids) < 2)
        assert short.token_ids == long.token_ids[:2]
    assert any(not candidate.is_finished for candidate in cut)


def test_tokens_that_no_caption_can_hold_are_never_written(reader: Captioner) -> None:
    with torch.no_grad():
        bias = reader.decoder.output.bias
        before = bias.clone()
        bias[[0, 1, 3]] += 100
        found = beam_search(reader, encoded(reader, IMAGES[:2]), num_beams=2, max_tokens=4)
        bias.copy_(before)
    tokens = {token for candidates in found for candidate in candidates for token in candidate.token_ids}
    assert tokens.isdisjoint({0, 1, 3})
    assert all(candidate.probability < 1e-6 for candidates in found for candidate in candidates)


def test_finished_images_leave_the_batch(reader: Captioner) -> None:
    sizes = []
    hook = reader.decoder.output.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    lengths = sorted(len(candidate.token_ids) + 1 for candidate in greedy(reader, IMAGES, max_tokens=10))
    hook.remove()
    assert sizes[0] == 12
    assert sizes[-1] < 12
    for index, size in enumerate(sizes):
        num_open = sum(length > index for length in lengths)
        assert num_open <= size <= num_open / 0.75 + 1
