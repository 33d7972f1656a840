"""run_pipeline: one Spark session, every task in order, training in a process of its own."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs import run_pipeline
from lib.errors import SettingsError
from lib.lake import models, spark_session
from lib.reporting import pipeline_summary
from lib.sql import captions_file


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What run_pipeline does, in order, with Spark and the jobs themselves left out."""
    done: list[Any] = []

    @contextmanager
    def open_spark(*_: object) -> Iterator[str]:
        done.append("Spark opens")
        yield "spark"
        done.append("Spark ends")

    def run_timed(job: str, run: Callable[..., None], spark: str, settings: Any) -> None:
        done.append((job, run, spark, settings.storage.root))

    monkeypatch.setattr(spark_session, "open_spark", open_spark)
    monkeypatch.setattr(run_pipeline, "run_timed", run_timed)
    monkeypatch.setattr(run_pipeline, "import_module", lambda name: SimpleNamespace(run=f"{name}.run"))
    monkeypatch.setattr(run_pipeline, "run_child", lambda task, command: done.append((task, command)))
    monkeypatch.setattr(models, "why_nothing_is_trained", lambda *_: None)
    monkeypatch.setattr(models, "model_in_use", lambda *_: models.Model("m1", Path("m1")))
    monkeypatch.setattr(captions_file, "write_captions_file", lambda *_: done.append(("captions file",)))
    monkeypatch.setattr(pipeline_summary, "print_summary", lambda lake, _: done.append(("summary", lake.storage.root)))
    return done


def run(*flags: str) -> None:
    run_pipeline.run_pipeline(run_pipeline.parse_arguments(flags))


def test_every_task_runs_in_order_in_one_session_and_training_in_a_process(steps: list[Any]) -> None:
    run("--dataset", "photos", "--set", "storage.root=/lake")
    child = [sys.executable, "-m", "jobs.train_captioner", "--dataset", "photos", "--environment", "local",
             "--set", "storage.root=/lake"]
    assert steps == [
        "Spark opens",
        ("ingest_images", "jobs.ingest_images.run", "spark", "/lake"),
        ("clean_images", "jobs.clean_images.run", "spark", "/lake"),
        ("build_vocabulary", "jobs.build_vocabulary.run", "spark", "/lake"),
        ("train_captioner", child),
        ("predict_captions", "jobs.predict_captions.run", "spark", "/lake"),
        ("evaluate_captions", "jobs.evaluate_captions.run", "spark", "/lake"),
        ("create_views", "jobs.create_views.run", "spark", "/lake"),
        ("summary", "/lake"),
        ("captions file",),
        "Spark ends",
    ]


def test_from_goes_on_at_a_task(steps: list[Any]) -> None:
    run("--from", "predict_captions")
    assert [step[0] for step in steps[1:-1]] == [
        "predict_captions", "evaluate_captions", "create_views", "summary", "captions file",
    ]


def test_only_runs_one_task(steps: list[Any]) -> None:
    run("--only", "clean_images")
    assert [step[0] for step in steps[1:-1]] == ["clean_images", "summary", "captions file"]


def test_an_unknown_task_is_refused_before_spark_opens(steps: list[Any]) -> None:
    with pytest.raises(SettingsError, match="known here: ingest_images"):
        run("--only", "train")
    assert steps == []


def test_a_setting_that_cannot_be_used_is_refused_before_spark_opens(steps: list[Any]) -> None:
    with pytest.raises(SettingsError, match=r"spark\.cores: unknown setting"):
        run("--set", "spark.cores=2")
    assert steps == []


def test_each_task_is_announced_with_its_number(steps: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        run("--from", "build_vocabulary")
    banners = [record.message for record in caplog.records if record.message.startswith("[")]
    assert banners == [
        "[1/5] build_vocabulary", "[2/5] train_captioner", "[3/5] predict_captions", "[4/5] evaluate_captions",
        "[5/5] create_views",
    ]
    assert len(steps) == 9
