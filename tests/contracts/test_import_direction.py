"""Imports run one way: jobs -> lib -> model, in lib from room to room as ROOMS says. No file's name says nothing."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"jobs", "lib", "model", "bench", "tests"}
MAY_IMPORT = {"jobs": {"lib", "model"}, "lib": {"lib", "model"}, "model": {"model"}}
OUTSIDE_MODEL = {"torch", "torchvision", "timm", "numpy", "safetensors"} | set(sys.stdlib_module_names)
MAY_IMPORT_JOBS = {"jobs/run_pipeline.py"}
# Which rooms each room of lib/ may import, beside itself and the ground floor: lib/*.py and lib/sections/.
ROOMS: dict[str, set[str]] = {
    "lake": set(),
    "sql": {"lake"},
    "landing": {"captions", "lake"},
    "images": {"lake"},
    "captions": {"images", "lake"},
    "captioning": {"captions", "images", "lake"},
    "training": {"captions", "images", "lake"},
    "molecules": {"captions", "images", "lake", "training"},
    "reporting": {"captions", "images", "lake"},
    "serving": {"captioning", "captions", "images", "lake"},
    "reviewing": {"captioning", "captions", "images", "lake", "serving"},
}
GROUND_FLOOR = "sections"
ROOF = "lib/job_entry.py"  # jobs alone import it
ABOVE_THE_ROOMS = {ROOF: {"lake", "sql"}, "lib/registered_captioner.py": {"captioning"}}
AT_HOME_IN = {  # rooms of libraries that no other room may know
    "rdkit": {"molecules"},
    "ray": {"molecules", "training"},
    "raydp": {"training"},
    "horovod": {"training"},
    "mlflow": {"lake", "training"},
    "matplotlib": {"molecules", "reporting"},
    "jinja2": {"reporting", "reviewing"},
    "deltalake": {"lake", "reviewing"},
    "fastapi": {"reviewing", "serving"},
    "starlette": {"reviewing", "serving"},
    "uvicorn": {"reviewing", "serving"},
    "httpx": {"serving"},
    "prometheus_client": {"serving"},
}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "misc", "base", "core", "manager", "tools"}


def imported_modules(source: str) -> Iterator[str]:
    """Every module that is imported, at the top of the file or inside a function."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "a relative import"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(root: Path) -> list[str]:
    faults = set()
    for package, allowed in MAY_IMPORT.items():
        for path in sorted((root / package).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            for module in imported_modules(path.read_text()):
                imported = module.split(".")[0]
                is_ours = imported in OURS
                is_allowed = imported in allowed or (imported == "jobs" and name in MAY_IMPORT_JOBS)
                is_foreign = package == "model" and imported not in OUTSIDE_MODEL
                if imported == "a relative import" or (is_ours and not is_allowed) or (not is_ours and is_foreign):
                    faults.add(f"{name} imports {imported}")
                elif package == "lib" and (wrong := wrong_room(name, module)):
                    faults.add(f"{name} imports {wrong}")
    return sorted(faults)


def wrong_room(name: str, module: str) -> str | None:
    """What of a module a file of lib/ may not import: a room, the roof, or a library that is at home elsewhere."""
    own = name.split("/")[1] if name.count("/") > 1 else None
    imported, *parts = module.split(".")
    if imported != "lib":
        return imported if own not in AT_HOME_IN.get(imported, {own}) else None
    if not parts:
        return "lib as a whole"
    if f"lib/{parts[0]}.py" == ROOF:
        return ROOF
    if parts[0] not in ROOMS or parts[0] == own:
        return None
    allowed = ROOMS.get(own or "", set()) | ABOVE_THE_ROOMS.get(name, set())
    return None if parts[0] in allowed else f"lib/{parts[0]}"


def test_imports_go_from_jobs_to_lib_to_model_and_from_room_to_room() -> None:
    assert wrong_imports(ROOT) == []


def test_every_folder_of_lib_is_a_room_of_the_table() -> None:
    folders = {path.parent.name for path in (ROOT / "lib").glob("*/__init__.py")}
    assert folders == ROOMS.keys() | {GROUND_FLOOR}


def test_the_table_of_rooms_has_no_circle() -> None:
    left = dict(ROOMS)
    while free := [room for room, others in left.items() if not others & left.keys()]:
        for room in free:
            del left[room]
    assert left == {}


@pytest.mark.parametrize(
    ("name", "source", "fault"),
    [
        ("model/encoders.py", "from lib.errors import SettingsError", "model/encoders.py imports lib"),
        ("model/encoders.py", "import pandas as pd", "model/encoders.py imports pandas"),
        ("model/encoders.py", "def f():\n    import ray.train", "model/encoders.py imports ray"),
        ("lib/errors.py", "from jobs.clean_images import run", "lib/errors.py imports jobs"),
        ("lib/errors.py", "from .progress import show_progress", "lib/errors.py imports a relative import"),
        ("lib/errors.py", "import bench.cleaning_speed", "lib/errors.py imports bench"),
        ("jobs/clean_images.py", "from jobs.ingest_images import run", "jobs/clean_images.py imports jobs"),
        ("lib/settings.py", "from lib.lake.schemas import TABLES", "lib/settings.py imports lib/lake"),
        ("lib/sections/lake.py", "from lib.lake import schemas", "lib/sections/lake.py imports lib/lake"),
        ("lib/lake/schemas.py", "import lib.landing.zone", "lib/lake/schemas.py imports lib/landing"),
        ("lib/sql/views.py", "def f():\n    from lib import molecules", "lib/sql/views.py imports lib/molecules"),
        ("lib/captions/words.py", "from rdkit import Chem", "lib/captions/words.py imports rdkit"),
        ("lib/progress.py", "import ray", "lib/progress.py imports ray"),
        ("lib/progress.py", "import lib", "lib/progress.py imports lib as a whole"),
        ("lib/lake/models.py", "from lib.job_entry import main_of", "lib/lake/models.py imports lib/job_entry.py"),
    ],
)
def test_an_import_in_the_wrong_direction_is_found(name: str, source: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(source)
    assert wrong_imports(tmp_path) == [fault]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("model/encoders.py", "import math\nimport torch\nfrom model.precision import autocast"),
        ("lib/errors.py", "import pandas\nfrom model.vocabulary import Vocabulary"),
        ("jobs/run_pipeline.py", "from jobs import clean_images"),
        ("jobs/clean_images.py", "from lib.job_entry import main_of\nfrom lib.images import cleaning"),
        ("lib/molecules/smiles.py", "from rdkit import Chem\nfrom lib.captions.notations import Writing"),
        ("lib/captions/scores.py", "from lib.captions.notations import Writing\nfrom lib.sections.captions import S"),
        ("lib/job_entry.py", "def f():\n    from lib.sql.errors import what_to_ask_for"),
    ],
)
def test_an_import_in_the_right_direction_is_not_found(name: str, source: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(source)
    assert wrong_imports(tmp_path) == []


def test_every_file_name_says_what_is_in_it() -> None:
    paths = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    assert len(paths) > 30
    named_for_nothing = [
        path for path in paths if set(path.stem.removeprefix("test_").strip("_").split("_")) & NAMES_THAT_SAY_NOTHING
    ]
    assert named_for_nothing == []
