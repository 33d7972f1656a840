"""The whole pipeline on 60 drawings, its tables read by another reader, and its training killed and broken.

`pytest tests/ray/test_pipeline.py`
"""

import json
import os
import re
import subprocess
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Run
from deltalake import DeltaTable, QueryBuilder
from mlflow import MlflowClient

from lib.fingerprints import git_commit
from lib.lake.delta_tables import Lake
from lib.lake.registered_models import DATABASE, RUN_ID
from lib.sections.lake import StorageSettings
from lib.settings import CONF
from lib.sql.views import create_views, open_schema, read_views
from lib.sql_folder import SQL
from lib.task_graph import read_task_graph
from lib.training.model_registry import EXPERIMENT
from model.batches import step_sizes
from tests.ray.views_in_python import expected_views


def query(run: Run, table: str, sql: str) -> list[dict[str, object]]:
    """Rows of a query over one table `t`, read without Spark."""
    builder = QueryBuilder().register("t", DeltaTable(str(run.root / table)))
    return pa.table(builder.execute(sql).read_all()).to_pylist()


def column(run: Run, table: str, name: str, where: str = "true") -> list[object]:
    return [row[name] for row in query(run, table, f"select {name} from t where {where} order by {name}")]


def num_commits(root: Path) -> dict[str, int]:
    return {log.parent.name: len(list(log.glob("*.json"))) for log in root.glob("*/_delta_log")}


def processes_of(driver_pid: int) -> list[str]:
    """Ray's and RayDP's processes of that driver that live.

    Ray writes the driver's id into its session's name, which they have in their arguments or, workers that took another
    title, in the name of the file that they print to.
    """
    alive = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments, printed_to = (process / "cmdline").read_text(), os.readlink(process / "fd" / "1")
        except OSError:  # it ended meanwhile, or is a zombie
            continue
        if f"_{driver_pid}/" in arguments + printed_to:
            alive.append(f"{process.name} {arguments}")
    return alive


def wait_until(is_true, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.2)
    return is_true()


def test_no_image_is_lost_on_the_way(finished):
    raw = column(finished, "images_raw", "image_id")
    clean = column(finished, "images_clean", "image_id")
    rejected = column(finished, "images_rejected", "image_id", "stage = 'clean'")
    assert len(raw) == 61
    assert sorted(clean + rejected) == raw
    assert query(finished, "images_rejected", "select image_id, reason from t") == [
        {"image_id": "bad", "reason": "not_an_image"}
    ]


def test_every_cleaned_image_has_a_caption_and_its_distance_from_the_reference(finished):
    rows = query(finished, "caption_predictions", "select * from t")
    assert sorted(row["image_id"] for row in rows) == column(finished, "images_clean", "image_id")
    references = {row["image_id"]: row["caption"] for row in query(finished, "captions", "select * from t")}
    for row in rows:
        assert row["reference"] == references[row["image_id"]]
        assert row["edit_distance"] == levenshtein(row["caption"], row["reference"])
        longest = max(len(row["caption"]), len(row["reference"]))
        assert abs(row["similarity"] - (1 - row["edit_distance"] / longest)) < 1e-9
        assert 0 < row["confidence"] <= 1


def levenshtein(first: str, second: str) -> int:
    """Wagner and Fischer's algorithm, to check Spark's against."""
    distances = list(range(len(second) + 1))
    for row, left in enumerate(first, start=1):
        diagonal, distances[0] = distances[0], row
        for index, right in enumerate(second, start=1):
            diagonal, distances[index] = (
                distances[index],
                min(distances[index] + 1, distances[index - 1] + 1, diagonal + (left != right)),
            )
    return distances[-1]


def test_scores_stand_beside_their_controls(finished):
    predictors = query(finished, "evaluations", "select split, predictor, num_images from t order by split, predictor")
    by_split = {row["split"] for row in predictors}
    assert by_split == {"train", "validation", "test"}
    for split in by_split:
        assert [row["predictor"] for row in predictors if row["split"] == split] == [
            "constant_caption",
            "model",
            "shuffled_pictures",
        ]
    assert sum(row["num_images"] for row in predictors if row["predictor"] == "model") == 60


def test_metrics_tell_how_the_loss_fell(finished):
    rows = query(finished, "training_metrics", "select * from t order by step, epoch")
    losses = [row["train_loss"] for row in rows if row["train_loss"] is not None]
    assert losses[-1] < losses[0]
    assert {row["num_workers"] for row in rows} == {2}
    assert sum(row["validation_loss"] is not None for row in rows) == 2
    num_train = len(column(finished, "captions", "image_id", "split = 'train'"))
    assert [row["step"] for row in rows if row["train_loss"] is not None] == list(
        range(1, 2 * len(step_sizes(num_train, 16, 20)) + 1)
    )


