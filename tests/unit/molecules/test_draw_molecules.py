"""The job draw_molecules: `pytest tests/unit/molecules/test_draw_molecules.py`."""

import csv
import logging
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from jobs.draw_molecules import main

HERE = ["--set", "drawing.num_processes=1"]


def test_flags_are_short_for_settings(tmp_path: Path) -> None:
    (tmp_path / "some molecules.smi").write_text("CCCCO\nCCCCN\nCCCCS\n")
    main([*HERE, "--num-drawings", "2", "--seed", "7", "--noise", "0", "--output", str(tmp_path / "a zone"),
          "--smiles-file", str(tmp_path / "some molecules.smi")])
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
