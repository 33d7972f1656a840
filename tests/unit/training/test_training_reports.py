"""What a training leaves behind: the best model, its metrics and its progress."""

import json
import logging
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lib.progress import show_progress
from lib.settings import load_settings
from lib.training import training_reports
from lib.training.distributed_training import worker_config
from lib.training.training_reports import TrainingReporter, following
from lib.training.training_runs import TrainingRun, read_metrics
from model.captioner import Captioner
from model.checkpoint import load_captioner, load_training_state
from model.learner import Learner
from model.training_loop import StepReport, TrainingState, make_optimizer
from model.weight_averaging import WeightAverage
from tests.unit.tiny_captioner import VOCABULARY, quick_training, tiny_captioner


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    folder = tmp_path / "training" / "tiny-1"
    folder.mkdir(parents=True)
    data: Any = SimpleNamespace(num_train=40)
    return TrainingRun("tiny-1", data, tmp_path / "checkpoints" / "tiny-1", folder)


def reporter_of(
    run: TrainingRun, captioner: Captioner, state: TrainingState, average: WeightAverage[Captioner] | None = None
) -> TrainingReporter:
    training = quick_training(log_interval_steps=2, checkpoint_interval_steps=3)
    config = {
        "training": asdict(training),
        "total_steps": 10,
        "checkpoint": str(run.checkpoint),
        "best_checkpoint": str(run.best_checkpoint),
        "resume_checkpoint": str(run.resume_checkpoint),
        "metrics_file": str(run.metrics_file),
        "progress_file": str(run.progress_file),
        "details": {"notation": "words", "max_tokens": 9},
        "provenance": {"model_version": run.model_version, "num_workers": 2},
    }
    learner = Learner(captioner, make_optimizer(captioner, training), state, {})
    return TrainingReporter(config, learner, VOCABULARY, average)


def scores(distance: float) -> dict[str, float]:
    return {"validation_loss": 0.5, "validation_token_accuracy": 0.9, "validation_edit_distance": distance}


def end_epoch(reporter: TrainingReporter, weight: float, distance: float) -> None:
    """As train_worker does, with every weight of the output set to a number to know it by."""
    torch.nn.init.constant_(reporter.captioner.decoder.output.weight, weight)
    reporter.state.epoch += 1
    reporter.state.step += 5
    reporter.on_epoch(scores(distance), reporter.state.note_scores(distance, 0.5))


def test_the_model_with_the_lowest_validation_distance_is_the_one_that_stays(run: TrainingRun) -> None:
    reporter = reporter_of(run, tiny_captioner(), TrainingState())
    for weight, distance in ((1.0, 9.0), (2.0, 4.0), (3.0, 6.0)):
        end_epoch(reporter, weight, distance)
    assert load_training_state(run.resume_checkpoint)["state"]["best"] == (4.0, 0.5)
    reporter.on_end()
    kept, _, provenance = load_captioner(run.checkpoint)
    assert kept.decoder.output.weight.unique().tolist() == [2.0]
    assert (provenance["epochs"], provenance["steps"], provenance["validation_edit_distance"]) == (2, 10, 4.0)
    assert [row["validation_edit_distance"] for row in read_metrics(run)] == [9.0, 4.0, 6.0]


def test_a_run_that_is_resumed_keeps_the_best_of_before(run: TrainingRun) -> None:
    first = reporter_of(run, tiny_captioner(), TrainingState())
    end_epoch(first, 1.0, 4.0)
    state = TrainingState(**load_training_state(run.resume_checkpoint)["state"])
    second = reporter_of(run, load_captioner(run.resume_checkpoint)[0], state)
    end_epoch(second, 2.0, 5.0)
    second.on_end()
    assert load_captioner(run.checkpoint)[0].decoder.output.weight.unique().tolist() == [1.0]


