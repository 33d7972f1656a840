"""The bundle as its files say it: databricks.yml, what it includes, and the entry points of pyproject.toml."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

BUNDLE_FILE = "databricks.yml"
GIVEN = ".databricks/bundle/{target}/variable-overrides.json"  # where the CLI looks for values of variables; not in git


class BundleFile(NamedTuple):
    """A YAML file of the bundle, with `name` relative to the root."""

    name: str
    path: Path
    content: dict[str, Any]


class Task(NamedTuple):
    """A task of a job, wherever it stands, and how messages call it."""

    where: str
    file: BundleFile
    job: dict[str, Any]
    body: dict[str, Any]


class Bundle(NamedTuple):
    """databricks.yml, the files it includes, pyproject.toml, and by target what this machine gives its variables."""

    root: Path
    config: dict[str, Any]
    files: list[BundleFile]
    project: dict[str, Any]
    given: dict[str, dict[str, Any]]

    def resources(self) -> Iterator[tuple[BundleFile, str, str, dict[str, Any]]]:
        """(file, kind, key, resource) of every resource, those of one target alone too.

        What databricks.yml itself says under a target are overrides of resources, no resources.
        """
        for file in self.files:
            sections = [file.content.get("resources") or {}]
            if file.name != BUNDLE_FILE:
                sections += [target["resources"] for target in (file.content.get("targets") or {}).values()]
            for kind, resources in (pair for section in sections for pair in section.items()):
                for key, resource in resources.items():
                    yield file, kind, key, resource

    def values(self, text: str) -> list[Any]:
        """What `text` stands for: itself, or each value of the variable that it is a reference to."""
        reference = re.fullmatch(r"\$\{var\.(\w+)\}", text)
        if not reference:
            return [text]
        return [value for _, value in self.variable_values(reference.group(1)) if value is not None]

    def variable_values(self, name: str) -> Iterator[tuple[str, Any]]:
        """(where, value) of a variable's default, of what targets set it to, and of what this machine gives it."""
        variable = self.config.get("variables", {}).get(name) or {}
        if "default" in variable:
            yield f"{BUNDLE_FILE}: variable {name!r}", variable["default"]
        for target, content in self.config.get("targets", {}).items():
            if name in content.get("variables", {}):
                yield f"{BUNDLE_FILE}: target {target}: variable {name!r}", content["variables"][name]
        for target, values in self.given.items():
            if name in values:
                yield f"{GIVEN.format(target=target)}: variable {name!r}", values[name]

    def tasks(self) -> Iterator[Task]:
        """Every task of every job, those inside a for_each_task too."""
        for file, kind, key, job in self.resources():
            for task in job.get("tasks", ()) if kind == "jobs" else ():
                where = f"{file.name}: job {key}, task {task['task_key']}"
                yield Task(where, file, job, task)
                if "for_each_task" in task:
                    yield Task(f"{where}, its inner task", file, job, task["for_each_task"]["task"])


def load_bundle(root: Path) -> Bundle:
    """Read the bundle's files. Raises OSError, yaml.YAMLError or json.JSONDecodeError where that cannot be done."""
    config = yaml.safe_load((root / BUNDLE_FILE).read_text())
    included = sorted({path for pattern in config.get("include", ()) for path in root.glob(pattern)})
    paths = [root / BUNDLE_FILE, *included]
    files = [BundleFile(str(path.relative_to(root)), path, yaml.safe_load(path.read_text()) or {}) for path in paths]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    filled = {target: root / GIVEN.format(target=target) for target in config.get("targets", {})}
    given = {target: json.loads(path.read_text()) for target, path in filled.items() if path.is_file()}
    return Bundle(root, config, files, project, given)


def keyed_strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string in nested YAML with the key it stands under; items of a list have none."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from keyed_strings(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from keyed_strings(inner)


def strings(value: Any) -> Iterator[str]:
    """Every string in nested YAML."""
    return (text for _, text in keyed_strings(value))


def names(known: Iterable[str]) -> str:
    """Names as messages list them."""
    return ", ".join(known) or "none"
