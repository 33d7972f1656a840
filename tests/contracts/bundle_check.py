"""Faults of the bundle that its typed loader does not see: names, references and files that lead nowhere.

`python -m tests.contracts.bundle_check` prints them and exits with 1. It reads files only: no
workspace, no Spark, no job.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import yaml

from tests.contracts.bundle_files import BUNDLE_FILE, Bundle, keyed_strings, load_bundle, names, strings
from tests.contracts.bundle_values import (
    apps_run_a_job_with_settings_that_there_are,
    given_variables_are_declared,
    job_parameters_are_used_and_have_a_default,
    jobs_start_in_one_way,
    no_secret_is_written_down,
    overrides_replace_no_list,
    resources_fit_their_types,
    schedules_are_quartz,
    targets_are_sound,
    task_parameters_are_taken,
    variables_are_described,
    variables_are_not_empty,
    variables_have_their_type,
)

ROOT = Path(__file__).resolve().parents[2]
# What the CLI itself puts in place of ${...}, of what a bundle has a use for.
BUILT_IN = re.compile(
    r"bundle\.(name|target|git\.(branch|commit|origin_url))"
    r"|workspace\.((file|root|artifact|resource|state)_path|host|profile"
    r"|current_user\.(userName|short_name|domain_friendly_name))"
)
# Where resources name files of their own, relative to the file that says so.
FILE_KEYS = ("file_path", "python_file", "notebook_path", "source_code_path")


def includes_match_files(bundle: Bundle) -> Iterator[str]:
    for pattern in bundle.config.get("include", ()):
        if not any(bundle.root.glob(pattern)):
            yield f"{BUNDLE_FILE}: include {pattern!r} matches no file"


def dependencies_exist(bundle: Bundle) -> Iterator[str]:
    for task in bundle.tasks():
        known = [other["task_key"] for other in task.job["tasks"]]
        for dependency in task.body.get("depends_on", ()):
            if dependency["task_key"] not in known:
                yield f"{task.where}: depends on {dependency['task_key']!r}; the job's tasks are {names(known)}"


def dependencies_have_an_order(bundle: Bundle) -> Iterator[str]:
    for file, kind, key, job in bundle.resources():
        graph = {
            task["task_key"]: [dependency["task_key"] for dependency in task.get("depends_on", ())]
            for task in (job.get("tasks", ()) if kind == "jobs" else ())
        }
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            yield f"{file.name}: job {key}: tasks wait for each other: {' -> '.join(error.args[1])}"


def clusters_and_environments_exist(bundle: Bundle) -> Iterator[str]:
    for task in bundle.tasks():
        for key, section in (("job_cluster_key", "job_clusters"), ("environment_key", "environments")):
            known = [entry[key] for entry in task.job.get(section, ())]
            for value in bundle.values(task.body[key]) if key in task.body else ():
                if value not in known:
                    yield f"{task.where}: {key} {value!r}; the job's {section} are {names(known)}"


def job_references_resolve(bundle: Bundle) -> Iterator[str]:
    for task in bundle.tasks():
        parameters = [parameter["name"] for parameter in task.job.get("parameters", ())]
        tasks = [other["task_key"] for other in task.job["tasks"]]
        for text in strings(task.body):
            for name in re.findall(r"\{\{\s*job\.parameters\.([^}\s]*)", text):
                if name not in parameters:
                    yield f"{task.where}: {text!r}: the job has no parameter {name!r}, only {names(parameters)}"
            for name in re.findall(r"\{\{\s*tasks\.([^.}\s]*)", text):
                if name not in tasks:
                    yield f"{task.where}: {text!r}: the job has no task {name!r}, only {names(tasks)}"


def bundle_references_resolve(bundle: Bundle) -> Iterator[str]:
    variables = bundle.config.get("variables", {})
    resources = {f"{kind}.{key}" for _, kind, key, _ in bundle.resources()}
    for file in bundle.files:
        for text in dict.fromkeys(strings(file.content)):
            for reference in re.findall(r"\$\{([^}]*)\}", text):
                kind, _, rest = reference.partition(".")
                if kind == "var":
                    is_known = re.split(r"[.[]", rest)[0] in variables
                elif kind == "resources":
                    is_known = rest.count(".") >= 2 and ".".join(rest.split(".")[:2]) in resources
                else:
                    is_known = BUILT_IN.fullmatch(reference) is not None
                if not is_known:
                    yield f"{file.name}: ${{{reference}}} in {text!r} refers to nothing"


def entry_points_exist(bundle: Bundle) -> Iterator[str]:
    scripts = bundle.project.get("scripts", {})
    for name, address in scripts.items():
        if not _function_exists(bundle.root, address):
            yield f"pyproject.toml: entry point {name}: there is no function {address}"
    for task in bundle.tasks():
        wheel_task = task.body.get("python_wheel_task", {})
        if wheel_task and wheel_task["entry_point"] not in scripts:
            yield f"{task.where}: entry point {wheel_task['entry_point']!r}; pyproject.toml has {names(scripts)}"
        if wheel_task and wheel_task["package_name"] != bundle.project["name"]:
            yield f"{task.where}: package {wheel_task['package_name']!r}; the wheel is {bundle.project['name']!r}"


def tasks_are_named_by_their_entry_point(bundle: Bundle) -> Iterator[str]:
    for task in bundle.tasks():
        entry_point = task.body.get("python_wheel_task", {}).get("entry_point", task.body["task_key"])
        if entry_point != task.body["task_key"]:
            yield f"{task.where}: its entry point is {entry_point!r}; task, file and entry point share one name"


def task_keys_are_unique(bundle: Bundle) -> Iterator[str]:
    seen = set()
    for task in bundle.tasks():
        if task.where in seen:
            yield f"{task.where}: there are two tasks of this name"
        seen.add(task.where)


def files_exist(bundle: Bundle) -> Iterator[str]:
    for file in bundle.files:
        folder = file.path.parent
        for key, text in keyed_strings(file.content):
            synced = text.removeprefix("${workspace.file_path}/")
            if synced != text:
                found = (bundle.root / synced).exists()
            elif key in FILE_KEYS or (key == "path" and text.endswith((".sql", ".py"))):
                found = "${" in text or (folder / text).exists()
            else:
                continue
            if not found:
                yield f"{file.name}: {key + ': ' if key else ''}{text} is not there"


def wheels_are_built(bundle: Bundle) -> Iterator[str]:
    built = {
        (bundle.root / artifact.get("path", ".") / "dist").resolve()
        for artifact in bundle.config.get("artifacts", {}).values()
        if artifact.get("type") == "whl"
    }
    for task in bundle.tasks():
        wheels = [library["whl"] for library in task.body.get("libraries", ()) if "whl" in library]
        if "python_wheel_task" in task.body and not wheels and "environment_key" not in task.body:
            yield f"{task.where}: runs a wheel that is not among its libraries"
        for wheel in wheels:
            if (task.file.path.parent / wheel).resolve().parent not in built:
                yield f"{task.where}: library {wheel} lies where no artifact of {BUNDLE_FILE} is built"


# Each is named by what must hold and yields a message for every place where it does not.
CHECKS: tuple[Callable[[Bundle], Iterator[str]], ...] = (
    includes_match_files,
    dependencies_exist,
    dependencies_have_an_order,
    clusters_and_environments_exist,
    job_references_resolve,
    bundle_references_resolve,
    variables_are_described,
    targets_are_sound,
    entry_points_exist,
    tasks_are_named_by_their_entry_point,
    task_keys_are_unique,
    files_exist,
    wheels_are_built,
    resources_fit_their_types,
    jobs_start_in_one_way,
    schedules_are_quartz,
    task_parameters_are_taken,
    apps_run_a_job_with_settings_that_there_are,
    job_parameters_are_used_and_have_a_default,
    variables_are_not_empty,
    variables_have_their_type,
    given_variables_are_declared,
    overrides_replace_no_list,
    no_secret_is_written_down,
)


def check_bundle(root: Path = ROOT) -> list[str]:
    """Every fault of the bundle at `root`, each with the file and the name in it; none if it is sound."""
    try:
        bundle = load_bundle(root)
    except (OSError, yaml.YAMLError, json.JSONDecodeError) as error:
        return [f"the bundle cannot be read: {error}"]
    return [fault for check in CHECKS for fault in check(bundle)]


def _function_exists(root: Path, address: str) -> bool:
    """Whether `package.module:function` is defined in a file under `root`; nothing is imported."""
    module, _, function = address.partition(":")
    path = root / Path(*module.split(".")).with_suffix(".py")
    if not path.is_file():
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.parse(path.read_text()).body)


def main() -> None:
    """Check the bundle of this checkout."""
    faults = check_bundle()
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        sys.exit(1)
    bundle = load_bundle(ROOT)
    num_variables, num_targets = len(bundle.config["variables"]), len(bundle.config["targets"])
    print(
        f"the bundle is sound: {len(bundle.files)} files, {len(list(bundle.tasks()))} tasks, {num_variables} variables "
        f"and {num_targets} targets passed {len(CHECKS)} checks"
    )
    for name, target in bundle.config["targets"].items():
        known = target.get("variables", {}).keys() | bundle.given.get(name, {}).keys()
        asked = [key for key, variable in bundle.config["variables"].items() if "default" not in variable]
        print(f"{name} asks at deployment for {names(key for key in asked if key not in known)}")


if __name__ == "__main__":
    main()