def test_without_validation_the_last_model_stays(run: TrainingRun) -> None:
    reporter = reporter_of(run, tiny_captioner(), TrainingState())
    reporter.on_epoch({}, is_best=False)
    torch.nn.init.constant_(reporter.captioner.decoder.output.weight, 7.0)
    reporter.on_end()
    assert load_captioner(run.checkpoint)[0].decoder.output.weight.unique().tolist() == [7.0]


def test_the_model_that_stays_has_the_average_of_the_weights_and_training_goes_on_from_the_last(
    run: TrainingRun,
) -> None:
    captioner = tiny_captioner()
    average = WeightAverage.begin_or_resume(captioner, 0.5, {})
    assert average is not None
    torch.nn.init.constant_(average.network.decoder.output.weight, 1.0)
    reporter = reporter_of(run, captioner, TrainingState(), average)
    torch.nn.init.constant_(captioner.decoder.output.weight, 3.0)
    average.update(captioner, step=1_000)
    end_epoch(reporter, 3.0, 4.0)
    assert load_captioner(run.resume_checkpoint)[0].decoder.output.weight.unique().tolist() == [3.0]
    packed = load_training_state(run.resume_checkpoint)
    resumed = WeightAverage.begin_or_resume(tiny_captioner(seed=1), 0.5, packed)
    assert resumed is not None
    assert resumed.network.decoder.output.weight.unique().tolist() == [2.0]
    reporter.on_end()
    assert load_captioner(run.checkpoint)[0].decoder.output.weight.unique().tolist() == [2.0]


def test_a_checkpoint_names_the_encoder_whose_features_are_learned_from(run: TrainingRun) -> None:
    run.data.vocabulary, run.data.fingerprint, run.data.max_tokens = VOCABULARY, "f", 9
    asked = load_settings("photos", "local", ["storage.root=unused"])
    assert worker_config(run, asked)["details"] == {
        "notation": "words",
        "max_tokens": 10,
        "encoder_version": "efficientnet_lite2-imagenet",
    }
    learning = load_settings("photos", "local", ["storage.root=unused", "captioner.is_encoder_frozen=false"])
    assert worker_config(run, learning)["details"]["encoder_version"] is None


def test_progress_shows_epoch_step_loss_distance_speed_of_all_workers_and_time_left(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(training_reports, "TELL_EVERY_S", 0.0)
    reporter = reporter_of(run, tiny_captioner(), TrainingState(step=5, seconds=21.0))
    reporter.scores = scores(3.25)
    reporter.on_step(StepReport(epoch=1, step=5, loss=0.5124, learning_rate=0.1, images_per_second=1.5))
    training = quick_training(num_epochs=2, max_train_seconds=24.0)
    caplog.set_level(logging.INFO)
    with show_progress("train_captioner", 80) as line, following(run, training, line):
        deadline = time.monotonic() + 20
        while not line.note and time.monotonic() < deadline:
            time.sleep(0.05)
    assert caplog.messages[-1] == (
        "train_captioner 40/80 images, 3.0/s, 3 s left, epoch 2/2, step 5, loss 0.512, distance 3.2"
    )


def test_a_progress_file_torn_by_a_reader_in_between_is_passed_over(run: TrainingRun) -> None:
    run.progress_file.write_text(json.dumps({"epoch": 0})[:-3])
    with show_progress("train_captioner", 80) as line, following(run, quick_training(), line):
        time.sleep(1.3)
    assert line.note == ""


def test_steps_are_reported_and_can_be_resumed_from_at_their_intervals(run: TrainingRun) -> None:
    reporter = reporter_of(run, tiny_captioner(), TrainingState())
    for step, loss in enumerate((4.0, 2.0, 7.0), start=1):
        reporter.state.step = step
        reporter.on_step(StepReport(epoch=0, step=step, loss=loss, learning_rate=0.1, images_per_second=1.5))
    assert [(row["step"], row["train_loss"]) for row in read_metrics(run)] == [(2, 3.0)]
    assert load_training_state(run.resume_checkpoint)["state"]["step"] == 3
    reporter.on_epoch({}, is_best=False)
    assert read_metrics(run)[-1]["train_loss"] == 7.0  # of the steps since the last report
