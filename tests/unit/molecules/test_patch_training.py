"""What reads patches learns from those that were cut last, rare kinds more often, and measures its norms anew."""

import copy
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lib.molecules.patch_training import (
    BATCH_SIZE,
    BUFFER_SIZE,
    USES_PER_PATCH,
    as_input,
    fractions_right,
    measure_norms,
    patch_sampling_weights,
    sampled_again,
)
from model.graph_kinds import PATCH_HEIGHT, PATCH_WIDTH
from model.label_reader import LabelReader

COMMON, RARE = 0, 1


class Patches(NamedTuple):
    """Patches that were cut, by their number."""

    numbers: NDArray[np.int64]
    kinds: NDArray[np.int64]


def cuts() -> Iterator[Patches]:
    number = 0
    while True:
        numbers = np.arange(number, number + 100)
        yield Patches(numbers, np.where(numbers % 100 == 0, RARE, COMMON))
        number += 100


def test_norms_are_those_of_the_patches_that_were_seen() -> None:
    torch.manual_seed(0)
    reader = LabelReader()
    pixels = np.random.default_rng(0).integers(0, 256, (64, PATCH_HEIGHT, PATCH_WIDTH)).astype(np.uint8)
    squares = torch.nn.functional.pixel_unshuffle(as_input(pixels), 2)
    until_flat = reader.layers[:-4]

    def by_measured_and_by_their_own() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            return until_flat.eval()(squares), copy.deepcopy(until_flat).train()(squares)

    assert not torch.allclose(*by_measured_and_by_their_own(), rtol=0.1, atol=0.1)
    measure_norms(reader, lambda: reader(as_input(pixels)))
    torch.testing.assert_close(*by_measured_and_by_their_own(), rtol=0.02, atol=0.02)


def test_rare_kinds_are_sampled_oftener_than_they_are_cut_but_less_than_common_ones() -> None:
    weights = patch_sampling_weights(np.repeat([0, 1, 2], [800, 50, 50]), np.array([1.0, 1.0, 2.0]))
    assert weights[800] > 2 * weights[0]
    assert weights[850] == 2 * weights[800]
    assert weights[:800].sum() > weights[800:850].sum()
    sampled = [batch.kinds for batch in islice(sampled_again(cuts(), lambda cut: cut.kinds, np.ones(2)), 20)]
    assert 0.03 < np.concatenate(sampled).mean() < 0.25  # of one in a hundred that were cut


def test_a_patch_is_sampled_so_often_on_average_and_not_long_after_it_was_cut() -> None:
    num_batches = 400
    batches = sampled_again(cuts(), lambda cut: cut.kinds, np.ones(2))
    numbers = [batch.numbers for batch in islice(batches, num_batches)]
    assert all(len(one) == BATCH_SIZE for one in numbers)
    num_cut = num_batches * BATCH_SIZE / USES_PER_PATCH
    assert num_cut - 2 * BATCH_SIZE < max(map(max, numbers)) < num_cut + 100
    assert numbers[-1].min() >= num_cut - BUFFER_SIZE - 100


def test_each_kind_has_the_fraction_of_it_that_is_told_right() -> None:
    told_and_true = [(np.array([0, 1, 1]), np.array([0, 0, 1])), (np.array([2]), np.array([2]))]
    assert fractions_right(("a", "b", "c", "d"), told_and_true) == {"a": 0.5, "b": 1.0, "c": 1.0}
