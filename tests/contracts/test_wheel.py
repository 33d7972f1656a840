"""The wheel holds the packages jobs, lib and model with their data, an entry point per job, and nothing else."""

import configparser
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.contracts import wheel_check
from tests.contracts.bundle_files import Bundle, load_bundle
from tests.contracts.wheel_check import build_wheel, missing_from_wheel, replaced_in_runtime, what_does_not_start

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = ("jobs", "lib", "model")
METADATA = f"captionlake-{PROJECT['version']}.dist-info"
NOT_PACKED = {"__pycache__"}
BROKEN_PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "captionlake"
version = "9.9"
dependencies = ["ray[data]>=2.50", "raydp-like", "numpy"]
optional-dependencies = {standalone = ["pyspark<3.6"]}
[project.scripts]
clean_images = "jobs.clean_images:main"
ingest_images = "jobs.ingest_images:main"
predict_captions = "jobs.predict_captions:main"
draw_molecules = "jobs.draw_molecules:main"
train_captioner = "jobs.nowhere:main"
[tool.setuptools]
packages = ["jobs", "lib"]
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as files:
        return files.namelist()


@pytest.fixture(scope="module")
def broken_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One sound entry point; others cannot be imported, here or on a cluster, or go on, or have no module."""
    root = tmp_path_factory.mktemp("broken")
    for package in PACKAGES:
        (root / package).mkdir()
    (root / "README.md").touch()
    (root / "pyproject.toml").write_text(BROKEN_PROJECT)
    (root / "jobs/__init__.py").touch()
    (root / "jobs/clean_images.py").write_text(
        "import argparse\ndef main():\n    argparse.ArgumentParser().parse_args()\n"
    )
    (root / "jobs/ingest_images.py").write_text("import no_such_module\n")
    (root / "jobs/predict_captions.py").write_text("def main():\n    pass\n")
    (root / "jobs/draw_molecules.py").write_text("import raydp\n")
    (root / "lib/__init__.py").touch()
    (root / "lib/registry.py").write_text("import mlflow\n")
    return build_wheel(root, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load_bundle(ROOT)


def test_the_wheel_holds_the_three_packages_and_no_other(wheel: Path, names: list[str]) -> None:
    assert {name.split("/")[0] for name in names} == {*PACKAGES, METADATA}
    with zipfile.ZipFile(wheel) as files:
        assert files.read(f"{METADATA}/top_level.txt").decode().split() == sorted(PACKAGES)


def test_the_wheel_holds_every_module_and_every_data_file(names: list[str]) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not NOT_PACKED & set(path.parts)
    }
    assert {name for name in names if name.split("/")[0] in PACKAGES} == files


def test_the_wheel_has_one_entry_point_for_each_job(wheel: Path) -> None:
    entry_points = configparser.ConfigParser()
    with zipfile.ZipFile(wheel) as files:
        entry_points.read_string(files.read(f"{METADATA}/entry_points.txt").decode())
    jobs = [path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__"]
    assert dict(entry_points["console_scripts"]) == {job: f"jobs.{job}:main" for job in jobs}


def test_every_task_of_the_bundle_is_in_the_wheel_and_starts(wheel: Path, bundle: Bundle, tmp_path: Path) -> None:
    assert missing_from_wheel(bundle, wheel) == []
    assert what_does_not_start(wheel, tmp_path) == []


def test_a_task_that_the_wheel_cannot_run_is_found(broken_wheel: Path, bundle: Bundle) -> None:
    faults = missing_from_wheel(bundle, broken_wheel)
    where = "conf/resources/pipeline.job.yml: job pipeline, task"
    assert f"{where} build_vocabulary: the wheel has no entry point 'build_vocabulary'" in faults
    assert f"{where} train_captioner: the wheel has no module jobs.nowhere" in faults
    assert not any("task clean_images" in fault for fault in faults)


def test_the_wheel_leaves_the_runtime_its_own_spark_delta_and_ray(wheel: Path, broken_wheel: Path) -> None:
    assert replaced_in_runtime(wheel) == []
    assert replaced_in_runtime(broken_wheel) == [
        "the wheel requires ray, of which the runtime has its own: keep it in the extra standalone"
    ]


def test_an_entry_point_or_a_module_that_does_not_start_is_found(broken_wheel: Path, tmp_path: Path) -> None:
    assert what_does_not_start(broken_wheel, tmp_path) == [
        "entry point draw_molecules does not start: ModuleNotFoundError: import of raydp halted; None in sys.modules",
        "entry point ingest_images does not start: ModuleNotFoundError: No module named 'no_such_module'",
        "entry point predict_captions goes on after --help",
        "entry point train_captioner does not start: ModuleNotFoundError: No module named 'jobs.nowhere'",
        "module lib.registry does not load: ModuleNotFoundError: import of mlflow halted; None in sys.modules",
    ]


def test_a_wheel_that_cannot_be_built_is_said_in_one_line(tmp_path: Path) -> None:
    root, folder = tmp_path / "root", tmp_path / "folder"
    root.mkdir()
    folder.mkdir()
    for package in PACKAGES:
        (root / package).mkdir()
    (root / "README.md").touch()
    (root / "pyproject.toml").write_text("[project")
    with pytest.raises(RuntimeError, match=r"^the wheel cannot be built: .+$"):
        build_wheel(root, folder)


def test_the_command_exits_with_1_and_a_line_for_each_fault(
    broken_wheel: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wheel_check, "build_wheel", lambda *_: broken_wheel)
    with pytest.raises(SystemExit) as stopped:
        wheel_check.main()
    assert stopped.value.code == 1
    *missing, replaced = capsys.readouterr().err.splitlines()
    assert missing
    assert all(line.startswith("conf/resources/") and ": the wheel has no " in line for line in missing)
    assert replaced.startswith("the wheel requires ray, ")
