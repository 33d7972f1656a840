"""Training: it learns, twice the same, from where it stopped, and stops when it has nothing to go on."""

import io
import math
from collections.abc import Callable

import pytest
import torch

from model.batches import Batch, collate
from model.captioner import Captioner
from model.config import TrainingConfigError
from model.precision import autocast, has_fast_bf16
from model.training_loop import (
    DivergedError,
    StepReport,
    TrainingState,
    ignore_step,
    learning_rate_at,
    make_optimizer,
    pack_training,
    spend,
    token_loss,
    train_epoch,
    unpack_training,
    validate,
)
from tests.unit.tiny_captioner import quick_training, stroke_batch, stroke_samples, tiny_captioner

BATCHES = [stroke_batch(8, seed) for seed in range(6)]


def train(
    captioner: Captioner,
    batches: list[Batch],
    state: TrainingState | None = None,
    on_step: Callable[[StepReport], None] = ignore_step,
    **changes: object,
) -> list[StepReport]:
    config, reports = quick_training(**changes), []

    def note(report: StepReport) -> None:
        reports.append(report)
        on_step(report)

    train_epoch(
        captioner, batches, make_optimizer(captioner, config), config, state or TrainingState(), len(batches), note
    )
    return reports


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_eight_images_of_strokes_are_learned_by_heart(precision: str) -> None:
    captioner = tiny_captioner()
    reports = train(captioner, [stroke_batch(8)] * 120, precision=precision)
    assert reports[0].loss > 2
    assert reports[-1].loss < 0.1
    scores = validate(captioner, [stroke_batch(8)], precision)
    assert scores["token_accuracy"] == 1.0


def test_the_same_seed_gives_the_same_losses() -> None:
    first, second, other = (
        [report.loss for report in train(tiny_captioner(seed, dropout=0.2), BATCHES)] for seed in (0, 0, 1)
    )
    assert first == pytest.approx(second, abs=1e-6)
    assert abs(first[0] - other[0]) > 1e-3


def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one() -> None:
    whole = [report.loss for report in train(tiny_captioner(dropout=0.2), BATCHES)]

    captioner, config, saved, state = tiny_captioner(dropout=0.2), quick_training(), io.BytesIO(), TrainingState()
    optimizer = make_optimizer(captioner, config)

    def save_at_three(report: StepReport) -> None:
        if report.step == 3:
            torch.save({"weights": captioner.state_dict(), "training": pack_training(state, optimizer)}, saved)

    train_epoch(captioner, BATCHES, optimizer, config, state, len(BATCHES), save_at_three)

    saved.seek(0)
    packed = torch.load(saved, weights_only=True)
    resumed = tiny_captioner(seed=7, dropout=0.2)
    resumed.load_state_dict(packed["weights"])
    optimizer = make_optimizer(resumed, config)
    state = unpack_training(packed["training"], optimizer)
    assert (state.epoch, state.step, state.step_in_epoch) == (0, 3, 3)
    reports: list[StepReport] = []
    train_epoch(resumed, BATCHES[3:], optimizer, config, state, len(BATCHES), reports.append)
    assert [report.step for report in reports] == [4, 5, 6]
    assert [report.loss for report in reports] == pytest.approx(whole[3:], abs=1e-6)
    assert (state.epoch, state.step, state.step_in_epoch) == (1, 6, 0)


def test_learning_rate_rises_in_a_line_and_falls_along_a_cosine_to_zero() -> None:
    rates = [learning_rate_at(step, 110, learning_rate=2.0, warmup_fraction=0.1) for step in range(111)]
    assert rates[0] == pytest.approx(2 / 12)
    assert rates[5] == pytest.approx(1.0)
    assert rates[11] == max(rates) == pytest.approx(2.0, rel=1e-3)
    assert learning_rate_at(60.5, 110, 2.0, 0.1) == pytest.approx(1.0)
    assert rates[110] == 0
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert learning_rate_at(500, 110, 2.0, 0.1) == 0
    assert learning_rate_at(0, 10, 2.0, 0.0) == 2.0


