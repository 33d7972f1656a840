"""run_pipeline refuses what it cannot run before it opens Spark; tests/ray/test_pipeline.py shows what it runs."""

import shlex
import subprocess
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs import run_pipeline
from lib.errors import SettingsError
from lib.job_entry import settings_from

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--only", "train"], "known here: ingest_images"),
        (["--from", "train"], "known here: ingest_images"),
        (["--set", "spark.cores=2"], r"spark\.cores: unknown setting"),
    ],
)
def test_what_cannot_be_run_is_refused_before_spark_opens(flags: list[str], message: str) -> None:
    before = SparkSession.getActiveSession()  # another test's, in this process
    with pytest.raises(SettingsError, match=message):
        run_pipeline.run_pipeline(run_pipeline.parse_arguments(flags))
    assert SparkSession.getActiveSession() is before


def test_make_caption_hands_settings_on(tmp_path: Path) -> None:
    given = ["RUN=echo", "READY=", f"IMAGES={tmp_path}", "CAPTION=--set landing.image_id=path"]
    command = ["make", "--no-print-directory", "caption", *given]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    module, *flags = shlex.split(told.partition("-m ")[2])
    settings = settings_from(run_pipeline.parse_arguments(flags))
    assert module == "jobs.run_pipeline"
    assert (settings.landing.path, settings.landing.image_id) == (str(tmp_path), "path")
