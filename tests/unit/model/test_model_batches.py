"""Batches: images on their canvas, captions in their frame, and no sample lost on the way."""

import numpy as np
import pytest
import torch

from model.batches import (
    ImageShapeError,
    as_ink,
    collate,
    pad_captions,
    plan_batches,
    stack_images,
    step_sizes,
    weight_of,
)
from model.workers import Worker
from tests.unit.tiny_captioner import tiny_captioner


def test_captions_stand_between_start_and_end_and_are_padded() -> None:
    assert pad_captions([[7, 8, 9], [5], []]).tolist() == [[1, 7, 8, 9, 2], [1, 5, 2, 0, 0], [1, 2, 0, 0, 0]]


def test_inputs_and_targets_are_one_token_apart() -> None:
    samples = [{"pixels": np.zeros((2, 2), np.uint8), "token_ids": ids} for ids in ([7, 8], [5])]
    batch = collate(samples, 1)
    assert batch.inputs.tolist() == [[1, 7, 8], [1, 5, 2]]
    assert batch.targets.tolist() == [[7, 8, 2], [5, 2, 0]]


def test_a_small_image_lies_at_the_upper_left_of_white_paper() -> None:
    images = stack_images([np.array([[0, 9]], np.uint8), np.zeros((33, 64), np.uint8)], num_channels=1)
    assert images.shape == (2, 1, 48, 64)
    assert images.dtype == torch.uint8
    assert images[0, 0, 0, :3].tolist() == [0, 9, 255]
    assert images[0].sum() == 9 + 255 * (48 * 64 - 2)
    assert images[1].sum() == 255 * 15 * 64


def test_colours_keep_their_places_and_grey_fills_all_three() -> None:
    colour = np.array([[[1, 2, 3]]], np.uint8)
    images = stack_images([colour, np.array([[4]], np.uint8)], 3)
    assert images[:, :, 0, 0].tolist() == [[1, 2, 3], [4, 4, 4]]


def test_an_image_in_colour_is_refused_as_ink() -> None:
    with pytest.raises(ImageShapeError, match="image 0 of the batch has 3 channels, the captioner takes 1"):
        stack_images([np.zeros((2, 2, 3), np.uint8)], 1)


def test_features_of_several_shapes_are_refused_in_one_batch() -> None:
    samples = [{"features": np.zeros((8, 2, width), np.float16), "token_ids": [5]} for width in (2, 3)]
    assert collate(samples[:1], 3).images.shape == (1, 8, 2, 2)
    with pytest.raises(ImageShapeError, match=r"features of one batch have the shapes \[\(8, 2, 2\), \(8, 2, 3\)\]"):
        collate(samples, 3)


def test_marks_are_padded_and_keep_their_places() -> None:
    one = {"positions_xy": np.ones((2, 2)), "labels": np.ones((2, 3)), "marks_of_tokens": np.array([1, -1, 0])}
    two = {"positions_xy": np.ones((1, 2)), "labels": np.ones((1, 3)), "marks_of_tokens": np.array([0])}
    samples = [
        {"pixels": np.zeros((2, 2), np.uint8), "token_ids": ids, "marks": marks}
        for ids, marks in (([7, 8, 9], one), ([5], two))
    ]
    batch = collate(samples, 1)
    assert batch.marks.marks_of_tokens.tolist() == [[-1, 1, -1, 0, -1], [-1, 0, -1, -1, -1]]
    assert batch.marks.labels.sum(dim=(1, 2)).tolist() == [6, 3]
    assert batch.marks.positions_xy.shape == (2, 2, 2)
    assert batch.marks.is_marked.tolist() == [True, True]


def test_an_image_without_marks_leaves_the_others_theirs() -> None:
    one = {"positions_xy": np.ones((2, 2)), "labels": np.ones((2, 3)), "marks_of_tokens": np.array([1, -1, 0])}
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


def test_a_caption_weighs_what_its_sample_says_and_others_once() -> None:
    white = np.zeros((2, 2), np.uint8)
    weighed = {"pixels": white, "token_ids": [5], "other_token_ids": [[6, 7], [8]], "caption_weight": 2.5}
    batch = collate([{"pixels": white, "token_ids": [9]}, weighed], 1)
    assert batch.caption_weights.tolist() == [1.0, 2.5, 1.0, 1.0]
    assert batch.to(torch.device("cpu")).caption_weights.tolist() == [1.0, 2.5, 1.0, 1.0]
    assert collate([weighed | {"other_token_ids": []}], 1).caption_weights.tolist() == [2.5]
    assert collate([{"pixels": white, "token_ids": [9]}], 1).caption_weights is None


