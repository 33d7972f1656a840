"""maintain_tables: OPTIMIZE and VACUUM of every table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Join small files, then delete those that no version within the retention needs."""
    from lib.lake.delta_tables import Lake
    from lib.lake.maintenance import maintain_tables

    maintain_tables(Lake(spark, settings.storage), settings.maintenance)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task maintain_tables."""
    main_of("maintain_tables", __doc__ or "", run, argv)


if __name__ == "__main__":
    main()
