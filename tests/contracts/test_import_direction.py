"""Imports run one way, jobs -> lib -> model, and no file has a name that says nothing."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"jobs", "lib", "model", "bench", "tests"}
MAY_IMPORT = {"jobs": {"lib", "model"}, "lib": {"lib", "model"}, "model": {"model"}}
OUTSIDE_MODEL = {"torch", "torchvision", "numpy", "safetensors"} | set(sys.stdlib_module_names)
MAY_IMPORT_JOBS = {"jobs/run_pipeline.py"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "misc", "base", "core", "manager", "tools"}


def imported_packages(source: str) -> Iterator[str]:
    """Top-level package of every import, at the top of the file or inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "a relative import" if node.level else (node.module or "").split(".")[0]


def wrong_imports(root: Path) -> list[str]:
    faults = []
    for package, allowed in MAY_IMPORT.items():
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for imported in imported_packages(path.read_text()):
                is_ours = imported in OURS
                is_allowed = imported in allowed or (imported == "jobs" and name in MAY_IMPORT_JOBS)
                is_foreign = package == "model" and imported not in OUTSIDE_MODEL
                if imported == "a relative import" or (is_ours and not is_allowed) or (not is_ours and is_foreign):
                    faults.append(f"{name} imports {imported}")
    return faults


def test_imports_go_from_jobs_to_lib_to_model() -> None:
    assert wrong_imports(ROOT) == []


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("model/encoders.py", "from lib.errors import SettingsError", "model/encoders.py imports lib"),
        ("model/encoders.py", "import pandas as pd", "model/encoders.py imports pandas"),
        ("model/encoders.py", "def f():\n    import ray.train", "model/encoders.py imports ray"),
        ("lib/captions.py", "from jobs.clean_images import run", "lib/captions.py imports jobs"),
        ("lib/captions.py", "from .errors import SettingsError", "lib/captions.py imports a relative import"),
        ("lib/captions.py", "import bench.cleaning_speed", "lib/captions.py imports bench"),
        ("jobs/clean_images.py", "from jobs.ingest_images import run", "jobs/clean_images.py imports jobs"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(name: str, source: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(source)
    assert wrong_imports(tmp_path) == [fault]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("model/encoders.py", "import math\nimport torch\nfrom model.precision import autocast"),
        ("lib/captions.py", "import pandas\nfrom model.vocabulary import Vocabulary"),
        ("jobs/run_pipeline.py", "from jobs import clean_images"),
    ],
)
def test_an_import_in_the_right_direction_is_not_found(name: str, source: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(source)
    assert wrong_imports(tmp_path) == []


def test_every_file_name_says_what_is_in_it() -> None:
    paths = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    assert len(paths) > 30
    named_for_nothing = [
        path for path in paths if set(path.stem.removeprefix("test_").strip("_").split("_")) & NAMES_THAT_SAY_NOTHING
    ]
    assert named_for_nothing == []
