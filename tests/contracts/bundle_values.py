"""Faults in what the bundle's values say: types, schedules, parameters, variables, overrides, secrets.

Checks of tests/contracts/bundle_check.py, beside those there on what leads nowhere.
"""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import yaml
from databricks.bundles.alerts import Alert
from databricks.bundles.apps import App
from databricks.bundles.dashboards import Dashboard
from databricks.bundles.experiments import MlflowExperiment
from databricks.bundles.jobs import Job
from databricks.bundles.registered_models import RegisteredModel
from databricks.bundles.schemas import Schema
from databricks.bundles.volumes import Volume

from tests.contracts.bundle_files import BUNDLE_FILE, GIVEN, Bundle, Task, keyed_strings, names, strings
from tests.contracts.quartz import quartz_fault

LOADERS: dict[str, Any] = {
    "alerts": Alert,
    "apps": App,
    "dashboards": Dashboard,
    "experiments": MlflowExperiment,
    "jobs": Job,
    "registered_models": RegisteredModel,
    "schemas": Schema,
    "volumes": Volume,
}
MODES = ("development", "production")
WAYS_TO_START = ("schedule", "trigger", "continuous")
JOINED_BY = {"tasks": "task_key", "job_clusters": "job_cluster_key"}  # lists that the CLI does merge, by these keys
SETTINGS_FILES = ("conf/*.yaml", "conf/datasets/*.yaml", "conf/environments/*.yaml")
SECRET_NAME = re.compile(r"(password|secret|token|api_?key|access_?key)$", re.IGNORECASE)
SECRET_VALUE = re.compile(
    r"dapi[0-9a-f]{16}|AKIA[0-9A-Z]{12}|-----BEGIN|://[^/\s@]*:[^/\s@]*@|(password|secret|token|key)=[^{$\s]", re.I
)


def resources_fit_their_types(bundle: Bundle) -> Iterator[str]:
    for file, kind, key, resource in bundle.resources():
        if kind not in LOADERS:
            yield f"{file.name}: {key}: no check knows resources of kind {kind!r}, only {names(LOADERS)}"
            continue
        try:
            LOADERS[kind].from_dict(resource)
        except (ValueError, TypeError, AttributeError) as error:
            yield f"{file.name}: {key}: databricks-bundles refuses it: {' '.join(str(error).split())}"


def jobs_start_in_one_way(bundle: Bundle) -> Iterator[str]:
    for file, kind, key, resource in bundle.resources():
        ways = [way for way in WAYS_TO_START if kind == "jobs" and way in resource]
        if len(ways) > 1:
            yield f"{file.name}: job {key}: has {' and '.join(ways)}; a job starts in one way"


def schedules_are_quartz(bundle: Bundle) -> Iterator[str]:
    for file, _, key, resource in bundle.resources():
        schedule = resource.get("schedule") or {}
        for field in ("quartz_cron_expression", "quartz_cron_schedule"):
            for expression in bundle.values(schedule[field]) if field in schedule else ():
                if fault := quartz_fault(str(expression)):
                    yield f"{file.name}: {key}: schedule {expression!r} {fault}"
        for zone in bundle.values(schedule.get("timezone_id", "UTC")):
            if zone not in available_timezones():
                yield f"{file.name}: {key}: there is no time zone {zone!r}"


def task_parameters_are_taken(bundle: Bundle) -> Iterator[str]:
    settings = _settings(bundle)
    for task in bundle.tasks():
        parameters = task.body.get("python_wheel_task", {}).get("parameters", [])
        flags, values, known = parameters[::2], parameters[1::2], _flags(bundle, task)
        if len(flags) != len(values):
            yield f"{task.where}: its parameters are not pairs of a flag and a value"
        for flag, value in zip(flags, values, strict=False):
            key = value.partition("=")[0]
            if known and flag not in known:
                yield f"{task.where}: the job takes no {flag!r}, only {names(sorted(known))}"
            elif flag == "--set" and key not in settings:
                yield f"{task.where}: --set {value}: there is no setting {key!r}"


def apps_run_a_job_with_settings_that_there_are(bundle: Bundle) -> Iterator[str]:
    settings = _settings(bundle)
    for file, kind, key, app in bundle.resources():
        words = shlex.split(" ".join(app.get("config", {}).get("command", ())[2:])) if kind == "apps" else []
        for flag, word in pairwise(words):
            name = word.partition("=")[0]
            if flag == "-m" and not (bundle.root / Path(*word.split("."))).with_suffix(".py").is_file():
                yield f"{file.name}: app {key}: there is no module {word!r}"
            elif flag == "--set" and name not in settings:
                yield f"{file.name}: app {key}: --set {word}: there is no setting {name!r}"


def job_parameters_are_used_and_have_a_default(bundle: Bundle) -> Iterator[str]:
    for file, kind, key, job in bundle.resources():
        texts = list(strings(job.get("tasks", [])))
        for parameter in job.get("parameters", ()) if kind == "jobs" else ():
            name = parameter["name"]
            if parameter.get("default") in (None, ""):
                yield f"{file.name}: job {key}: parameter {name!r} has no default"
            if not any(f"{{{{job.parameters.{name}}}}}" in text for text in texts):
                yield f"{file.name}: job {key}: no task takes the parameter {name!r}"


