"""The section on what arrives."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _without_credentials(path: str) -> str:
    """Settings are logged by every job, so a URL may not carry what opens the storage."""
    # abfss://container@account holds none.
    user = r"://[^/@]*:[^/@]*@|(http|ftp)s?://[^/@]*@"
    if re.search(rf"{user}|[?&][^=&]*(key|token|secret|signature|sig)[^=&]*=", path, re.IGNORECASE):
        raise ValueError("the URL holds a password or key, which every job would log: see Secrets in docs/runbook.md")
    return path


def _as_patterns(patterns: object) -> object:
    """One pattern may be written without brackets."""
    return (patterns,) if isinstance(patterns, str) else patterns


def _text_encoding(name: str | None) -> str | None:
    if name is not None:
        try:
            "x".encode(name)
        except LookupError:
            raise ValueError(f"there is no text encoding {name!r}") from None
    return name


class LandingSettings(BaseModel):
    """Where images arrive and how the files beside them are laid out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_without_credentials)]
    image_suffixes: tuple[str, ...]
    image_id: Literal["name", "path", "path_with_archive"]
    member_name_encoding: Annotated[str | None, AfterValidator(_text_encoding)]
    captions_files: Annotated[tuple[str, ...], BeforeValidator(_as_patterns)]
    captions_notation: str | None
    captions_encoding: Annotated[str | None, AfterValidator(_text_encoding)]
    image_id_column: str
    caption_column: str
    max_captions_per_image: int = Field(gt=0)
    layouts_files: str
    split_files: dict[Literal["train", "validation", "test"], str]
    max_image_bytes: int = Field(gt=0)
    images_per_commit: int = Field(gt=0)
