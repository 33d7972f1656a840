"""One word for each thing: words that others have replaced do not come back into code, settings or documents."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
READ = ("lib", "jobs", "model", "bench", "conf", "sql", "docs", "Makefile", "README.md", "CONTRIBUTING.md")
ENDINGS = {".py", ".md", ".yml", ".yaml", ".sql", ".jinja", ".js", ".css", ""}
# Names in the tables stay as they are: renaming a column or its values would break what reads them.
IN_TABLES = re.compile(r"shuffled_pictures|share_of_pictures|valid_share")
REPLACED = {
    r"\bpictures?\b": "image",
    r"in the box": "pretrained model",
    r"_shares?\b": "fraction",
    r"(?-i:Shares?[A-Z])": "fraction",
    r"(?-i:\b_?(MOST|LEAST|FEWEST)_[A-Z])": "MAX_ or MIN_",
}
ALLOWED = {"lib/settings.py": r"_shares?\b"}  # names the old ends of settings, to say the new ones


def found(path: str, text: str) -> list[str]:
    """The old words of a text with their lines and what replaced them."""
    faults = []
    for number, line in enumerate(text.splitlines(), start=1):
        rest = IN_TABLES.sub("", line)
        faults += [
            f"{path}:{number}: {match[0]!r} is {word!r} here"
            for old, word in REPLACED.items()
            if (match := re.search(old, rest, re.IGNORECASE)) and ALLOWED.get(path) != old
        ]
    return faults


def test_no_word_is_used_that_another_has_replaced() -> None:
    listed = subprocess.run(["git", "ls-files", *READ], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [path for path in listed.splitlines() if Path(path).suffix in ENDINGS and (ROOT / path).is_file()]
    assert len(paths) > 300
    assert [fault for path in paths for fault in found(path, (ROOT / path).read_text())] == []


@pytest.mark.parametrize(
    ("line", "faults"),
    [
        ("each picture is read", ["a.py:1: 'picture' is 'image' here"]),
        ("the model in the box", ["a.py:1: 'in the box' is 'pretrained model' here"]),
        ("test_share: 0.05", ["a.py:1: '_share' is 'fraction' here"]),
        ("ShareRange = tuple", ["a.py:1: 'ShareR' is 'fraction' here"]),
        ("predictor = 'shuffled_pictures'", []),
        ("workers share a core", []),
        ("MOST_NODES = 250", ["a.py:1: 'MOST_N' is 'MAX_ or MIN_' here"]),
        ("LEAST, MOST = 1e-4, 0.9999", []),
    ],
)
def test_an_old_word_is_found_where_it_is_no_name_in_a_table(line: str, faults: list[str]) -> None:
    assert found("a.py", line) == faults
