"""The average of the weights: what it holds, how it starts, and that it goes on where it stopped."""

import io

import pytest
import torch

from model.captioner import Captioner
from model.config import TrainingConfigError
from model.weight_averaging import WeightAverage
from tests.unit.tiny_captioner import quick_training, tiny_captioner


def filled(value: float) -> Captioner:
    """A captioner all of whose numbers are this one."""
    captioner = tiny_captioner()
    for tensor in captioner.state_dict().values():
        tensor.fill_(value)
    return captioner


def values(captioner: Captioner) -> set[float]:
    tensors = captioner.state_dict().values()
    return {round(value, 4) for tensor in tensors if tensor.is_floating_point() for value in tensor.unique().tolist()}


def test_later_steps_count_more_and_every_number_takes_part() -> None:
    average = WeightAverage(filled(0), decay=0.5)
    for step, value in ((100, 8), (101, 4)):
        average.update(filled(value), step)
    assert values(average.network) == {0.5 * (0.5 * 8) + 0.5 * 4}
    counts = [tensor for tensor in average.network.state_dict().values() if not tensor.is_floating_point()]
    assert counts
    assert all(count == 4 for count in counts)


def test_the_weights_that_training_began_with_are_soon_forgotten() -> None:
    average = WeightAverage(filled(1), decay=0.999)
    for step in range(1, 31):
        average.update(filled(0), step)
    assert max(values(average.network)) < 0.001


def test_an_average_that_was_stored_goes_on_as_if_nothing_had_been() -> None:
    whole, halved, stored = WeightAverage(filled(0), 0.9), WeightAverage(filled(0), 0.9), io.BytesIO()
    for average in (whole, halved):
        average.update(filled(3), 50)
    torch.save(halved.pack(), stored)
    stored.seek(0)
    resumed = WeightAverage(filled(7), 0.9)
    resumed.unpack(torch.load(stored, weights_only=True))
    for average in (whole, resumed):
        average.update(filled(5), 51)
    assert values(whole.network) == values(resumed.network)


def test_a_fraction_of_one_would_never_learn_and_is_refused() -> None:
    with pytest.raises(TrainingConfigError, match=r"average_decay is 1\.0, expected at least 0 and below 1"):
        quick_training(average_decay=1.0)
