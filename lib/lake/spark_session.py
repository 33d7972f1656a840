"""Where an ordinary SparkSession is made, and what it needs on a bare machine: a Java 17 and Delta's jars."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark import SparkContext
from pyspark.sql import SparkSession

from lib.errors import RuntimeMissingError
from lib.job_log import ON_DATABRICKS
from lib.lake.java import ensure_java
from lib.sections.lake import SparkSettings
from lib.storage_faults import storage_fault

DELTA_PACKAGE = "io.delta:delta-spark_2.12:3.3.2"
JARS = Path(sys.prefix) / "share" / "captionlake" / "jars"  # filled by set-up: a property of the environment
CLASS_ARCHIVE = JARS.parent / "classes.jsa"  # written by set-up: Java's classes as they are once loaded
NO_WARNINGS = "-Xlog:cds=off -Xlog:class+path=off"  # Java ignores an archive of another Java or of other jars


@contextmanager
def open_spark(settings: SparkSettings, app_name: str, java_options: str | None = None) -> Iterator[SparkSession]:
    """A Spark session with Delta; stopped at the end, with its Java process.

    On Databricks it is the cluster's own, which goes on; only what a batch may hold and the time zone are set.
    Elsewhere an error of Java is raised as a StorageError, or as a RuntimeError with what Java says.
    """
    if ON_DATABRICKS:
        spark = SparkSession.builder.getOrCreate()
        for key, value in _of_every_session(settings).items():
            spark.conf.set(key, value)
        yield spark
        return
    if os.environ.get("LC_ALL") in ("C", "POSIX"):
        os.environ["LC_ALL"] = "C.UTF-8"  # else Java cannot name files that are not ASCII
    # Not a folder of a known name, which others could read or have made before.
    with tempfile.TemporaryDirectory(prefix="captionlake-", ignore_cleanup_errors=True) as warehouse:
        spark = _build(settings, app_name, warehouse, java_options)
        try:
            yield spark
        except Py4JJavaError as error:
            message = str(error)  # asks Java, which has ended when others would ask
            raise storage_fault(message) or RuntimeError(message) from None
        finally:
            spark.stop()
            end_gateway()


def end_gateway() -> None:
    """End the Java process of a stopped session, so that another kind of session can start in this process."""
    gateway, SparkContext._gateway, SparkContext._jvm = SparkContext._gateway, None, None
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()  # the Java process ends with its standard input
        gateway.proc.wait(timeout=60)


def delta_configuration(parallelism: int) -> dict[str, str]:
    """Spark configuration for Delta from the jars that set-up fetched, for `parallelism` tasks at a time."""
    return {
        "spark.jars": ",".join(str(jar) for jar in delta_jars()),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.shuffle.partitions": str(parallelism),
        # Delta reads a table's log in this many tasks; its default of 50 costs 20 s a commit on two cores.
        "spark.databricks.delta.snapshotPartitions": str(parallelism),
        # VACUUM lists a table's folder in this many tasks; its default of 10,000 is not for one machine.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(parallelism),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
    }


def _of_every_session(settings: SparkSettings) -> dict[str, str]:
    """Settings of every Spark session, local or Databricks: the size of Arrow batches, and UTC as time zone."""
    return {
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(settings.arrow_records_per_batch),
        "spark.sql.session.timeZone": "UTC",
    }


def _build(settings: SparkSettings, app_name: str, warehouse: str, java_options: str | None) -> SparkSession:
    ensure_java()
    if java_options is None and CLASS_ARCHIVE.is_file():
        java_options = f'-XX:SharedArchiveFile="{CLASS_ARCHIVE}" {NO_WARNINGS}'
    configuration = (
        delta_configuration(settings.shuffle_partitions)
        | _of_every_session(settings)
        | {
            "spark.driver.memory": settings.driver_memory,
            "spark.driver.extraJavaOptions": java_options or "",
            "spark.driver.host": "localhost",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.warehouse.dir": warehouse,
            "spark.local.dir": warehouse,  # rows on their way lie there, for nobody else to read
        }
    )
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName(app_name).master(settings.master)
    for key, value in configuration.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def delta_jars() -> list[Path]:
    """The jars of Delta on this machine. Raises RuntimeMissingError before set-up has fetched them."""
    jars = sorted(JARS.glob("*.jar"))
    if not jars:
        raise RuntimeMissingError("Delta's jars are not installed: run `make setup` (it needs a network, once)")
    return jars
