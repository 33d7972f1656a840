"""Writing a landing zone of drawings: `pytest tests/unit/molecules/test_landing_writer.py`."""

import csv
import hashlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from rdkit import Chem

import lib.molecules.drawing_batches
from lib.errors import SettingsError
from lib.molecules.landing_writer import write_landing_zone
from lib.sections.molecules import DrawingSettings
from lib.settings import CONF

BASE = DrawingSettings(**yaml.safe_load((CONF / "base.yaml").read_text())["drawing"])
SMILES = [
    "CCCCO",
    "CCCCN",
    "c1ccccc1Cl",
    "CC(C)CO",
    "OC(=O)c1ccccc1",
    "CCOC(C)=O",
    "c1ccncc1C",
    "CCCCCC",
    "NCCCO",
    "CCSCC",
]
FILES = ["train.zip", "train_labels.csv", "train_layouts.parquet"]


def settings(**changes: object) -> DrawingSettings:
    return BASE.model_copy(update={"num_processes": 1, "num_drawings": 10, **changes})


def smiles_file(folder: Path, lines: list[str] | None = None) -> str:
    path = folder / "molecules.smi"
    path.write_text("\n".join(SMILES if lines is None else lines))
    return str(path)


def captions_of(folder: Path) -> dict[str, str]:
    with (folder / "train_labels.csv").open(newline="") as lines:
        rows = list(csv.reader(lines))
    assert rows[0] == ["image_id", "InChI"]
    assert len({image_id for image_id, _ in rows[1:]}) == len(rows) - 1
    return dict(rows[1:])  # type: ignore[arg-type]


def digests_of(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_landing_zone_is_laid_out_as_the_real_collection(tmp_path: Path) -> None:
    zone = tmp_path / "zone"
    assert write_landing_zone(settings(smiles_file=smiles_file(tmp_path)), str(zone)) == 10
    assert sorted(path.name for path in zone.iterdir()) == FILES

    captions = captions_of(zone)
    assert set(captions.values()) == {Chem.MolToInchi(Chem.MolFromSmiles(smiles)) for smiles in SMILES}
    for image_id, inchi in captions.items():
        assert image_id == hashlib.blake2b(f"0:{inchi}".encode()).hexdigest()[:12]

    layouts = {row["image_id"]: row for row in pq.read_table(zone / "train_layouts.parquet").to_pylist()}
    assert set(layouts) == set(captions)
    with zipfile.ZipFile(zone / "train.zip") as archive:
        assert archive.testzip() is None
        nested = re.compile(r"train/(.)/(.)/(.)/(\1\2\3.{9})\.png")
        assert {nested.fullmatch(name)[4] for name in archive.namelist()} == set(captions)  # type: ignore[index]
        for name in archive.namelist():
            pixels = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
            layout = layouts[Path(name).stem]
            assert pixels.ndim == 2
            assert set(np.unique(pixels)) == {0, 255}
            assert 0 < min(layout["atom_x"]) < max(layout["atom_x"]) < pixels.shape[1]
            assert 0 < min(layout["atom_y"]) < max(layout["atom_y"]) < pixels.shape[0]
            assert len(layout["bond_begin"]) == len(layout["bond_end"]) == len(layout["bond_order"])


def test_layout_columns_have_the_types_of_the_table(tmp_path: Path) -> None:
    write_landing_zone(settings(smiles_file=smiles_file(tmp_path)), str(tmp_path / "zone"))
    schema = pq.read_schema(tmp_path / "zone/train_layouts.parquet")
    assert [(field.name, re.sub(r"element|item", "", str(field.type))) for field in schema] == [
        ("image_id", "string"),
        ("atom_x", "list<: float>"),
        ("atom_y", "list<: float>"),
        ("bond_begin", "list<: int32>"),
        ("bond_end", "list<: int32>"),
        ("bond_order", "list<: float>"),
        ("bond_wedge", "list<: int32>"),
    ]


def test_same_seed_writes_the_same_bytes_in_one_process_or_two(tmp_path: Path) -> None:
    for zone, changes in (
        ("one", {"num_processes": 1}),
        ("two", {"num_processes": 2}),
        ("other", {"num_processes": 1, "seed": 1}),
    ):
        write_landing_zone(settings(num_drawings=100, **changes), str(tmp_path / zone))
    assert digests_of(tmp_path / "one") == digests_of(tmp_path / "two")
    assert set(captions_of(tmp_path / "one")).isdisjoint(captions_of(tmp_path / "other"))


def test_fewer_drawings_are_the_first_of_more(tmp_path: Path) -> None:
    write_landing_zone(settings(num_drawings=10), str(tmp_path / "few"))
    write_landing_zone(settings(num_drawings=40), str(tmp_path / "many"))
    assert list(captions_of(tmp_path / "many").items())[:10] == list(captions_of(tmp_path / "few").items())


def test_more_drawings_than_rdkit_ships_molecules_are_all_distinct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lib.molecules.drawing_batches, "shipped_smiles", lambda: SMILES)
    assert write_landing_zone(settings(num_drawings=150), str(tmp_path)) == 150
    assert len(set(captions_of(tmp_path).values())) == 150


