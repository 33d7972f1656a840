"""create_views: the files of sql/views -> views in the catalog and schema that the settings name."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from lib.job_entry import argument_parser, main_of
from lib.lake.delta_tables import Lake
from lib.settings import Settings
from lib.sql.views import SQL, publish_views, sql_folder

logger = logging.getLogger(__name__)


def run(spark: SparkSession, settings: Settings, sql: Path = SQL) -> None:
    """Create or replace every view; without a catalog there is no place that keeps them."""
    if settings.storage.catalog:
        publish_views(Lake(spark, settings.storage), sql)
    else:
        logger.info("create_views: storage.catalog is not set, so `make sql` makes the views for its own session")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task create_views."""
    conf = argument_parser("create_views", __doc__ or "").parse_args(argv).conf
    main_of("create_views", __doc__ or "", partial(run, sql=sql_folder(conf)), argv)


if __name__ == "__main__":
    main()
