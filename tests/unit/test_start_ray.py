"""The init script: a head on the driver, a node that joins it elsewhere, in an environment of its own."""

import os
import subprocess
from pathlib import Path

import pytest

from lib.detached_training import RAY_PYTHON

SCRIPT = Path(__file__).resolve().parents[2] / "conf" / "init" / "start_ray.sh"
# Each stands in for the real one: it notes what it was asked, and ray fails as often as the file says.
RAY = """#!/usr/bin/env bash
echo "ray $* SPARK_HOME=${SPARK_HOME-}" >> "$NOTES"
left=$(cat "$FAILURES"); [ "$left" -eq 0 ] || { echo $((left - 1)) > "$FAILURES"; exit 1; }
"""
PYTHON = """#!/usr/bin/env bash
echo "python $*" >> "$NOTES"
[ "$2" != venv ] || { mkdir -p "$3/bin"; cp "$STANDINS/python3" "$3/bin/python"; cp "$STANDINS/ray" "$3/bin/ray"; }
"""


def run_script(folder: Path, num_failures: int = 0, **variables: str) -> tuple[int, list[str]]:
    """Exit status of the script on a bare machine, and what it asked of python and ray."""
    notes, failures = folder / "notes", folder / "failures"
    notes.touch()
    failures.write_text(str(num_failures))
    for name, text in (("ray", RAY), ("python3", PYTHON)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "NOTES": str(notes), "FAILURES": str(failures),
        "STANDINS": str(folder), "CAPTIONLAKE_ENVIRONMENT": str(folder / "ray-environment"), "CAPTIONLAKE_RETRY_S": "0",
        "CAPTIONLAKE_WHEELS": str(folder), "SPARK_HOME": "/databricks/spark", **variables,
    }
    (folder / "captionlake-0.1.0-py3-none-any.whl").touch()
    done = subprocess.run(["bash", SCRIPT], env=environment, capture_output=True, text=True, timeout=60)
    return done.returncode, notes.read_text().splitlines()


def test_it_is_sound_bash() -> None:
    checked = subprocess.run(["bash", "-n", SCRIPT], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_driver_installs_the_wheel_and_starts_the_head_without_databricks_spark(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE")
    slots = len(os.sched_getaffinity(0)) + 4
    assert status == 0
    assert asked == [
        f"python -m venv {tmp_path}/ray-environment",
        f"python -m pip install --quiet {tmp_path}/captionlake-0.1.0-py3-none-any.whl",
        "python -m lib.delta_jars",
        f"ray start --disable-usage-stats --num-cpus={slots} --head --port=6385 --include-dashboard=false SPARK_HOME=",
    ]


def test_another_node_asks_again_until_the_head_answers(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, num_failures=2, DB_IS_DRIVER="FALSE", DB_DRIVER_IP="10.0.0.7")
    assert status == 0
    joins = [line for line in asked if line.startswith("ray ")]
    assert len(joins) == 3
    assert all("--address=10.0.0.7:6385" in line and "--head" not in line for line in joins)


def test_a_node_that_finds_no_head_fails_and_with_it_the_cluster(tmp_path: Path) -> None:
    status, asked = run_script(tmp_path, num_failures=1000, DB_IS_DRIVER="FALSE", DB_DRIVER_IP="10.0.0.7")
    assert status == 1
    assert len([line for line in asked if line.startswith("ray ")]) == 60


@pytest.mark.parametrize("missing", ["CAPTIONLAKE_WHEELS", "DB_DRIVER_IP"])
def test_a_variable_that_is_not_set_stops_it(tmp_path: Path, missing: str) -> None:
    variables = {"DB_IS_DRIVER": "FALSE", "DB_DRIVER_IP": "10.0.0.7"} | {missing: ""}
    status, asked = run_script(tmp_path, **variables)
    assert status != 0
    assert not any(line.startswith("ray ") for line in asked)


def test_a_second_start_installs_nothing(tmp_path: Path) -> None:
    run_script(tmp_path, DB_IS_DRIVER="TRUE")
    (tmp_path / "notes").unlink()
    _, asked = run_script(tmp_path, DB_IS_DRIVER="TRUE")
    assert [line.split()[:2] for line in asked] == [["ray", "start"]]


def test_training_starts_the_python_that_the_script_makes() -> None:
    assert f"CAPTIONLAKE_ENVIRONMENT:-{Path(RAY_PYTHON).parents[1]}}}" in SCRIPT.read_text()
