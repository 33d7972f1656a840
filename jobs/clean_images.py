"""clean_images: images_raw -> images_clean, images_rejected."""

from collections.abc import Sequence

from pyspark.sql import SparkSession

from lib.images.cleaning_udfs import clean_new_images
from lib.job_entry import main_of
from lib.lake.delta_tables import Lake
from lib.settings import Settings


def run(spark: SparkSession, settings: Settings) -> None:
    """Clean what the present cleaning settings have not cleaned yet."""
    clean_new_images(Lake(spark, settings.storage), settings.cleaning)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task clean_images."""
    main_of("clean_images", __doc__, run, argv)


if __name__ == "__main__":
    main()
