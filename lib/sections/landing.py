"""The section on what arrives."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _without_credentials(path: str) -> str:
    """Settings are logged by every job, so a URL may not carry what opens the storage."""
    # abfss://container@account holds none.
    user = r"://[^/@]*:[^/@]*@|(http|ftp)s?://[^/@]*@"
    if re.search(rf"{user}|[?&][^=&]*(key|token|secret|signature|sig)[^=&]*=", path, re.IGNORECASE):
        raise ValueError("the URL holds a password or key, which every job would log: see Secrets in docs/runbook.md")
    return path


class LandingSettings(BaseModel):
    """Where pictures arrive and how the files beside them are laid out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_without_credentials)]
    image_suffixes: tuple[str, ...]
    captions_files: str
    image_id_column: str
    caption_column: str
    max_captions_per_image: int = Field(gt=0)
    layouts_files: str
    max_image_bytes: int = Field(gt=0)
    images_per_commit: int = Field(gt=0)
