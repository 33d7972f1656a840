"""Rows that were computed once, on executors that end: `pytest tests/spark/lake/test_staged_rows.py`."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pyspark.sql.functions as F
import pytest

from jobs.maintain_tables import run
from lib.lake.staged_rows import remove_stale, remove_unfinished_commits, written
from lib.settings import load_settings

LOSES_EXECUTORS = """
import json, os, signal, sys, time
from pathlib import Path
import pyspark.sql.functions as F
from lib.lake.delta_tables import Lake
from lib.lake.spark_session import open_spark
from lib.sections.lake import SparkSettings, StorageSettings


def executors():
    commands = {path.parent.name: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)}
    return [int(pid) for pid, command in commands.items() if app.encode() in command and b"ExecutorBackend" in command]


def readable(path):
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


settings = SparkSettings(
    master="local-cluster[1,1,1024]", driver_memory="1g", shuffle_partitions=2, arrow_records_per_batch=256
)
with open_spark(settings, "lost-executors") as spark:
    app = spark.sparkContext.applicationId
    lake = Lake(spark, StorageSettings(root=sys.argv[1], catalog=None, schema_name=None))
    with lake.staging():
        rows = spark.range(100).withColumn("lot", F.rand())
        kept = lake.stage(rows) if sys.argv[2] == "staged" else rows.localCheckpoint()
        before = kept.agg(F.sum("lot")).first()[0]
        lost = executors()
        for pid in lost:
            os.kill(pid, signal.SIGKILL)
        while not set(executors()) - set(lost):
            time.sleep(0.2)
        after = kept.agg(F.sum("lot")).first()[0]
    print(json.dumps({"lost": len(lost), "same": abs(before - after) < 1e-9, "left": os.listdir(sys.argv[1])}))
"""


def lose_executors(root: Path, how: str) -> subprocess.CompletedProcess[str]:
    root.mkdir()
    command = [sys.executable, "-c", LOSES_EXECUTORS, str(root), how]
    environment = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.slow
def test_staged_rows_outlive_the_executors_that_computed_them_and_are_gone_with_their_block(tmp_path):
    run = lose_executors(tmp_path / "lake", "staged")
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads(run.stdout.splitlines()[-1]) == {"lost": 1, "same": True, "left": []}


def test_rows_are_computed_once_and_folders_may_have_any_name(lake, tmp_path):
    root = tmp_path / "la[k]e {1} *?"
    lake.storage = lake.storage.model_copy(update={"root": str(root)})
    with lake.staging():
        outer = lake.stage(lake.spark.range(10).withColumn("lot", F.rand()))
        with lake.staging():
            inner = lake.stage(outer.where("id < 5"))
            assert inner.collect() == outer.where("id < 5").orderBy("id").collect()
        assert outer.collect() == outer.collect()
    assert not (root / "staged").exists()
    kept = written(lake.spark.range(10).withColumn("lot", F.rand()), str(root / "staged" / "rows"))
    assert kept.collect() == kept.collect()
    assert len(kept.collect()) == 10


def test_what_a_killed_run_has_staged_is_removed_when_no_run_can_be_so_old(lake):
    old, new = (Path(lake.storage.root) / "staged" / name for name in ("old", "new"))
    for folder in (old, new):
        (folder / "rows").mkdir(parents=True)
    long_ago = time.time() - 31 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    run(lake.spark, load_settings("molecules", "local", [f"storage.root={lake.storage.root}"]))
    assert [folder.name for folder in new.parent.iterdir()] == ["new"]


def test_what_another_run_removes_meanwhile_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "staged").mkdir()
    (tmp_path / "staged" / "gone").symlink_to(tmp_path / "nowhere")  # listed, and not there when it is looked at
    assert remove_stale(str(tmp_path), 0) == 0
    (tmp_path / "table" / "_delta_log").mkdir(parents=True)
    (tmp_path / "table" / "_delta_log" / ".0.json.tmp").symlink_to(tmp_path / "nowhere")
    assert remove_unfinished_commits(str(tmp_path / "table"), 0) == 0
