"""Every table's small files joined, and the files of versions beyond the retention deleted."""

import logging

from pydantic import BaseModel, ConfigDict, Field

from lib.lake.delta_tables import Lake
from lib.lake.schemas import TABLES

logger = logging.getLogger(__name__)


class MaintenanceSettings(BaseModel):
    """How tables are kept in shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retain_hours: int = Field(ge=168)  # a run that reads or writes meanwhile may need files as old as itself
    file_bytes: int = Field(gt=0)


def maintain_tables(lake: Lake, settings: MaintenanceSettings) -> None:
    """Compact and vacuum every table that there is. May run beside other jobs, and be repeated."""
    lake.spark.conf.set("spark.databricks.delta.optimize.maxFileSize", str(settings.file_bytes))
    for name in TABLES:
        if lake.has(name):
            num_joined, num_files = lake.compact(name)
            lake.vacuum(name, settings.retain_hours)
            logger.info("maintain_tables: %s: %d files joined into %d", name, num_joined, num_files)
