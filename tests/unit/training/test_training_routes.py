"""The routes of train_captioner, with Ray, Spark and the training itself left out: which one runs, and on what."""

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.util.spark
import torch
from ray.util.spark import databricks_hook

from jobs import train_captioner
from lib.errors import RuntimeMissingError, SettingsError, TrainingFailedError
from lib.lake import models, spark_session
from lib.sections.lake import StorageSettings
from lib.settings import Settings, load_settings
from lib.training import detached_training, distributed_training, model_registry, ray_cluster, training_runs
from lib.training.training_runs import TrainingRun


def settings_of(root: Path, *overrides: str) -> Settings:
    return load_settings("molecules", "local", [f"storage.root={root}", *overrides])


@pytest.fixture
def run(tmp_path: Path) -> TrainingRun:
    root = tmp_path / "lake"
    data: Any = SimpleNamespace(num_train=3)
    return TrainingRun("molecules-1", data, root / "checkpoints" / "molecules-1", root / "training" / "molecules-1")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, run: TrainingRun) -> list[Any]:
    """What train_captioner does, in order; training writes the checkpoint."""
    done: list[Any] = []

    def block(name: str, value: str | None = None) -> Any:
        @contextmanager
        def enter(*_: object) -> Iterator[str | None]:
            done.append(f"{name} starts")
            yield value
            done.append(f"{name} ends")

        return enter

    def train(how: str) -> Any:
        def write_checkpoint(lake: Any, plan: TrainingRun, *more: Any) -> None:
            done.append((how, lake.spark, *(more if how == "train detached" else ())))
            plan.checkpoint.mkdir(parents=True)
            (plan.checkpoint / "config.json").touch()

        return write_checkpoint

    monkeypatch.setattr(spark_session, "open_spark", block("Spark", "the cluster's Spark"))
    monkeypatch.setattr(ray_cluster, "ray_on_spark", block("Ray on Spark"))
    monkeypatch.setattr(ray_cluster, "ray_cluster", block("Ray"))
    monkeypatch.setattr(ray_cluster, "raydp_spark", block("RayDP", "RayDP's Spark"))
    monkeypatch.setattr(models, "why_nothing_is_trained", lambda *_: None)
    monkeypatch.setattr(training_runs, "plan_training", lambda *_: run)
    monkeypatch.setattr(training_runs, "finish_training", lambda lake, _: done.append(("finish", lake.spark)))
    monkeypatch.setattr(model_registry, "record_training", lambda lake, *_: done.append(("record", lake.spark)))
    monkeypatch.setattr(distributed_training, "train_on_ray", train("train"))
    monkeypatch.setattr(detached_training, "train_detached", train("train detached"))
    return done


def test_elsewhere_training_runs_on_raydp_after_the_first_spark_has_ended(steps: list[Any], tmp_path: Path) -> None:
    train_captioner.run(settings_of(tmp_path), [])
    assert steps == [
        "Spark starts",
        "Spark ends",
        "Ray starts",
        "RayDP starts",
        ("train", "RayDP's Spark"),
        ("finish", "RayDP's Spark"),
        ("record", "RayDP's Spark"),
        "RayDP ends",
        "Ray ends",
    ]


def test_on_databricks_own_route_the_clusters_spark_hands_over(steps: list[Any], tmp_path: Path) -> None:
    train_captioner.run(settings_of(tmp_path, "cluster.ray_on=databricks"), [])
    assert steps == [
        "Spark starts",
        "Ray on Spark starts",
        ("train", "the cluster's Spark"),
        "Ray on Spark ends",
        ("finish", "the cluster's Spark"),
        ("record", "the cluster's Spark"),
        "Spark ends",
    ]


def test_raydp_on_databricks_trains_in_the_init_scripts_python(
    steps: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_session, "ON_DATABRICKS", True)
    train_captioner.run(settings_of(tmp_path, "cluster.copy_folder=/shared"), ["--dataset", "photos"])
    assert steps == [
        "Spark starts",
        ("train detached", "the cluster's Spark", "/shared", ["--dataset", "photos"]),
        ("finish", "the cluster's Spark"),
        ("record", "the cluster's Spark"),
        "Spark ends",
    ]


def test_a_model_that_is_there_is_not_trained_again(steps: list[Any], run: TrainingRun, tmp_path: Path) -> None:
    run.checkpoint.mkdir(parents=True)
    (run.checkpoint / "config.json").touch()
    train_captioner.run(settings_of(tmp_path), [])
    assert steps == ["Spark starts", ("finish", "the cluster's Spark"), ("record", "the cluster's Spark"), "Spark ends"]


