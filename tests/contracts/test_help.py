"""`--help` of every job answers at once: it prints what the job takes, and loads none of the large libraries."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("*.py") if path.stem != "__init__")
LARGE = {"cv2", "matplotlib", "mlflow", "numpy", "pandas", "pyarrow", "pyspark", "ray", "raydp", "rdkit", "torch"}
ASK = """
import runpy, sys
from contextlib import suppress
sys.argv = [sys.argv[1], "--help"]
with suppress(SystemExit):
    runpy.run_module(sys.argv[0], run_name="__main__")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize("job", JOBS)
def test_help_loads_no_large_library(job: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK, f"jobs.{job}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    *said, loaded = asked.stdout.splitlines()
    assert said[0].startswith("usage: ")
    assert any("--set KEY=VALUE" in line for line in said)
    assert "pydantic" in loaded.split()  # the list is of what was loaded
    assert LARGE & set(loaded.split()) == set()