def test_molecule_that_comes_back_in_a_later_batch_is_drawn_once(tmp_path: Path) -> None:
    path = smiles_file(tmp_path, SMILES * 12)
    assert write_landing_zone(settings(smiles_file=path, num_drawings=100), str(tmp_path)) == 10
    assert len(captions_of(tmp_path)) == 10


def test_lines_that_cannot_be_drawn_are_counted_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = ["SMILES name", *SMILES, "not_a_smiles x", "C1CC", "CC", "CCCC.CCN", "OCCCC"]  # the last is the first again
    path = smiles_file(tmp_path, lines)
    with caplog.at_level(logging.INFO):
        assert write_landing_zone(settings(smiles_file=path, num_drawings=50), str(tmp_path)) == 10
    assert len(captions_of(tmp_path)) == 10
    assert "left out: 2 lines that are not SMILES, 2 molecules of other sizes" in caplog.text
    assert "back the same, 1 molecules that were drawn before" in caplog.text
    assert "50 drawings asked for, 10 molecules found" in caplog.text


def test_file_of_nothing_drawable_is_one_error_and_leaves_no_files(tmp_path: Path) -> None:
    path = smiles_file(tmp_path, ["CC", "C", "nonsense"])
    with pytest.raises(SettingsError, match=r"^drawing\.smiles_file .* holds no molecule that can be drawn$"):
        write_landing_zone(settings(smiles_file=path), str(tmp_path / "zone"))
    assert not (tmp_path / "zone").exists()


def test_second_run_replaces_the_first(tmp_path: Path) -> None:
    write_landing_zone(settings(smiles_file=smiles_file(tmp_path)), str(tmp_path / "zone"))
    first = digests_of(tmp_path / "zone")
    write_landing_zone(settings(smiles_file=smiles_file(tmp_path), num_drawings=3), str(tmp_path / "zone"))
    assert len(captions_of(tmp_path / "zone")) == 3
    write_landing_zone(settings(smiles_file=smiles_file(tmp_path)), str(tmp_path / "zone"))
    assert digests_of(tmp_path / "zone") == first


def test_run_that_fails_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_landing_zone(settings(smiles_file=smiles_file(tmp_path)), str(tmp_path / "zone"))
    before = digests_of(tmp_path / "zone")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(lib.molecules.landing_writer._DrawingWriter, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_landing_zone(settings(smiles_file=smiles_file(tmp_path), seed=1), str(tmp_path / "zone"))
    assert digests_of(tmp_path / "zone") == before


def test_killed_run_leaves_no_files_and_no_processes(tmp_path: Path) -> None:
    script = (
        "import sys, yaml\n"
        "from lib.molecules.landing_writer import write_landing_zone\n"
        "from lib.molecules.drawing import DrawingSettings\n"
        "values = yaml.safe_load(open(sys.argv[1]))['drawing']\n"
        "values.update(num_drawings=100_000, num_processes=2)\n"
        "write_landing_zone(DrawingSettings(**values), sys.argv[2])\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", script, str(CONF / "base.yaml"), str(tmp_path / "zone")],
        cwd=CONF.parent,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    try:
        wait_until(lambda: any(path.stat().st_size > 100_000 for path in tmp_path.glob("drawings-*/train.zip")))
        assert len(processes_of(run.pid)) >= 3
        run.kill()
        run.wait()
        wait_until(lambda: not processes_of(run.pid))
    finally:
        for process in processes_of(run.pid):
            os.kill(process, signal.SIGKILL)
    assert not (tmp_path / "zone").exists()


def processes_of(session: int) -> list[int]:
    """Live processes of a session, zombies left out (Linux; elsewhere there are none to see)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session_id, *_ = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(session_id) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


def wait_until(is_so, timeout_s: float = 60.0) -> None:
    started = time.monotonic()
    while not is_so():
        assert time.monotonic() - started < timeout_s
        time.sleep(0.1)
