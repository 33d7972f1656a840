"""Copies of folders, killed on the way: `pytest tests/unit/test_folder_copies.py`."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lib.folder_copies import copy_whole

ROOT = Path(__file__).resolve().parents[2]
COPY_UNTIL_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from lib.folder_copies import copy_whole
step, left = sys.argv[1], 3
def dying(work):
    def one(*given, **more):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*given, **more)
    return one
if step == "copy":
    copy2 = dying(shutil.copy2)
    copytree = shutil.copytree
    shutil.copytree = lambda source, target, *more: copytree(source, target, *(more or (False, None, copy2)))
else:
    left = 2
    Path.rename = dying(Path.rename)
copy_whole(Path("source"), Path("target"))
"""


@pytest.mark.parametrize("step", ["copy", "rename"])
def test_a_copy_that_is_killed_halfway_is_never_taken_for_a_whole_one(tmp_path: Path, step: str) -> None:
    for folder, text in (("source", "new"), ("target", "old")):
        (tmp_path / folder / "latest").mkdir(parents=True)
        for name in ("a", "b", "c"):
            (tmp_path / folder / "latest" / name).write_text(text)
    source, target = tmp_path / "source", tmp_path / "target"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", COPY_UNTIL_KILLED, step], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    whole = [["old"] * 3, ["new"] * 3]
    assert not target.exists() or [file.read_text() for file in (target / "latest").iterdir()] in whole

    copy_whole(tmp_path / "nowhere", target)
    copy_whole(source, target)
    assert [file.read_text() for file in (target / "latest").iterdir()] == ["new"] * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source", "target"]


def test_a_folder_whose_copy_was_killed_between_renames_is_found_again_when_it_is_the_source(tmp_path: Path) -> None:
    (tmp_path / ".source.replaced").mkdir()
    (tmp_path / ".source.replaced" / "steps").write_text("50")
    copy_whole(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target" / "steps").read_text() == (tmp_path / "source" / "steps").read_text() == "50"
