"""The wheel holds the packages jobs, lib and model with their data, an entry point per job, and nothing else."""

import configparser
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = ("jobs", "lib", "model")
NOT_PACKED = {"__pycache__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy, so that what a build leaves behind stays out of the checkout."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", PROJECT["project"]["readme"]):
        shutil.copy(ROOT / name, source)
    for package in (*PACKAGES, "conf", "bench"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns(*NOT_PACKED))
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist"), str(source)],
        capture_output=True, text=True, timeout=300,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = (source / "dist").glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    metadata = f"captionlake-{PROJECT['project']['version']}.dist-info"
    assert {name.split("/")[0] for name in wheel.namelist()} == {*PACKAGES, metadata}
    assert wheel.read(f"{metadata}/top_level.txt").decode().split() == sorted(PACKAGES)


def test_the_wheel_holds_every_module_and_every_data_file(wheel: zipfile.ZipFile) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not NOT_PACKED & set(path.parts)
    }
    assert {name for name in wheel.namelist() if name.split("/")[0] in PACKAGES} == files


def test_the_wheel_has_one_entry_point_for_each_job(wheel: zipfile.ZipFile) -> None:
    entry_points = configparser.ConfigParser()
    entry_points.read_string(wheel.read(f"captionlake-{PROJECT['project']['version']}.dist-info/entry_points.txt").decode())
    jobs = [path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__"]
    assert dict(entry_points["console_scripts"]) == {job: f"jobs.{job}:main" for job in jobs}