def test_the_model_says_what_made_it(finished):
    folder = finished.root / "checkpoints"
    version = (folder / "current_model").read_text().strip()
    provenance = json.loads((folder / version / "provenance.json").read_text())
    assert provenance["model_version"] == version
    assert provenance["git_commit"] == git_commit()
    assert provenance["table_versions"].keys() >= {"captions", "images_clean", "vocabulary"}
    assert provenance["num_train_images"] == len(column(finished, "captions", "image_id", "split = 'train'"))
    epochs = query(
        finished,
        "training_metrics",
        "select epoch, step, validation_edit_distance as distance, validation_loss as "
        "loss from t where validation_loss is not null",
    )
    best = min(epochs, key=lambda row: (row["distance"], row["loss"]))
    assert (provenance["epochs"], provenance["steps"]) == (best["epoch"], best["step"])
    assert provenance["validation_edit_distance"] == best["distance"] > 0
    assert set(column(finished, "caption_predictions", "model_version")) == {version}
    assert not (finished.root / "training" / version).exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # SQLAlchemy's, of what MLflow uses
def test_a_training_is_a_run_in_mlflow_with_its_losses_and_its_report(finished):
    client = MlflowClient(f"sqlite:///{finished.root / DATABASE}")
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    (checkpoint,) = (finished.root / "checkpoints").glob("*/provenance.json")
    assert (run.info.status, run.data.tags["model_version"]) == ("FINISHED", checkpoint.parent.name)
    assert (checkpoint.parent / RUN_ID).read_text().strip() == run.info.run_id
    assert run.data.params["settings.training.num_epochs"] == "2"
    logged = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "train_loss")]
    metrics = DeltaTable(str(finished.root / "training_metrics")).to_pandas().dropna(subset=["train_loss"])
    assert sorted(logged) == sorted(zip(metrics.step, metrics.train_loss, strict=True))
    assert [one.path for one in client.list_artifacts(run.info.run_id)] == [f"{checkpoint.parent.name}.html"]


def test_the_report_shows_the_model_and_needs_no_network(finished):
    version = (finished.root / "checkpoints" / "current_model").read_text().strip()
    report = (finished.root / "reports" / f"{version}.html").read_text()
    assert version in report
    assert "http://" not in report.replace("http://www.w3.org", "")


def test_the_summary_counts_what_the_tables_hold(finished):
    log = (finished.root / "pipeline.log").read_text()
    assert "61 raw = 60 clean + 1 rejected" in log


def banners(log: str) -> list[str]:
    return [line.strip() for line in log.splitlines() if re.match(r"\[\d+/\d+\] ", line)]


def test_every_task_of_the_bundle_is_announced_and_run_in_its_order(finished):
    tasks = [task.task_key for task in read_task_graph(CONF)]
    log = (finished.root / "pipeline.log").read_text()
    assert banners(log) == [f"[{number}/{len(tasks)}] {task}" for number, task in enumerate(tasks, start=1)]


