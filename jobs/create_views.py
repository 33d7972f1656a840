"""create_views: the files of sql/views -> views in the catalog and schema that the settings name."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lib.job_entry import main_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)


def run(spark: "SparkSession", settings: Settings) -> None:
    """Create or replace every view of sql/, beside the settings' folder; without a catalog it does nothing."""
    from lib.lake.delta_tables import Lake
    from lib.sql.views import publish_views
    from lib.sql_folder import sql_folder

    if settings.storage.catalog:
        publish_views(Lake(spark, settings.storage), sql_folder(settings.conf))
    else:
        logger.info("not needed: storage.catalog is null, and `make sql` creates the views when it starts")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the bundle's task create_views."""
    main_of("create_views", __doc__ or "", run, argv)


if __name__ == "__main__":
    main()
