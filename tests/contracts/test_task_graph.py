"""The task graph that run_pipeline shares with Databricks: its order, its selections and its local arguments."""

from pathlib import Path

import pytest

from lib.errors import SettingsError
from lib.task_graph import JOB_RESOURCE, PipelineTask, in_order, local_arguments, read_task_graph, select_tasks

CONF = Path(__file__).resolve().parents[2] / "conf"


def task(key: str, *after: str, parameters: tuple[str, ...] = ()) -> PipelineTask:
    return PipelineTask(task_key=key, entry_point=key, depends_on=after, parameters=parameters)


@pytest.fixture
def tasks() -> list[PipelineTask]:
    return [task("ingest"), task("clean", "ingest"), task("train", "clean"), task("predict", "train")]


def write_job(conf: Path, text: str) -> Path:
    (conf / JOB_RESOURCE).parent.mkdir(parents=True)
    (conf / JOB_RESOURCE).write_text(text)
    return conf


def test_the_pipeline_runs_in_the_order_of_the_bundle() -> None:
    assert [task.task_key for task in read_task_graph(CONF)] == [
        "ingest_images",
        "clean_images",
        "build_vocabulary",
        "extract_features",
        "train_captioner",
        "predict_captions",
        "evaluate_captions",
        "create_views",
    ]


def test_tasks_come_after_what_they_depend_on_and_otherwise_as_written() -> None:
    shuffled = [task("predict", "train"), task("train", "clean", "vocabulary"), task("clean"), task("vocabulary")]
    assert [task.task_key for task in in_order(shuffled)] == ["clean", "vocabulary", "train", "predict"]


def test_a_circle_of_tasks_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"wait for each other.*: clean \(after train\), train \(after clean\)"):
        in_order([task("ingest"), task("clean", "train"), task("train", "clean")])


def test_a_task_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"train \(after clean\)"):
        in_order([task("train", "clean")])


def test_a_task_is_read_with_its_entry_point_and_parameters_through_yaml_anchors(tmp_path: Path) -> None:
    conf = write_job(
        tmp_path,
        """
wheel: &wheel {package_name: captionlake, parameters: [--set, prediction.batch_size=8]}
resources:
  jobs:
    pipeline:
      tasks:
        - task_key: predict
          depends_on: [{task_key: train}]
          python_wheel_task: {<<: *wheel, entry_point: predict_captions}
        - {task_key: train, python_wheel_task: {entry_point: train_captioner}}
""",
    )
    parameters = ("--set", "prediction.batch_size=8")
    assert read_task_graph(conf) == [
        PipelineTask(task_key="train", entry_point="train_captioner", depends_on=(), parameters=()),
        PipelineTask(task_key="predict", entry_point="predict_captions", depends_on=("train",), parameters=parameters),
    ]


def test_a_folder_without_the_job_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no task graph .*pipeline\.job\.yml: --conf must name"):
        read_task_graph(tmp_path)


def test_a_file_with_a_mistake_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"pipeline\.job\.yml, line 1, column 13: expected the node content"):
        read_task_graph(write_job(tmp_path, "resources: {"))


@pytest.mark.parametrize("text", ["resources: {}", "[]", "resources: {jobs: {pipeline: {tasks: [{task_key: a}]}}}"])
def test_a_file_that_is_no_job_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a job of the bundle"):
        read_task_graph(write_job(tmp_path, text))


def test_without_a_selection_every_task_runs(tasks: list[PipelineTask]) -> None:
    assert select_tasks(tasks) == tasks


def test_only_selects_one_task(tasks: list[PipelineTask]) -> None:
    assert [task.task_key for task in select_tasks(tasks, only="train")] == ["train"]


def test_from_selects_a_task_and_all_after_it(tasks: list[PipelineTask]) -> None:
    assert [task.task_key for task in select_tasks(tasks, start="clean")] == ["clean", "train", "predict"]


@pytest.mark.parametrize(("flag", "only", "start"), [("--only", "trian", None), ("--from", None, "trian")])
def test_an_unknown_task_is_refused_with_the_known_ones(
    flag: str, only: str | None, start: str | None, tasks: list[PipelineTask]
) -> None:
    with pytest.raises(SettingsError, match=f"{flag} trian: no such task; known here: ingest, clean, train, predict"):
        select_tasks(tasks, only, start)


def test_what_only_databricks_can_fill_in_is_left_out_here() -> None:
    parameters = (
        "--dataset",
        "{{job.parameters.dataset}}",
        "--conf",
        "${workspace.file_path}/conf",
        "--set",
        "prediction.batch_size=8",
        "--set",
        "storage.root=${var.root}",
    )
    given = ["--dataset", "photos", "--set", "prediction.batch_size=16"]
    local = local_arguments(task("predict", parameters=parameters), given)
    assert local == ["--set", "prediction.batch_size=8", *given]


def test_every_parameter_of_the_bundle_is_filled_in_by_databricks_only() -> None:
    given = ["--dataset", "molecules", "--environment", "local"]
    assert [local_arguments(task, given) for task in read_task_graph(CONF)] == [given] * 8


@pytest.mark.parametrize("parameters", [("--dataset",), ("molecules", "--dataset")])
def test_parameters_that_are_no_pairs_are_refused(parameters: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="task clean: parameters are not pairs of a flag and a value"):
        local_arguments(task("clean", parameters=parameters), [])
