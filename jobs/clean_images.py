"""clean_images: images_raw -> images_clean, images_rejected."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Clean what the present cleaning settings have not cleaned yet."""
    from lib.images.cleaning_udfs import clean_new_images
    from lib.lake.delta_tables import Lake

    clean_new_images(Lake(spark, settings.storage), settings.cleaning)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task clean_images."""
    main_of("clean_images", __doc__, run, argv)


if __name__ == "__main__":
    main()