def test_each_step_is_taken_at_its_learning_rate() -> None:
    captioner, config, taken = tiny_captioner(), quick_training(), []
    optimizer = make_optimizer(captioner, config)

    def note(report: StepReport) -> None:
        taken.append([report.learning_rate, *(group["lr"] for group in optimizer.param_groups)])

    train_epoch(captioner, BATCHES, optimizer, config, TrainingState(), 6, note)
    assert taken == [[learning_rate_at(step, 6, 0.01, 0.1)] * 3 for step in range(6)]


def test_when_time_is_out_training_stops_and_the_rate_has_followed_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(1000))
    monkeypatch.setattr("model.training_loop.time.monotonic", lambda: float(next(seconds)))
    state = TrainingState()
    reports = train(tiny_captioner(), BATCHES * 20, state, max_train_seconds=10.0)
    assert state.is_out_of_time
    assert (state.epoch, state.step) == (0, len(reports))
    assert 3 <= len(reports) <= 10
    rates = [report.learning_rate for report in reports]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.15 * rates[0]


def test_loss_is_averaged_over_tokens_and_leaves_padding_out() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[4, 2, 0], [3, 4, 2]])
    log_probs = logits.log_softmax(dim=2)
    expected = -sum(
        log_probs[row, index, targets[row, index]] for row, index in [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    )
    torch.testing.assert_close(token_loss(logits, targets), expected / 5)
    assert token_loss(logits, targets, label_smoothing=0.1) != token_loss(logits, targets)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_caption_of_weight_three_is_learned_as_if_it_were_there_three_times(label_smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, generator=generator, requires_grad=True)
    targets = torch.tensor([[4, 2, 0], [3, 4, 2]])
    weighed = token_loss(logits, targets, label_smoothing, torch.tensor([3.0, 1.0]))
    rows = [0, 0, 0, 1]
    repeated = token_loss(logits[rows], targets[rows], label_smoothing)
    torch.testing.assert_close(weighed, repeated)
    (of_weighed,), (of_repeated,) = (torch.autograd.grad(loss, logits) for loss in (weighed, repeated))
    torch.testing.assert_close(of_weighed, of_repeated)
    once = token_loss(logits, targets, label_smoothing, torch.ones(2))
    torch.testing.assert_close(once, token_loss(logits, targets, label_smoothing))


def test_a_step_takes_the_weights_of_captions_into_account() -> None:
    samples = stroke_samples(4)
    weighed = [samples[0] | {"caption_weight": 3.0}, *samples[1:]]
    repeated = [samples[0]] * 3 + samples[1:]
    losses = {}
    for name, taken in (("weighed", weighed), ("repeated", repeated), ("once", samples)):
        captioner = tiny_captioner(is_encoder_frozen=True, num_cell_labels=0)
        losses[name] = [report.loss for report in train(captioner, [collate(taken, 1)] * 3, TrainingState())]
    assert losses["weighed"] == pytest.approx(losses["repeated"], rel=1e-4)
    assert losses["weighed"] != pytest.approx(losses["once"], rel=1e-3)


def test_validation_counts_true_tokens_and_changes_nothing() -> None:
    captioner = tiny_captioner(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    captioner.train()
    scores = validate(captioner, BATCHES, "fp32")
    assert scores == validate(captioner, BATCHES, "fp32")
    assert scores["num_tokens"] == sum(int((batch.targets != 0).sum()) for batch in BATCHES)
    assert scores["loss"] == pytest.approx(math.log(12), abs=0.4)
    assert captioner.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in captioner.state_dict().items())


def test_validation_of_nothing_is_no_number() -> None:
    assert math.isnan(validate(tiny_captioner(), [], "fp32")["loss"])


def test_a_loss_that_is_no_number_stops_before_the_weights_are_touched() -> None:
    captioner = tiny_captioner()

    def poison(report: StepReport) -> None:
        if report.step == 2:
            with torch.no_grad():
                captioner.decoder.output.bias[5] = math.nan

    with pytest.raises(DivergedError, match=r"loss nan.* at step 2, learning rate 0\.00"):
        train(captioner, BATCHES, on_step=poison)
    assert not captioner.decoder.output.weight.isnan().any()


def test_matrices_decay_and_biases_and_norms_do_not() -> None:
    captioner = tiny_captioner()
    decayed, kept = make_optimizer(captioner, quick_training()).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.01, 0.0)
    assert {parameter.ndim for parameter in kept["params"]} == {1}
    assert len(decayed["params"]) + len(kept["params"]) == len(list(captioner.parameters()))


