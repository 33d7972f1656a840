"""How train_captioner reaches its rows, and what is checked before anything starts."""

import inspect
import os
from pathlib import Path

import pytest
import ray.util.spark
import torch

from jobs import train_captioner
from lib.errors import RuntimeMissingError, SettingsError
from lib.sections.training import ClusterSettings
from lib.settings import load_settings
from lib.training import ray_cluster
from lib.training.distributed_training import BYTES_PER_PARTITION, ROWS_PER_PARTITION, _first_fault, num_partitions
from lib.training.validation import ranking_of


def cluster_of(*overrides: str) -> ClusterSettings:
    return load_settings("molecules", "local", [f"cluster.{override}" for override in overrides]).cluster


@pytest.mark.parametrize(
    ("ray_on", "on_databricks", "route"),
    [
        ("raydp", False, "raydp"),
        ("raydp", True, "detached"),  # RayDP brings a Spark that knows no Unity Catalog
        ("databricks", True, "ray_on_spark"),
        ("databricks", False, "ray_on_spark"),
    ],
)
def test_settings_and_the_platform_choose_the_route(ray_on: str, on_databricks: bool, route: str) -> None:
    assert ray_cluster.route_of(cluster_of(f"ray_on={ray_on}"), on_databricks) == route


def test_where_a_model_is_trained_only_when_missing_any_current_one_will_do(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "current_model").write_text("older\n")
    overrides = [f"storage.root={tmp_path}", "cluster.train_when=missing"]
    # There are no tables here: whoever looked for something to train on would raise MissingInputError.
    train_captioner.run(load_settings("molecules", "local", overrides), [])


def test_where_nothing_is_ever_trained_nothing_is_looked_for(tmp_path: Path) -> None:
    train_captioner.run(
        load_settings("molecules", "local", [f"storage.root={tmp_path}", "cluster.train_when=never"]), []
    )
    assert list(tmp_path.iterdir()) == []


def test_more_workers_than_cores_are_refused() -> None:
    num_cores = os.cpu_count() or 1
    ray_cluster.check_cluster(cluster_of(f"num_workers={num_cores}", "threads_per_worker=1"))
    for overrides in ([f"num_workers={num_cores + 1}"], [f"num_workers={num_cores}", "threads_per_worker=2"]):
        with pytest.raises(SettingsError, match=rf"are more than the {num_cores} cores of this machine"):
            ray_cluster.check_cluster(cluster_of(*overrides))


def test_workers_on_other_machines_are_not_counted_here() -> None:
    ray_cluster.check_cluster(cluster_of("num_workers=1000", "ray_on=databricks"))
    with pytest.raises(RuntimeMissingError, match="no Ray cluster answers"):  # asked whether it is there, not how large
        ray_cluster.check_cluster(cluster_of("num_workers=1000", "address=no-such-host.invalid:6379"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_gpus_that_must_be_there_and_are_not_are_missed_at_once() -> None:
    ray_cluster.check_cluster(cluster_of("device=gpu_if_there"))
    with pytest.raises(SettingsError, match="but there are 0 GPUs: gpu_if_there would go on without"):
        ray_cluster.check_cluster(cluster_of("device=gpu"))


def test_ray_on_spark_is_asked_for_a_node_for_each_worker() -> None:
    sizes = ray_cluster.nodes_on_spark(cluster_of("num_workers=4", "threads_per_worker=5"))
    assert sizes == {
        "max_worker_nodes": 4,
        "num_cpus_worker_node": 6,
        "num_gpus_worker_node": 0,
        "head_node_options": {"include_dashboard": False},
    }
    assert sizes.keys() <= inspect.signature(ray.util.spark.setup_ray_cluster).parameters.keys()


def test_the_hook_asks_for_no_notebook_and_hands_on_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", "host")
    monkeypatch.setenv("DATABRICKS_TOKEN", "token")
    hook = ray_cluster.JobStartHook()
    hook.on_ray_dashboard_created(8265)
    assert hook.custom_environment_variables() == {}
    assert hook.get_default_temp_root_dir() == "/local_disk0/tmp"


def test_partitions_of_the_hand_over_are_bounded_in_rows_and_in_bytes() -> None:
    assert num_partitions(100, 3_000, num_workers=3) == 6
    assert num_partitions(10 * ROWS_PER_PARTITION + 1, 10, num_workers=1) == 11
    assert num_partitions(1_000, BYTES_PER_PARTITION / 10, num_workers=1) == 100  # features, say


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "Py4JJavaError: An error occurred\n: org.apache.spark.SparkException: Job aborted\nCaused by: "
            "java.lang.OutOfMemoryError: Java heap space\n\tat java.base/java.lang.Thread.run(Thread.java:840)",
            "raise cluster.memory_per_spark_executor",
        ),
        (
            "ExecutorLostFailure (executor 1 exited)\n\tat java.base/java.lang.Thread.run",
            "an executor of the hand-over",
        ),
        ("Traceback\n  File 'loop.py'\nDivergedError: loss nan\n", "DivergedError: loss nan"),
    ],
)
def test_what_ended_a_training_is_one_sentence(said: str, sentence: str) -> None:
    assert sentence in _first_fault(RuntimeError(said))
    assert "\n" not in _first_fault(RuntimeError(said))


def test_epochs_of_sentences_are_compared_by_cider_and_others_by_the_edit_distance() -> None:
    scores = {"validation_edit_distance": 9.0, "validation_loss": 2.0}
    assert ranking_of(scores) == (9.0, 2.0)
    better = scores | {"validation_edit_distance": 12.0, "validation_cider": 0.6}
    assert ranking_of(better) < ranking_of(scores | {"validation_cider": 0.5})