def variables_are_described(bundle: Bundle) -> Iterator[str]:
    for name, variable in bundle.config.get("variables", {}).items():
        if not (variable or {}).get("description"):
            yield f"{BUNDLE_FILE}: variable {name!r} has no description"


def targets_are_sound(bundle: Bundle) -> Iterator[str]:
    targets = bundle.config.get("targets", {})
    defaults = [name for name, target in targets.items() if target.get("default")]
    if len(defaults) != 1:
        yield f"{BUNDLE_FILE}: one target must be the default, not {names(defaults)}"
    for name, target in targets.items():
        if target.get("mode") not in MODES:
            yield f"{BUNDLE_FILE}: target {name}: mode {target.get('mode')!r}; the modes are {names(MODES)}"
        for kind, resources in target.get("resources", {}).items():
            for key in resources.keys() - {key for _, other, key, _ in bundle.resources() if other == kind}:
                yield f"{BUNDLE_FILE}: target {name}: overrides resources.{kind}.{key}, which is not declared"
        for variable in target.get("variables", {}):
            if variable not in bundle.config.get("variables", {}):
                yield f"{BUNDLE_FILE}: target {name}: sets variable {variable!r}, which is not declared"
        if not (bundle.root / "conf" / "environments" / f"{name}.yaml").is_file():
            yield f"{BUNDLE_FILE}: target {name}: there is no conf/environments/{name}.yaml"


def variables_are_not_empty(bundle: Bundle) -> Iterator[str]:
    """One without a default is asked for at deployment; one that is set to nothing would get as far as a cluster."""
    for name in bundle.config.get("variables", {}):
        for where, value in bundle.variable_values(name):
            items = value if isinstance(value, list) and value else [value]
            if any(item is None or item in ([], {}) or not str(item).strip() for item in items):
                yield f"{where} is left empty"


def variables_have_their_type(bundle: Bundle) -> Iterator[str]:
    for name, variable in bundle.config.get("variables", {}).items():
        is_complex = (variable or {}).get("type") == "complex"
        for where, value in bundle.variable_values(name):
            if is_complex and not isinstance(value, list | dict):
                yield f"{where} is {value!r}, which must be a list or a mapping"
            elif not is_complex and isinstance(value, list | dict):
                yield f"{where} is {value!r}, but is not declared with type: complex"


def given_variables_are_declared(bundle: Bundle) -> Iterator[str]:
    for target, values in bundle.given.items():
        for name in values.keys() - bundle.config.get("variables", {}).keys():
            yield f"{GIVEN.format(target=target)}: gives variable {name!r}, which is not declared"


def overrides_replace_no_list(bundle: Bundle) -> Iterator[str]:
    resources: dict[str, Any] = {}
    for _, kind, key, resource in bundle.resources():
        resources.setdefault(kind, {})[key] = resource
    base = bundle.config | {"resources": resources}
    for name, target in bundle.config.get("targets", {}).items():
        for section in target.keys() & base.keys() - {"variables"}:  # a variable is a value, replaced as a whole
            for path in _lists_in_both(base[section], target[section], section):
                yield f"{BUNDLE_FILE}: target {name}: replaces the whole list {path}; use a variable for what differs"


def no_secret_is_written_down(bundle: Bundle) -> Iterator[str]:
    """Settings count too: every job logs them."""
    contents = {file.name: file.content for file in bundle.files}
    for path in (path for pattern in SETTINGS_FILES for path in sorted(bundle.root.glob(pattern))):
        contents[str(path.relative_to(bundle.root))] = yaml.safe_load(path.read_text())
    for name, content in contents.items():
        for key, text in keyed_strings(content):
            is_reference = text.startswith(("{{secrets/", "${"))
            if not is_reference and (SECRET_NAME.search(key) or SECRET_VALUE.search(text)):
                yield f"{name}: {key or 'an item of a list'} looks like a secret: keep it in a secret scope"


def _settings(bundle: Bundle) -> set[str]:
    """`section.key` of every setting; local.yaml names those that base.yaml leaves to the environment."""
    layers = [bundle.root / "conf" / name for name in ("base.yaml", "environments/local.yaml")]
    contents = [yaml.safe_load(layer.read_text()) for layer in layers]
    return {f"{section}.{key}" for content in contents for section, keys in content.items() for key in keys}


def _flags(bundle: Bundle, task: Task) -> set[str]:
    """The flags that the sources of a task's job name; none if there is no such job."""
    job = bundle.root / "jobs" / f"{task.body.get('python_wheel_task', {}).get('entry_point')}.py"
    if not job.is_file():
        return set()
    return set(re.findall(r'"(--[a-z][\w-]*)"', job.read_text() + (bundle.root / "lib" / "job_entry.py").read_text()))


def _lists_in_both(base: Any, override: Any, path: str) -> Iterator[str]:
    if isinstance(base, dict) and isinstance(override, dict):
        for key in base.keys() & override.keys():
            yield from _lists_in_both(base[key], override[key], f"{path}.{key}")
    elif isinstance(base, list) and isinstance(override, list):
        key = JOINED_BY.get(path.rsplit(".", 1)[-1])
        if key:
            yield from _lists_in_both({item[key]: item for item in base}, {item[key]: item for item in override}, path)
        else:
            yield path
