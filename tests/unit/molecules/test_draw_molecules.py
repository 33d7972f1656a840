"""The job draw_molecules: `pytest tests/unit/molecules/test_draw_molecules.py`."""

import csv
import json
import logging
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from jobs.draw_molecules import main
from tests.unit.without_indigo import environment_without_indigo

HERE = ["--set", "drawing.num_processes=1"]
ROOT = Path(__file__).resolve().parents[3]


def by(drawer: str) -> list[str]:
    """The words that make one drawer draw everything."""
    fractions = {"indigo": 0, "rdkit": 0, "coordgen": 0} | {drawer: 1}
    return ["--set", f"drawing.drawers={json.dumps(fractions)}"]


def test_flags_are_short_for_settings(tmp_path: Path) -> None:
    (tmp_path / "some molecules.smi").write_text("CCCCO\nCCCCN\nCCCCS\n")
    # By RDKit, whose strokes are whole: thin ones of Indigo's have gaps.
    words = ["--num-drawings", "2", "--seed", "7", "--noise", "0", "--output", str(tmp_path / "a zone")]
    main([*HERE, *by("rdkit"), *words, "--smiles-file", str(tmp_path / "some molecules.smi")])
    with (tmp_path / "a zone/train_labels.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))
    assert len(rows) == 3
    with zipfile.ZipFile(tmp_path / "a zone/train.zip") as archive:
        for name in archive.namelist():
            pixels = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            num_pieces, _ = cv2.connectedComponents((pixels == 0).astype(np.uint8), connectivity=8)
            assert num_pieces <= 5  # paper, the chain, and up to three letters: no specks, no gaps


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--smiles-file", "absent.smi"], "drawing.smiles_file absent.smi cannot be read"),
        (["--num-drawings", "0"], "drawing.num_drawings"),
        (["--noise", "9"], "drawing.noise"),
    ],
)
def test_wrong_settings_end_the_job_with_one_message_that_names_the_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: list[str], message: str
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(SystemExit) as ended:
        main([*HERE, "--output", str(tmp_path / "zone"), *wrong])
    assert ended.value.code == 2
    assert message in caplog.text
    assert "Traceback" not in caplog.text
    assert not (tmp_path / "zone").exists()


def drawn_without_indigo(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    (folder / "molecules.smi").write_text("CCCCO\nCCCCN\nCCCCS\n")
    command = [sys.executable, "-m", "jobs.draw_molecules", *words, "--output", str(folder / "zone")]
    return subprocess.run(
        [*command, "--smiles-file", str(folder / "molecules.smi")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment_without_indigo(folder),
    )


@pytest.mark.parametrize("num_processes", [1, 2])
def test_a_missing_indigo_ends_the_job_with_one_sentence_that_names_it_and_the_setting(
    tmp_path: Path, num_processes: int
) -> None:
    ended = drawn_without_indigo(tmp_path, "--set", f"drawing.num_processes={num_processes}")
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    said = [line for line in ended.stderr.splitlines() if "EPAM Indigo" in line]
    assert len(said) == 1
    assert re.search(r"install epam\.indigo .* or set drawing\.drawers without indigo$", said[0])
    assert not (tmp_path / "zone").exists()


@pytest.mark.parametrize("drawer", ["rdkit", "coordgen"])
def test_rdkits_drawers_go_on_without_indigo(tmp_path: Path, drawer: str) -> None:
    ended = drawn_without_indigo(tmp_path, *HERE, *by(drawer))
    assert ended.returncode == 0, ended.stderr
    assert len((tmp_path / "zone/train_labels.csv").read_text().splitlines()) == 4
    assert "Indigo" not in ended.stderr