def test_where_a_model_is_trained_only_when_missing_any_current_one_will_do(steps: list[Any], tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "current_model").write_text("older\n")
    train_captioner.run(settings_of(tmp_path, "cluster.train_when=missing"), [])
    assert steps == []


def test_where_a_model_is_trained_only_when_missing_the_first_one_is_trained(steps: list[Any], tmp_path: Path) -> None:
    train_captioner.run(settings_of(tmp_path, "cluster.train_when=missing"), [])
    assert ("train", "RayDP's Spark") in steps


def test_more_workers_than_cores_are_refused_before_anything_starts(steps: list[Any], tmp_path: Path) -> None:
    num_cores = os.cpu_count() or 1
    for overrides in ([f"num_workers={num_cores + 1}"], [f"num_workers={num_cores}", "threads_per_worker=2"]):
        settings = settings_of(tmp_path, *(f"cluster.{override}" for override in overrides))
        with pytest.raises(SettingsError, match=rf"are more than the {num_cores} cores of this machine"):
            train_captioner.run(settings, [])
    assert steps == []


def test_workers_on_other_machines_are_not_counted_here(tmp_path: Path) -> None:
    many = "cluster.num_workers=1000"
    ray_cluster.check_cluster(settings_of(tmp_path, many, "cluster.ray_on=databricks").cluster)
    with pytest.raises(RuntimeMissingError, match="no Ray cluster answers"):  # asked whether it is there, not how large
        ray_cluster.check_cluster(settings_of(tmp_path, many, "cluster.address=no-such-host.invalid:6379").cluster)


def test_gpus_that_must_be_there_and_are_not_stop_the_job_before_anything_starts(
    steps: list[Any], tmp_path: Path
) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    ray_cluster.check_cluster(settings_of(tmp_path, "cluster.device=gpu_if_there").cluster)
    with pytest.raises(SettingsError, match="but there are 0 GPUs: gpu_if_there would go on without"):
        train_captioner.run(settings_of(tmp_path, "cluster.device=gpu"), [])
    assert steps == []


def test_ray_on_spark_starts_a_node_for_each_worker_joins_them_and_shuts_them_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[Any] = []

    @contextmanager
    def ray_cluster_at(settings: ray_cluster.ClusterSettings) -> Iterator[None]:
        done.append(settings.address)
        yield

    real_parameters = inspect.signature(ray.util.spark.setup_ray_cluster).parameters

    def setup(**sizes: Any) -> tuple[str, str]:
        assert sizes.keys() <= real_parameters.keys()
        databricks_hook.get_databricks_display_html_function()("little memory")
        done.append(sizes)
        done.append(os.environ["RAY_ON_SPARK_START_HOOK"])
        return "10.0.0.7:9000", "ray://10.0.0.7:10001"

    monkeypatch.setenv("RAY_ON_SPARK_START_HOOK", "")
    monkeypatch.setattr(databricks_hook, "get_databricks_display_html_function", None)
    monkeypatch.setattr(ray.util.spark, "setup_ray_cluster", setup)
    monkeypatch.setattr(ray.util.spark, "shutdown_ray_cluster", lambda: done.append("shut down"))
    monkeypatch.setattr(ray_cluster, "ray_cluster", ray_cluster_at)
    cluster = settings_of(tmp_path, "cluster.num_workers=4", "cluster.threads_per_worker=5").cluster
    with pytest.raises(TrainingFailedError), ray_cluster.ray_on_spark(cluster):
        raise TrainingFailedError("as workers may")
    hook = "lib.training.ray_cluster.JobStartHook"
    sizes = {
        "max_worker_nodes": 4,
        "num_cpus_worker_node": 6,
        "num_gpus_worker_node": 0,
        "head_node_options": {"include_dashboard": False},
    }
    assert done == [sizes, hook, "10.0.0.7:9000", "shut down"]
    assert "little memory" in caplog.messages


def test_the_hook_asks_for_no_notebook_and_hands_on_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "host")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    hook = ray_cluster.JobStartHook()
    hook.on_ray_dashboard_created(8265)
    assert hook.custom_environment_variables() == {}
    assert hook.get_default_temp_root_dir() == "/local_disk0/tmp"


