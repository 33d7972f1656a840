"""Joins the small files of every table and deletes files of versions older than the retention."""

import logging

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES
from lib.sections.lake import MaintenanceSettings

logger = logging.getLogger(__name__)


def maintain_tables(lake: Lake, settings: MaintenanceSettings) -> None:
    """Compact and vacuum every table that there is, and remove rows that killed runs have staged.

    May run beside other jobs, and be repeated.
    """
    lake.spark.conf.set("spark.databricks.delta.optimize.maxFileSize", str(settings.file_bytes))
    for name in TABLES:
        if lake.has(name):
            num_joined, num_files = lake.compact(name)
            lake.vacuum(name, settings.retain_hours)
            logger.info("%s: %d files joined into %d", name, num_joined, num_files)
    logger.info("rows of %d killed runs removed", lake.remove_stale_rows(settings.retain_hours))
