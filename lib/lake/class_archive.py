"""Set-up: archive the Java classes that Spark and Delta load, so that later starts are faster.

`python -m lib.lake.class_archive`; without the archive, or with one of another Java, Spark starts as it always does.
"""

import subprocess
import tempfile

from lib.lake.java import java_home
from lib.lake.spark_session import CLASS_ARCHIVE, NO_WARNINGS, open_spark
from lib.sections.lake import SparkSettings

SMALL = SparkSettings(master="local[1]", driver_memory="1g", shuffle_partitions=1, arrow_records_per_batch=1)


def write_class_archive() -> None:
    """Open Spark, use a table, and have Java write its classes as it ends. What Java cannot write is not there."""
    home = java_home()
    if not (home / "lib" / "server" / "classes.jsa").is_file():  # of Java's own classes, which ours builds upon
        subprocess.run([home / "bin" / "java", "-Xshare:dump"], capture_output=True, check=False)
    CLASS_ARCHIVE.unlink(missing_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_spark(SMALL, "class_archive", f'-XX:ArchiveClassesAtExit="{CLASS_ARCHIVE}" {NO_WARNINGS}') as spark,
    ):
        table = f"{folder}/table"
        spark.range(3).write.format("delta").save(table)
        spark.sql(
            f"MERGE INTO delta.`{table}` AS old USING (SELECT 1L AS id) AS new ON old.id = new.id "
            "WHEN MATCHED THEN UPDATE SET id = 4 WHEN NOT MATCHED THEN INSERT *"
        )
        spark.read.format("delta").load(table).groupBy("id").count().collect()
    kept = f"are kept in {CLASS_ARCHIVE}" if CLASS_ARCHIVE.is_file() else "cannot be kept here: Spark starts as ever"
    print(f"Java's classes {kept}")


if __name__ == "__main__":
    write_class_archive()