class FakeLake:
    """A lake that notes what is read and written, wherever it is opened."""

    done: list[Any]

    def __init__(self, spark: str, storage: StorageSettings) -> None:
        self.spark = spark
        self.storage = storage

    def read(self, name: str) -> tuple[str, str]:
        return (self.storage.root, name)

    def replace(self, name: str, rows: Any) -> None:
        self.done.append(("replace", self.storage.root, name, rows))

    def insert_new(self, name: str, rows: Any) -> None:
        self.done.append(("insert", self.storage.root, name, rows))


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> FakeLake:
    monkeypatch.setattr(FakeLake, "done", [], raising=False)
    monkeypatch.setattr(detached_training, "Lake", FakeLake)
    storage = StorageSettings(root="/Volumes/main/captionlake/lake", catalog="main", schema_name="captionlake")
    return FakeLake("spark", storage)


def test_detached_training_copies_tables_starts_the_job_apart_and_brings_its_model_back(
    lake: Any, run: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    run.folder.mkdir(parents=True)
    (run.folder / "metrics.jsonl").write_text("begun")
    run.checkpoint.parent.mkdir(parents=True)
    started: list[Any] = []

    def run_child(task: str, command: list[str], environment: dict[str, str]) -> None:
        started.append((task, command, environment))
        assert (copy / "training" / run.model_version / "metrics.jsonl").read_text() == "begun"
        (copy / "checkpoints" / run.model_version).mkdir(parents=True)
        (copy / "checkpoints" / run.model_version / "config.json").write_text("{}")

    monkeypatch.setattr(detached_training, "run_child", run_child)
    monkeypatch.setenv("SPARK_HOME", "/databricks/spark")
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "16.4")
    detached_training.train_detached(lake, run, str(copy), ["--dataset", "molecules", "--set", "storage.catalog=main"])

    ((task, command, environment),) = started
    assert task == "train_captioner"
    assert command == [
        detached_training.RAY_PYTHON,
        "-m",
        "jobs.train_captioner",
        "--dataset",
        "molecules",
        "--set",
        "storage.catalog=main",
        "--verbose",
        "--set",
        f"storage.root={copy}",
        "--set",
        "storage.catalog=null",
        "--set",
        "storage.schema_name=null",
        "--set",
        "cluster.address=auto",
        "--set",
        "tracking.experiment_id=null",
    ]
    assert environment["PATH"] == os.environ["PATH"]
    assert not {"SPARK_HOME", "DATABRICKS_RUNTIME_VERSION"} & environment.keys()
    assert (environment["RAY_AUTH_MODE"], environment["RAY_AUTH_TOKEN_PATH"]) == ("token", detached_training.RAY_TOKEN)
    root, there = lake.storage.root, f"file:{copy}"
    assert lake.done == [
        *(
            ("replace", there, name, (root, name))
            for name in ("captions", "image_layouts", "images_clean", "vocabulary")
        ),
        ("insert", root, "training_metrics", (there, "training_metrics")),
    ]
    assert (run.checkpoint / "config.json").read_text() == "{}"
    assert run.is_trained


def test_detached_training_that_fails_brings_back_what_the_next_try_resumes_from(
    lake: Any, run: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"

    def run_child(*_: Any) -> None:
        (copy / "training" / run.model_version / "latest").mkdir(parents=True)
        raise TrainingFailedError("as workers may")

    monkeypatch.setattr(detached_training, "run_child", run_child)
    with pytest.raises(TrainingFailedError, match="as workers may"):
        detached_training.train_detached(lake, run, str(copy), [])
    assert run.resume_checkpoint.is_dir()
    assert not run.is_trained


def test_a_next_try_on_the_same_cluster_goes_on_from_the_copy_that_came_further(
    lake: Any, run: TrainingRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_folder = tmp_path / "copy" / "training" / run.model_version
    for folder, steps in ((run.folder, "50"), (own_folder, "80")):
        folder.mkdir(parents=True)
        (folder / "steps").write_text(steps)
    seen: list[str] = []

    def run_child(*_: Any) -> None:
        seen.append((own_folder / "steps").read_text())
        raise TrainingFailedError("as workers may")

    monkeypatch.setattr(detached_training, "run_child", run_child)
    with pytest.raises(TrainingFailedError, match="as workers may"):
        detached_training.train_detached(lake, run, str(tmp_path / "copy"), [])
    assert seen == ["80"]
    assert (run.folder / "steps").read_text() == "80"
