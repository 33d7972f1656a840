"""Every module can be imported, and importing one starts nothing."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("jobs", "lib", "model", "bench")
    for path in (ROOT / package).rglob("*.py")
)


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_and_opens_with_what_it_is_for(name: str) -> None:
    module = importlib.import_module(name)
    first_line = (module.__doc__ or "").split("\n")[0]
    assert first_line.endswith((".", ":", ",")), f"{name} opens with {first_line!r}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("jobs.") and "__init__" not in name])
def test_every_job_has_a_main(name: str) -> None:
    assert callable(importlib.import_module(name).main)
