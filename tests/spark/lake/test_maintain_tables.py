"""maintain_tables on real Delta: `pytest tests/spark/lake/test_maintain_tables.py`."""

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.maintain_tables import run
from lib.lake.delta_tables import Lake
from lib.lake.schemas import CAPTIONS
from lib.sections.lake import MaintenanceSettings
from lib.settings import load_settings

THEN = datetime(2026, 1, 2, tzinfo=UTC)


def files_of(lake: Lake, name: str) -> list[str]:
    """The files of the table's newest version."""
    return sorted(Path(path.removeprefix("file://")).name for path in lake.read(name).inputFiles())


def test_small_files_are_joined_and_old_ones_deleted_and_no_row_changes(
    lake: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b", "c"):
        row = (name, 0, f"caption of {name}", "file.csv", "train", THEN, 1, name)
        lake.insert_new("captions", lake.spark.createDataFrame([row], CAPTIONS.schema))
    lake.create("images_rejected")  # a table without rows is kept in shape too
    rows = lake.read("captions").orderBy("image_id").collect()
    small = files_of(lake, "captions")
    assert len(small) == 3
    folder = Path(lake.storage.root) / "captions"
    long_ago = time.time() - 31 * 24 * 3600
    (folder / "left-by-a-killed-run.parquet").touch()
    begun = [
        folder / "_delta_log" / f"{name}00000000000000000009.json.4b1c.tmp{end}"
        for name, end in ((".", ""), ("..", ".crc"), (".now", ""))
    ]
    for file in begun:
        file.touch()
    for file in (*folder.glob("*.parquet"), *begun[:2]):
        os.utime(file, (long_ago, long_ago))

    settings = load_settings("molecules", "local", [f"storage.root={lake.storage.root}"])
    with caplog.at_level("INFO"):
        run(lake.spark, settings)

    assert lake.read("captions").orderBy("image_id").collect() == rows
    (joined,) = files_of(lake, "captions")
    assert joined not in small
    # The three small files were left by OPTIMIZE just now, so the last thirty days still need them.
    assert {file.name for file in folder.glob("*.parquet")} == {joined, *small}
    assert [file.exists() for file in begun] == [False, False, True]
    assert "captions: 3 files joined into 1" in caplog.messages
    assert "images_rejected: 0 files joined into 0" in caplog.messages
    assert not any("images_clean" in message for message in caplog.messages)

    history = lake.spark.sql(f"describe history delta.`{folder}`").select("operation")
    caplog.clear()
    with caplog.at_level("INFO"):
        run(lake.spark, settings)
    assert "captions: 0 files joined into 0" in caplog.messages
    assert [row.operation for row in history.collect()].count("OPTIMIZE") == 1


def test_files_are_joined_up_to_the_size_asked_for(lake: Lake) -> None:
    settings = load_settings("molecules", "local", [f"storage.root={lake.storage.root}", "maintenance.file_bytes=1"])
    for name in ("a", "b"):
        row = (name, 0, "caption", "file.csv", "train", THEN, 1, name)
        lake.insert_new("captions", lake.spark.createDataFrame([row], CAPTIONS.schema))
    before = files_of(lake, "captions")
    run(lake.spark, settings)
    assert files_of(lake, "captions") == before


def test_a_retention_that_could_harm_a_running_job_is_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 168"):
        MaintenanceSettings(retain_hours=1, file_bytes=1)
