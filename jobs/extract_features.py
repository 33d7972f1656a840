"""extract_features: images_clean -> image_features, where the encoder is frozen."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


def run(spark: "SparkSession", settings: Settings) -> None:
    """Encode what the frozen encoder of the settings has not encoded yet."""
    if not settings.captioner.has_lasting_features:  # said without loading PyTorch
        logger.info("not needed: captioner.is_encoder_frozen is false, or its weights are random")
        return
    from lib.images.features import extract_new_features
    from lib.lake.delta_tables import Lake

    extract_new_features(Lake(spark, settings.storage), settings.captioner)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task extract_features."""
    main_of("extract_features", __doc__, run, argv)


if __name__ == "__main__":
    main()