def lengths(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 40, count)


@pytest.mark.parametrize("count", [0, 1, 9, 64, 203])
@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_the_workers_parts_of_a_plan_are_every_row_once(count: int, num_workers: int) -> None:
    plan = plan_batches(lengths(count), 8, num_batches_in_buffer=5, seed=(0, 0))
    parts = [Worker(rank, num_workers).part_of(batch) for batch in plan for rank in range(num_workers)]
    assert sorted(index for part in parts for index in part) == list(range(count))
    assert max(map(len, plan), default=0) <= 8
    assert sorted(map(len, plan)) == sorted(step_sizes(count, 8, 5))
    for batch in plan:
        sizes = [len(Worker(rank, num_workers).part_of(batch)) for rank in range(num_workers)]
        assert max(sizes) - min(sizes) <= 1


def test_no_step_is_less_than_half_a_batch_unless_there_are_no_more_rows() -> None:
    for count in range(8, 300):
        assert min(step_sizes(count, 8, 5)) >= 4
    assert step_sizes(5, 8, 5) == [5]


def test_the_mean_over_workers_is_that_over_tokens() -> None:
    num_tokens = lengths(50)
    losses = np.random.default_rng(2).random(50)  # mean loss of each row's tokens
    for batch in plan_batches(num_tokens, 13, 2, (0, 0)):
        counts = num_tokens + 1
        parts = [Worker(rank, 3).part_of(batch) for rank in range(3)]
        own = [np.average(losses[part], weights=counts[part]) for part in parts]
        weights = [weight_of(part, batch, counts, 3) for part in parts]
        together = np.mean([loss * weight for loss, weight in zip(own, weights, strict=True)])
        assert together == pytest.approx(np.average(losses[batch], weights=counts[batch]))


def test_planned_batches_compute_much_less_padding() -> None:
    num_tokens = lengths(400)

    def padding(batches: list[np.ndarray]) -> int:
        return sum(max(num_tokens[batch]) * len(batch) - sum(num_tokens[batch]) for batch in batches)

    as_they_come = np.array_split(np.arange(400), 50)
    assert padding(plan_batches(num_tokens, 8, 25, (0, 0))) < 0.2 * padding(as_they_come)


def test_the_plan_is_the_seeds_and_not_in_the_order_of_length() -> None:
    def order(*seed: int) -> list[int]:
        return [int(index) for batch in plan_batches(lengths(200), 8, 25, seed) for index in batch]

    assert order(3, 0) == order(3, 0)
    assert order(3, 0) != order(3, 1)
    longest = [max(lengths(200)[batch]) for batch in plan_batches(lengths(200), 8, 25, (3, 0))]
    assert longest != sorted(longest)


def test_rows_of_a_batch_lie_near_each_other() -> None:
    for batch in plan_batches(lengths(1000), 4, 3, (0, 0)):
        assert max(batch) - min(batch) < 12


@torch.no_grad()
def test_an_image_with_several_captions_is_encoded_once_and_read_as_if_it_came_with_each() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 32), np.uint8) for _ in range(2)]
    captions = [[[7, 8], [5], [6, 6, 6]], [[9]]]
    batch = collate(
        [
            {"pixels": pixels, "token_ids": of_image[0], "other_token_ids": of_image[1:]}
            for pixels, of_image in zip(images, captions, strict=True)
        ],
        1,
    )
    apart = collate(
        [
            {"pixels": pixels, "token_ids": ids}
            for pixels, of_image in zip(images, captions, strict=True)
            for ids in of_image
        ],
        1,
    )
    assert len(batch.images) == 2
    assert torch.equal(batch.tokens, apart.tokens)
    captioner = tiny_captioner().eval()
    once = captioner(as_ink(batch.images), batch.inputs, image_indices=batch.image_indices)
    torch.testing.assert_close(once, captioner(as_ink(apart.images), apart.inputs))


def test_features_stand_for_the_image() -> None:
    features = np.ones((4, 2, 3), np.float16)
    batch = collate([{"features": features, "token_ids": [5]}, {"features": features, "token_ids": [5]}], 3)
    assert batch.images.shape == (2, 4, 2, 3)
    assert as_ink(batch.images).dtype == torch.float32
