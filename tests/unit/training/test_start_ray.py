"""The init script: a head on the driver, a node that joins it elsewhere, in an environment of its own."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from lib.training.detached_training import RAY_PYTHON, RAY_TOKEN

SCRIPT = Path(__file__).resolve().parents[3] / "conf" / "init" / "start_ray.sh"
# Each stands in for the real one: it notes what it was asked, and ray fails as often as the file says.
RAY = """#!/usr/bin/env bash
token=${RAY_AUTH_TOKEN:-$(wc -c < "${RAY_AUTH_TOKEN_PATH-}")}
echo "ray $* SPARK_HOME=${SPARK_HOME-} $RAY_AUTH_MODE=$token" >> "$NOTES"
left=$(cat "$FAILURES"); [ "$left" -eq 0 ] || { echo $((left - 1)) > "$FAILURES"; exit 1; }
"""
PYTHON = """#!/usr/bin/env bash
echo "python $*" >> "$NOTES"
[ "$2" != venv ] || { mkdir -p "$3/bin"; cp "$STANDINS/python3" "$3/bin/python"; cp "$STANDINS/ray" "$3/bin/ray"; }
"""


JOINING = {"DB_IS_DRIVER": "FALSE", "DB_DRIVER_IP": "10.0.0.7", "RAY_AUTH_TOKEN": "shared"}


def run_script(folder: Path, num_failures: int = 0, **variables: str) -> tuple[int, list[str]]:
    """Exit status of the script on a bare machine, and what it asked of python and ray, or what it complains of."""
    notes, failures = folder / "notes", folder / "failures"
    notes.touch()
    failures.write_text(str(num_failures))
    for name, text in (("ray", RAY), ("python3", PYTHON)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "NOTES": str(notes),
        "FAILURES": str(failures),
        "STANDINS": str(folder),
        "CAPTIONLAKE_ENVIRONMENT": str(folder / "ray-environment"),
        "CAPTIONLAKE_RETRY_S": "0",
        "CAPTIONLAKE_WHEELS": str(folder),
        "SPARK_HOME": "/databricks/spark",
        **variables,
    }
    (folder / "captionlake-0.1.0-py3-none-any.whl").touch()
    (folder / "requirements.lock").touch()
    done = subprocess.run(["bash", SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, [*notes.read_text().splitlines(), *done.stderr.splitlines()]


def test_it_is_sound_bash() -> None:
    checked = subprocess.run(["bash", "-n", SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_driver_installs_the_wheel_and_starts_the_head_without_databricks_spark(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE")
    slots = len(os.sched_getaffinity(0)) + 4
    assert status == 0
    assert asked == [
        f"python -m venv {tmp_path}/ray-environment",
        f"python -m pip install --quiet --constraint {tmp_path}/requirements.lock "
        f"{tmp_path}/captionlake-0.1.0-py3-none-any.whl[standalone]",
        "python -m lib.lake.delta_jars",
        f"ray start --disable-usage-stats --num-cpus={slots} --head --port=6385 --include-dashboard=false SPARK_HOME= "
        "token=64",
    ]


def test_of_several_wheels_the_newest_version_is_installed(tmp_path: Path) -> None:
    for version in ("0.1.10", "0.1.9"):
        (tmp_path / f"captionlake-{version}-py3-none-any.whl").touch()
    status, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE")
    assert status == 0
    assert asked[1].endswith(f" {tmp_path}/captionlake-0.1.10-py3-none-any.whl[standalone]")


@pytest.mark.parametrize("there", ["captionlake-0.1.0-py3-none-any.whl", "requirements.lock"])
def test_a_folder_without_the_wheel_or_the_tested_versions_is_named(tmp_path: Path, there: str) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / there).touch()
    assert run_script(tmp_path, DB_IS_DRIVER="TRUE", CAPTIONLAKE_WHEELS=str(folder)) == (
        1,
        [f"no captionlake-*.whl or no requirements.lock in {folder}: copy both there first (see docs/runbook.md)"],
    )


def test_the_driver_makes_a_token_that_nobody_else_can_read(tmp_path: Path) -> None:
    run_script(tmp_path, DB_IS_DRIVER="TRUE")
    token = tmp_path / "ray-environment" / Path(RAY_TOKEN).name
    assert token.stat().st_mode & 0o077 == 0
    assert re.fullmatch("[0-9a-f]{64}", token.read_text())


def test_several_machines_use_the_token_that_they_are_given(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE", RAY_AUTH_TOKEN="shared")
    assert status == 0
    assert asked[-1].endswith(" token=shared")
    assert not (tmp_path / "ray-environment" / Path(RAY_TOKEN).name).exists()


def test_another_node_asks_again_until_the_head_answers(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, num_failures=2, **JOINING)
    assert status == 0
    joins = [line for line in asked if line.startswith("ray ")]
    assert len(joins) == 3
    assert all("--address=10.0.0.7:6385" in line and "--head" not in line for line in joins)


def test_a_node_that_finds_no_head_fails_and_with_it_the_cluster(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, num_failures=1000, **JOINING)
    assert status == 1
    assert len([line for line in asked if line.startswith("ray ")]) == 60
    assert asked[-1] == "no Ray head answers at 10.0.0.7:6385"


@pytest.mark.parametrize("missing", ["CAPTIONLAKE_WHEELS", "DB_DRIVER_IP", "RAY_AUTH_TOKEN"])
def test_a_variable_that_is_not_set_stops_it(tmp_path: Path, missing: str) -> None:
    status, asked = run_script(tmp_path, **(JOINING | {missing: ""}))
    assert status != 0
    assert missing in asked[-1]
    assert not any(line.startswith("ray ") for line in asked)


def test_a_second_start_installs_nothing(tmp_path: Path) -> None:
    run_script(tmp_path, DB_IS_DRIVER="TRUE")
    (tmp_path / "notes").unlink()
    _, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE")
    assert [line.split()[:2] for line in asked] == [["ray", "start"]]


def test_training_starts_the_python_that_the_script_makes_and_shows_its_token() -> None:
    script = SCRIPT.read_text()
    assert f"CAPTIONLAKE_ENVIRONMENT:-{Path(RAY_PYTHON).parents[1]}}}" in script
    assert f"RAY_AUTH_TOKEN_PATH=$environment/{Path(RAY_TOKEN).relative_to(Path(RAY_PYTHON).parents[1])} " in script