def test_reports_count_images_and_epochs() -> None:
    state = TrainingState(epoch=3, step=30)
    reports = train(tiny_captioner(), BATCHES, state)
    assert [(report.epoch, report.step) for report in reports] == [(3, s) for s in range(31, 37)]
    assert all(report.images_per_second > 0 for report in reports)
    assert state.epoch == 4


def test_precision_is_what_the_settings_say_and_auto_is_what_the_device_does_well() -> None:
    device = torch.device("cpu")
    matrix = torch.ones(2, 2)
    for precision, is_bf16 in (("fp32", False), ("bf16", True), ("auto", has_fast_bf16(device))):
        with autocast(device, precision):
            assert (matrix @ matrix).dtype == (torch.bfloat16 if is_bf16 else torch.float32)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 1.0"),
        ({"label_smoothing": -0.1}, "label_smoothing is -0.1"),
        ({"mirrored_fraction": 1.0}, "mirrored_fraction is 1.0"),
        ({"blanked_fraction": -0.1}, "blanked_fraction is -0.1"),
        ({"weight_decay": -0.5}, "weight_decay is -0.5"),
        ({"precision": "fp16"}, "precision is 'fp16'"),
        ({"max_train_seconds": 0}, "max_train_seconds is 0"),
        ({"num_validation_images": 0}, "num_validation_images is 0"),
        ({"patience_epochs": 0}, "patience_epochs is 0"),
    ],
)
def test_training_that_cannot_be_is_refused_by_field(changes: dict, seen: str) -> None:
    with pytest.raises(TrainingConfigError, match=seen):
        quick_training(**changes)


def test_the_lowest_edit_distance_is_the_best_and_the_loss_decides_between_equals() -> None:
    state = TrainingState()
    assert [state.note_scores(*scores) for scores in ((9.0, 1.0), (8.0, 2.0), (8.0, 1.5), (8.5, 0.1))] == [
        True,
        True,
        True,
        False,
    ]
    assert state.best == (8.0, 1.5)
    assert state.epochs_since_best == 1


def test_training_is_over_after_its_epochs_its_time_or_its_patience() -> None:
    config = quick_training(num_epochs=5, patience_epochs=2)
    state = TrainingState(epoch=3)
    assert [(state.note_scores(distance, 1.0), state.is_over(config)) for distance in (4.0, 5.0, 4.0)] == [
        (True, False),
        (False, False),
        (False, True),
    ]
    assert not state.is_over(quick_training(num_epochs=5))
    assert TrainingState(epoch=5).is_over(config)
    assert TrainingState(is_out_of_time=True).is_over(config)


def test_scores_and_patience_come_back_from_a_checkpoint() -> None:
    captioner, config, saved = tiny_captioner(), quick_training(), io.BytesIO()
    optimizer, state = make_optimizer(captioner, config), TrainingState(epoch=2, step=30, step_in_epoch=4)
    state.note_scores(7.0, 0.5)
    state.note_scores(7.5, 0.4)
    torch.save(pack_training(state, optimizer), saved)
    saved.seek(0)
    assert unpack_training(torch.load(saved, weights_only=True), optimizer) == state


def test_validation_time_counts_towards_the_time_given() -> None:
    config, state = quick_training(max_train_seconds=100.0), TrainingState(seconds=95.0)
    assert not spend(99.0, config, state, torch.device("cpu"))
    assert not state.is_out_of_time
    spend(101.0, config, state, torch.device("cpu"))
    assert (state.seconds, state.is_over(config)) == (101.0, True)
