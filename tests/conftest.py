"""One Spark session for all tests that need one, and a fresh lake for each."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from lib.lake.delta_tables import Lake
from lib.lake.spark_session import open_spark
from lib.sections.lake import SparkSettings, StorageSettings

# On two cores a collector that works beside the program takes its time from it, and so does Java's second compiler,
# whose work a session of a few seconds never earns back: half of its CPU time (LOG.md).
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
# Ray's workers are nice to others (15) unless told not to be, and would starve beside another file's tests.
os.environ.setdefault("RAY_worker_niceness", "0")
# Code that is generated and compiled for each query costs more than a few rows earn back.
GENERATION = "spark.sql.codegen.factoryMode"
SMALL_QUERIES = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.adaptive.enabled": "false",
    GENERATION: "NO_CODEGEN",
}
np.NaN = np.nan  # type: ignore[attr-defined]  # pyspark.testing imports pandas on Spark, which knows numpy 1 alone


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    settings = SparkSettings(master="local[2]", driver_memory="2g", shuffle_partitions=2, arrow_records_per_batch=256)
    options = os.environ["SPARK_SUBMIT_OPTS"]
    # As properties of Java they hold for sessions that code under test makes of this one, too.
    os.environ["SPARK_SUBMIT_OPTS"] = " ".join([options, *(f"-D{key}={value}" for key, value in SMALL_QUERIES.items())])
    with open_spark(settings, "captionlake-tests") as session:
        os.environ["SPARK_SUBMIT_OPTS"] = options
        yield session


@contextmanager
def generated_code(session: SparkSession) -> Iterator[None]:
    """While the block runs, Spark compiles code for queries where it can: its catalog lists no tables without."""
    before = session.conf.get(GENERATION)
    session.conf.set(GENERATION, "FALLBACK")
    yield
    session.conf.set(GENERATION, before)


@pytest.fixture(autouse=True, scope="module")
def no_view_is_left() -> Iterator[None]:
    """A file's temporary views end with it: they belong to the session, which other files share in any order."""
    yield
    if not (session := SparkSession.getActiveSession()):
        return
    with generated_code(session):
        for table in session.catalog.listTables():
            if table.isTemporary:
                session.catalog.dropTempView(table.name)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, StorageSettings(root=str(tmp_path / "lake"), catalog=None, schema_name=None))


@pytest.fixture
def copied(lake: Lake) -> Callable[[Path], Lake]:
    """Copies the folder of a finished lake into the empty one."""

    def copy(finished: Path) -> Lake:
        shutil.copytree(finished, lake.storage.root)
        return lake

    return copy


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """An empty folder for images to arrive in."""
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder
