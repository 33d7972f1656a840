"""docs/promises.md names tests that there are, and says of the slow ones that they are slow."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, str]]:
    """Promise and what holds it, row by row."""
    lines = (ROOT / "docs" / "promises.md").read_text().splitlines()
    cells = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return [(promise, held_by) for promise, held_by in cells[1:]]


@pytest.fixture(scope="module")
def is_slow() -> dict[str, bool]:
    """By name of a test, whether it is one of the slow tier."""
    return {
        node.name: path.parent.name == "slow" or "pytest.mark.slow" in map(ast.unparse, node.decorator_list)
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def named_tests(held_by: str) -> dict[str, bool]:
    """By name of a test, whether it is called slow."""
    return {name: bool(slow) for slow, name in re.findall(r"(slow )?`(test_\w+)`", held_by)}


def test_every_promise_is_held_by_a_test(rows: list[tuple[str, str]]) -> None:
    assert len(rows) > 10
    assert [promise for promise, held_by in rows if not named_tests(held_by)] == []


def test_every_test_named_is_there_and_as_slow_as_it_is_said_to_be(
    rows: list[tuple[str, str]], is_slow: dict[str, bool]
) -> None:
    named = {name: slow for _, held_by in rows for name, slow in named_tests(held_by).items()}
    assert {name: is_slow.get(name) for name in named} == named
