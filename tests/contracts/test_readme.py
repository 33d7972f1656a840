"""The table of docs/files.md and the commands of the README agree with the tree and the Makefile.

The table is the fenced block that names jobs/run_pipeline.py; each of its lines is a path, two spaces or more, and
the purpose of that file.
"""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("jobs", "lib", "model", "bench", "conf", "sql")
MAIN_COMMANDS = {"help", "demo", "check", "test", "bench"}


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    """Purpose by path."""
    text = (ROOT / "docs" / "files.md").read_text()
    blocks = [block for block in fenced_blocks(text) if re.search(r"^jobs/run_pipeline\.py\s", block, re.MULTILINE)]
    assert len(blocks) == 1, "docs/files.md must have one fenced block with the files"
    return purposes(blocks[0])


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(listed.splitlines())


@pytest.fixture(scope="module")
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def fenced_blocks(text: str) -> list[str]:
    return re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def purposes(block: str) -> dict[str, str]:
    lines = [line for line in block.splitlines() if line.strip()]
    split = [re.fullmatch(r"(\S+)\s{2,}(\S.*)", line) for line in lines]
    assert [line for line, found in zip(lines, split, strict=True) if not found] == [], "lines without path and purpose"
    paths = [found.group(1) for found in split if found]
    assert len(paths) == len(set(paths)), "a path stands twice"
    return {found.group(1): found.group(2) for found in split if found}


def commands(text: str) -> set[str]:
    """What the text tells to `make`, in code spans and fenced blocks."""
    code = "\n".join(fenced_blocks(text) + re.findall(r"`([^`\n]+)`", text))
    return set(re.findall(r"\bmake ([a-z][\w-]*)", code))


def test_the_file_table_names_every_file_of_the_project(table: dict[str, str], tracked: set[str]) -> None:
    files = {path for path in tracked if path.split("/")[0] in FOLDERS and not path.endswith("__init__.py")}
    assert sorted(files - set(table)) == []


def test_the_file_table_names_no_file_that_is_gone(table: dict[str, str], tracked: set[str]) -> None:
    folders = {f"{parent.as_posix()}/" for path in tracked for parent in Path(path).parents}
    assert sorted(set(table) - tracked - folders) == []


def test_every_purpose_says_something(table: dict[str, str]) -> None:
    assert [path for path, purpose in table.items() if len(purpose.split()) < 3] == []


def test_the_readme_leads_to_every_document(readme: str) -> None:
    documents = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert sorted(name for name in documents if f"docs/{name}" not in readme) == []


def test_the_readme_names_only_commands_that_there_are(readme: str, make_targets: set[str]) -> None:
    named = commands(readme)
    assert {"demo", "test"} <= named
    assert sorted(named - make_targets) == []


def test_the_makefile_has_the_commands_that_everyone_looks_for(make_targets: set[str]) -> None:
    assert make_targets >= MAIN_COMMANDS


def test_a_line_without_purpose_is_found() -> None:
    with pytest.raises(AssertionError, match="lines without path and purpose"):
        purposes("jobs/run_pipeline.py  runs everything\njobs/clean_images.py\n")


def test_commands_are_read_from_code_and_not_from_prose() -> None:
    assert commands("We make mistakes. `make demo` and\n```\nmake test  # all\n```\n") == {"demo", "test"}
