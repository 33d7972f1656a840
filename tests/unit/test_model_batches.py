"""Batches: pictures on their canvas, captions in their frame, and no sample lost on the way."""

import numpy as np
import pytest
import torch
from tiny_captioner import stroke_samples

from model.batches import PictureShapeError, as_ink, collate, iterate_in_length_buckets, pad_captions, stack_pictures


def test_captions_stand_between_start_and_end_and_are_padded() -> None:
    assert pad_captions([[7, 8, 9], [5], []]).tolist() == [[1, 7, 8, 9, 2], [1, 5, 2, 0, 0], [1, 2, 0, 0, 0]]


def test_inputs_and_targets_are_one_token_apart() -> None:
    samples = [{"pixels": np.zeros((2, 2), np.uint8), "token_ids": ids} for ids in ([7, 8], [5])]
    batch = collate(samples, 1)
    assert batch.inputs.tolist() == [[1, 7, 8], [1, 5, 2]]
    assert batch.targets.tolist() == [[7, 8, 2], [5, 2, 0]]


def test_a_small_picture_lies_at_the_upper_left_of_white_paper() -> None:
    images = stack_pictures([np.array([[0, 9]], np.uint8), np.zeros((33, 64), np.uint8)], num_channels=1)
    assert images.shape == (2, 1, 48, 64)
    assert images.dtype == torch.uint8
    assert images[0, 0, 0, :3].tolist() == [0, 9, 255]
    assert images[0].sum() == 9 + 255 * (48 * 64 - 2)
    assert images[1].sum() == 255 * 15 * 64


def test_colours_keep_their_places_and_grey_fills_all_three() -> None:
    colour = np.array([[[1, 2, 3]]], np.uint8)
    images = stack_pictures([colour, np.array([[4]], np.uint8)], 3)
    assert images[:, :, 0, 0].tolist() == [[1, 2, 3], [4, 4, 4]]


def test_a_picture_in_colour_is_refused_as_ink() -> None:
    with pytest.raises(PictureShapeError, match="picture 0 of the batch has 3 channels, the captioner takes 1"):
        stack_pictures([np.zeros((2, 2, 3), np.uint8)], 1)


def test_marks_are_padded_and_keep_their_places() -> None:
    one = {"places": np.ones((2, 2)), "labels": np.ones((2, 3)), "marks_of_tokens": np.array([1, -1, 0])}
    two = {"places": np.ones((1, 2)), "labels": np.ones((1, 3)), "marks_of_tokens": np.array([0])}
    samples = [
        {"pixels": np.zeros((2, 2), np.uint8), "token_ids": ids, "marks": marks}
        for ids, marks in (([7, 8, 9], one), ([5], two))
    ]
    batch = collate(samples, 1)
    assert batch.marks.marks_of_tokens.tolist() == [[-1, 1, -1, 0, -1], [-1, 0, -1, -1, -1]]
    assert batch.marks.labels.sum(dim=(1, 2)).tolist() == [6, 3]
    assert batch.marks.places.shape == (2, 2, 2)
    assert batch.marks.is_marked.tolist() == [True, True]


def test_a_picture_without_marks_leaves_the_others_theirs() -> None:
    one = {"places": np.ones((2, 2)), "labels": np.ones((2, 3)), "marks_of_tokens": np.array([1, -1, 0])}
    samples = [
        {"pixels": np.zeros((2, 2), np.uint8), "token_ids": [5]},
        {"pixels": np.zeros((2, 2), np.uint8), "token_ids": [7, 8, 9], "marks": one},
    ]
    marks = collate(samples, 1).marks
    assert marks.is_marked.tolist() == [False, True]
    assert marks.marks_of_tokens.tolist() == [[-1] * 5, [-1, 1, -1, 0, -1]]
    assert marks.labels.sum(dim=(1, 2)).tolist() == [0, 6]
    del samples[1]["marks"]
    assert collate(samples, 1).marks is None


def test_ink_is_one_and_paper_zero_on_the_way_into_the_network() -> None:
    assert as_ink(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([1.0, 0.8, 0.0])


def numbered(count: int) -> list[dict]:
    lengths = np.random.default_rng(1).integers(0, 40, count)
    return [{"number": number, "token_ids": [4] * int(length)} for number, length in enumerate(lengths)]


@pytest.mark.parametrize("count", [0, 1, 64, 203])
def test_buckets_lose_and_duplicate_nothing(count: int) -> None:
    batches = list(iterate_in_length_buckets(iter(numbered(count)), 8, num_batches_in_buffer=5, seed=0))
    assert sorted(sample["number"] for batch in batches for sample in batch) == list(range(count))
    assert sum(len(batch) < 8 for batch in batches) <= 1


def test_buckets_compute_much_less_padding() -> None:
    samples = numbered(400)

    def padding(batches: list[list[dict]]) -> int:
        lengths = [[len(sample["token_ids"]) for sample in batch] for batch in batches]
        return sum(max(batch) * len(batch) - sum(batch) for batch in lengths)

    as_they_come = [samples[start : start + 8] for start in range(0, 400, 8)]
    assert padding(list(iterate_in_length_buckets(samples, 8, 25, seed=0))) < 0.2 * padding(as_they_come)


def test_the_order_of_buckets_is_the_seeds_and_not_that_of_length() -> None:
    def order(seed: int) -> list[int]:
        return [s["number"] for batch in iterate_in_length_buckets(numbered(200), 8, 25, seed) for s in batch]

    assert order(3) == order(3)
    assert order(3) != order(4)
    longest = [max(len(s["token_ids"]) for s in batch) for batch in iterate_in_length_buckets(numbered(200), 8, 25, 3)]
    assert longest != sorted(longest)


def test_reading_ahead_stops_at_the_buffer() -> None:
    stream = iter(stroke_samples(100))
    next(iterate_in_length_buckets(stream, batch_size=4, num_batches_in_buffer=3, seed=0))
    assert len(list(stream)) == 100 - 12
