"""predict_captions: images_clean and the current model -> caption_predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def run(spark: "SparkSession", settings: Settings) -> None:
    """Caption the images that the model has not captioned yet, and score what has a reference."""
    from lib.captioning.caption_prediction import predict_new_images
    from lib.lake.delta_tables import Lake

    predict_new_images(Lake(spark, settings.storage), settings)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task predict_captions."""
    main_of("predict_captions", __doc__, run, argv)


if __name__ == "__main__":
    main()
