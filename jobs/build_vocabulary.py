"""build_vocabulary: captions -> vocabulary."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Build the vocabulary of the train captions."""
    from lib.captions.vocabulary_tables import build_vocabulary
    from lib.lake.delta_tables import Lake

    build_vocabulary(Lake(spark, settings.storage), settings.captions)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task build_vocabulary."""
    main_of("build_vocabulary", __doc__, run, argv)


if __name__ == "__main__":
    main()
