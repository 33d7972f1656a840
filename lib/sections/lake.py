"""The sections on tables, Spark and upkeep."""

import os
import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _mounted(root: str) -> str:
    """The root as a path, without ~ and file:. Checkpoints and reports are written as files: other URLs are refused."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", root)
    if scheme and scheme.group() != "file:":
        # The rest is not repeated: it may hold a key.
        raise ValueError(f"{scheme.group()}... is a URL; name a path, on Databricks one under /Volumes")
    path = root.removeprefix("file:")
    if path.startswith("//"):
        host, slash, path = path[2:].partition("/")
        if host not in ("", "localhost"):
            raise ValueError(f"file://{host} is another machine; name a path of this one")
        path = slash + path
    if scheme and "%" in path:
        raise ValueError(f"{root!r} has a % in a URL, which programs read differently: name the path itself")
    if (path.strip() and path != path.strip()) or "$" in path:
        raise ValueError(f"{root!r} has blanks around it or a $, and no variable is put in here: write the path out")
    path = os.path.expanduser(path)
    if not path.strip() or path.startswith("~") or "\0" in path:
        raise ValueError(f"{root!r} is not a folder that can be used here: name a path")
    if "`" in os.path.abspath(path):
        raise ValueError(
            f"{os.path.abspath(path)} has a backtick, which Delta does not read in a path; name another folder"
        )
    return path


def _memory(size: str) -> str:
    """A memory size as Java takes it, with a unit: `4` would be four bytes."""
    if not re.fullmatch(r"[1-9]\d*[mg]", size, re.IGNORECASE):
        raise ValueError(f"{size!r} is not a size of memory such as 4g or 512m")
    return size


Memory = Annotated[str, AfterValidator(_memory)]


class StorageSettings(BaseModel):
    """Where tables and checkpoints live."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Annotated[str, AfterValidator(_mounted)]
    catalog: str | None
    schema_name: str | None

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        if bool(self.catalog) != bool(self.schema_name):
            raise ValueError(
                f"catalog is {self.catalog!r} and schema_name {self.schema_name!r}: name both, or neither for "
                "tables in storage.root"
            )
        for setting, name in (("catalog", self.catalog), ("schema_name", self.schema_name)):
            if name and re.search(r"[\s./\x00-\x1f\x7f]", name):
                raise ValueError(f"{setting} is {name!r}, and names have no blank, dot, slash or control character")
        return self


class SparkSettings(BaseModel):
    """An ordinary Spark session."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master: str
    driver_memory: Memory
    shuffle_partitions: int = Field(gt=0)
    arrow_records_per_batch: int = Field(gt=0)


class MaintenanceSettings(BaseModel):
    """How tables are kept in shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retain_hours: int = Field(ge=168)  # a run that reads or writes meanwhile may need files as old as itself
    file_bytes: int = Field(gt=0)
