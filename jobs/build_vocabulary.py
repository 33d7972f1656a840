"""build_vocabulary: captions -> vocabulary."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


def run(spark: "SparkSession", settings: Settings) -> None:
    """Build the vocabulary of the train captions, if a model is to be trained on them."""
    from lib.captions.reviewed_captions import why_nothing_is_learned
    from lib.captions.vocabulary_tables import build_vocabulary
    from lib.lake.delta_tables import Lake

    lake = Lake(spark, settings.storage)
    if why := why_nothing_is_learned(lake, settings.prediction.model_version, settings.captions):
        logger.info("not needed: %s", why)
        return
    build_vocabulary(lake, settings.captions)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task build_vocabulary."""
    main_of("build_vocabulary", __doc__, run, argv)


if __name__ == "__main__":
    main()
