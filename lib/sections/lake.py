"""The sections on tables, Spark and upkeep."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _mounted(root: str) -> str:
    """The path without file://. Checkpoints and reports are written as files, so other URLs are refused."""
    path = root.removeprefix("file://")
    if "://" in path:
        raise ValueError(f"{root} is a URL; name a path, on Databricks one under /Volumes")
    return path


class StorageSettings(BaseModel):
    """Where tables and checkpoints live."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Annotated[str, AfterValidator(_mounted)]
    catalog: str | None
    schema_name: str | None


class SparkSettings(BaseModel):
    """An ordinary Spark session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master: str
    driver_memory: str
    shuffle_partitions: int = Field(gt=0)
    arrow_records_per_batch: int = Field(gt=0)


class MaintenanceSettings(BaseModel):
    """How tables are kept in shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retain_hours: int = Field(ge=168)  # a run that reads or writes meanwhile may need files as old as itself
    file_bytes: int = Field(gt=0)