@pytest.mark.slow
def test_only_runs_the_task_that_it_names(finished):
    command = [*finished.command("run_pipeline"), "--only", "build_vocabulary"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert banners(ended.stdout + ended.stderr) == ["[1/1] build_vocabulary"]


@pytest.mark.slow
def test_a_second_run_commits_nothing_and_trains_nothing(finished):
    before = num_commits(finished.root)
    again = finished.run("run_pipeline")
    assert again.returncode == 0, again.stderr
    assert num_commits(finished.root) == before
    assert "is up to date" in again.stderr
    assert "started Ray" not in again.stderr


@pytest.fixture(scope="module")
def analyst(finished, spark, tmp_path_factory):
    """A session in which the finished pipeline's tables and the views of sql/ have bare names."""
    folder = tmp_path_factory.mktemp("names")
    spark.sql(f"create database finished location '{folder}'")
    spark.catalog.setCurrentDatabase("finished")
    open_schema(Lake(spark, StorageSettings(root=str(finished.root), catalog=None, schema_name=None)))
    create_views(spark, read_views())
    yield spark
    spark.catalog.setCurrentDatabase("default")
    spark.sql("drop database finished cascade")


@pytest.fixture(scope="module")
def expected(finished):
    names = ("caption_predictions", "captions", "evaluations", "images_raw", "images_rejected", "training_metrics")
    return expected_views(
        {
            name: query(finished, name, "select * from t" if name != "images_raw" else "select image_id from t")
            for name in names
        }
    )


def comparable(row: dict[str, object]) -> dict[str, object]:
    """Values as both readers give them, by name: times in UTC, decimals and floats to nine places."""
    return {name: _comparable(row[name]) for name in sorted(row)}


def _comparable(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, float | Decimal):
        return round(float(value), 9)
    if isinstance(value, list):
        return [comparable(inner) if isinstance(inner, dict) else inner for inner in value]
    return value


OF_REVIEWS = {"agreement_of_reviewers", "precision_by_confidence", "standing_reviews"}  # which no pipeline writes


@pytest.mark.parametrize(
    "view", [view for view in read_views() if view.name not in OF_REVIEWS], ids=lambda view: view.name
)
def test_a_view_on_the_pipelines_tables_has_the_rows_that_python_reckons(analyst, expected, view):
    seen = [comparable(row.asDict(recursive=True)) for row in analyst.table(view.name).collect()]
    wanted = [comparable(row) for row in expected[view.name]]
    assert bool(wanted) == (view.name != "sentence_quality_by_model")  # molecules are no sentences
    assert sorted(seen, key=str) == sorted(wanted, key=str)


def test_the_queries_tell_of_the_pipelines_commits(analyst):
    commits = analyst.sql((SQL / "queries/commits_of_captions.sql").read_text()).collect()
    assert [row.version for row in commits] == list(range(len(commits) - 1, -1, -1))
    assert {row.operation for row in commits} == {"CREATE TABLE", "MERGE"}
    changed = (SQL / "queries/captions_changed_since.sql").read_text()
    rows = analyst.sql(changed, args={"since": str(commits[-1].timestamp)}).collect()
    assert {row.what_happened for row in rows} == {"new"}
    captioned = analyst.table("newest_captions").select("image_id").collect()
    assert sorted(row.image_id for row in rows) == sorted(row.image_id for row in captioned)
    assert analyst.sql(changed, args={"since": str(commits[0].timestamp)}).count() == 0


# From here on the lake is trained on again.


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_one_worker_resumes_it_from_the_last_checkpoint_of_two(finished, tmp_path):
    more = (
        "training.seed=7",
        "training.checkpoint_interval_steps=2",
        "training.num_epochs=8",
        "training.num_validation_images=2",
    )
    with (tmp_path / "killed.log").open("w") as log:
        killed = subprocess.Popen(finished.command("train_captioner", *more), stdout=log, stderr=log)
    training = finished.root / "training"
    assert wait_until(lambda: any((folder / "latest").is_dir() for folder in training.glob("*")), 300)
    killed.kill()
    killed.wait()
    assert wait_until(lambda: not processes_of(killed.pid), 60), processes_of(killed.pid)
    (folder,) = training.glob("*")
    steps_before = json.loads((folder / "latest" / "provenance.json").read_text())["steps"]
    assert steps_before >= 2

    resumed_at = datetime.now(UTC)
    resumed = finished.run("train_captioner", *more, "cluster.num_workers=1")
    assert resumed.returncode == 0, resumed.stderr
    assert not folder.exists()
    rows = query(finished, "training_metrics", f"select * from t where run_id = '{folder.name}' order by step, epoch")
    steps = [row for row in rows if row["train_loss"] is not None]
    assert [row["step"] for row in steps] == list(range(1, steps[-1]["step"] + 1))
    for row in steps:
        is_from_before = row["step"] <= steps_before
        assert (row["reported_at"] < resumed_at) == is_from_before
        assert row["num_workers"] == (2 if is_from_before else 1)
    epochs = [row for row in rows if row["validation_loss"] is not None]
    assert [row["epoch"] for row in epochs] == list(range(1, 9))
    assert epochs[-1]["step"] == steps[-1]["step"]
    provenance = json.loads((finished.root / "checkpoints" / folder.name / "provenance.json").read_text())
    assert provenance["validation_edit_distance"] == min(row["validation_edit_distance"] for row in epochs)


@pytest.mark.slow
def test_a_run_whose_workers_fail_says_why_in_one_sentence_and_leaves_no_process(finished):
    failing = subprocess.Popen(
        finished.command("train_captioner", "training.learning_rate=1.0e+38", "training.max_gradient_norm=1.0e+38"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = failing.communicate(timeout=400)[0]
    assert failing.returncode == 2, output
    assert "TrainingFailedError" in output
    assert "gradient norm" in output.splitlines()[-1]
    assert processes_of(failing.pid) == []


def test_training_before_anything_was_cleaned_names_the_job_to_run(tmp_path):
    early = Run(tmp_path).run("train_captioner")
    assert early.returncode == 2
    assert "run build_vocabulary first" in early.stderr.splitlines()[-1]
    assert "Traceback" not in early.stderr
