"""The task graph of the bundle's job, which run_pipeline runs here and Databricks schedules.

A task's parameters are pairs of a flag and a value. Values that refer to the bundle, `{{job.parameters.x}}` and
`${...}`, mean something on Databricks only and are left out here: run_pipeline's own --dataset, --environment, --set
and --conf stand in for them, and the settings file of the environment names the paths. Plain values count in both
places, so a task that is special on Databricks is special here.
"""

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

from lib.errors import SettingsError
from lib.yaml_files import read_yaml

JOB_RESOURCE = Path("resources") / "pipeline.job.yml"  # in the folder of the settings


class PipelineTask(NamedTuple):
    """One task of the job: `entry_point` is also the file of jobs/ that does it."""

    task_key: str
    entry_point: str
    depends_on: tuple[str, ...]
    parameters: tuple[str, ...]


def read_task_graph(conf: Path) -> list[PipelineTask]:
    """The tasks of the bundle's job, each after those it depends on.

    Raises SettingsError if the file is not there or its tasks cannot be run in any order.
    """
    path = conf / JOB_RESOURCE
    if not path.is_file():
        raise SettingsError(
            f"there is no task graph {path}: --conf must name a folder with the bundle's resources in it"
        )
    try:
        jobs = read_yaml(path)["resources"]["jobs"]
        return in_order([_task(task) for job in jobs.values() for task in job["tasks"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{path} is not a job of the bundle: {type(error).__name__}: {error}") from None


def _task(task: dict[str, Any]) -> PipelineTask:
    wheel_task = task["python_wheel_task"]
    return PipelineTask(
        task_key=task["task_key"],
        entry_point=wheel_task["entry_point"],
        depends_on=tuple(dependency["task_key"] for dependency in task.get("depends_on", ())),
        parameters=tuple(str(parameter) for parameter in wheel_task.get("parameters", ())),
    )


def in_order(tasks: Iterable[PipelineTask]) -> list[PipelineTask]:
    """The tasks, each after those it depends on. Raises SettingsError naming the tasks for which there is no order."""
    known = {task.task_key: task for task in tasks}
    stuck = [key for key, task in known.items() if not known.keys() >= set(task.depends_on)]
    order: list[str] = []
    try:
        order += TopologicalSorter({key: task.depends_on for key, task in known.items()}).static_order()
    except CycleError as error:
        stuck += [key for key in known if key in error.args[1]]
    if stuck:
        waiting = ", ".join(f"{key} (after {' and '.join(known[key].depends_on)})" for key in stuck)
        raise SettingsError(f"tasks wait for each other or for a task that is not there: {waiting}")
    return [known[key] for key in order]


def select_tasks(
    tasks: Sequence[PipelineTask], only: str | None = None, start: str | None = None
) -> list[PipelineTask]:
    """The one task `only`, or the task `start` and all that come after it in order, or every task.

    Raises SettingsError, listing the known tasks, if the one named is not among them.
    """
    keys = [task.task_key for task in tasks]
    for flag, key in (("--only", only), ("--from", start)):
        if key is not None and key not in keys:
            raise SettingsError(f"{flag} {key}: no such task; known here: {', '.join(keys)}")
    if only is not None:
        return [tasks[keys.index(only)]]
    return list(tasks[keys.index(start) if start is not None else 0 :])


def local_arguments(task: PipelineTask, given: Sequence[str]) -> list[str]:
    """The task's own plain parameters, then the arguments `given` to run_pipeline, which win.

    Raises SettingsError if the parameters are not pairs of a flag and a value.
    """
    flags, values = task.parameters[::2], task.parameters[1::2]
    if len(flags) != len(values) or not all(flag.startswith("--") for flag in flags):
        seen = " ".join(task.parameters)
        raise SettingsError(f"task {task.task_key}: parameters are not pairs of a flag and a value: {seen}")
    plain = [pair for pair in zip(flags, values, strict=True) if "${" not in pair[1] and "{{" not in pair[1]]
    return [*(word for pair in plain for word in pair), *given]
