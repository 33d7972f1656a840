"""The section on what arrives."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator


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


def _without_commas(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        if "," in pattern:
            several = [part.strip() for part in pattern.split(",")]
            raise ValueError(f"{pattern!r} is one pattern: write {several}, or ? where a name has a comma")
    return patterns


def _without_folders(name: str) -> str:
    if "/" in name:
        raise ValueError(
            f"{name!r} has a folder, and files are told by their names alone: write {name.rpartition('/')[2]!r}"
        )
    return name


FileName = Annotated[str, AfterValidator(_without_folders)]  # or a pattern of names


def _text_encoding(name: str | None) -> str | None:
    if name is not None:
        try:
            "x".encode(name)
        except LookupError:
            raise ValueError(f"there is no text encoding {name!r}") from None
    return name


def _as_endings(suffixes: tuple[str, ...]) -> tuple[str, ...]:
    """Endings in lower case, each with its dot: without it `a.png` would be an image called `a.`."""
    if not suffixes or not all(re.fullmatch(r"\.[^./\\]+", suffix) for suffix in suffixes):
        raise ValueError(f"{list(suffixes)} must be endings such as .png, at least one, each with one dot")
    return tuple(suffix.lower() for suffix in suffixes)


class LandingSettings(BaseModel):
    """Where images arrive and how the files beside them are laid out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_without_credentials)]
    image_suffixes: Annotated[tuple[str, ...], BeforeValidator(_as_patterns), AfterValidator(_as_endings)]
    image_id: Literal["name", "path", "path_with_archive"]
    member_name_encoding: Annotated[str | None, AfterValidator(_text_encoding)]
    captions_files: Annotated[tuple[FileName, ...], BeforeValidator(_as_patterns), AfterValidator(_without_commas)]
    captions_notation: str | None
    captions_encoding: Annotated[str | None, AfterValidator(_text_encoding)]
    image_id_column: str
    caption_column: str
    max_captions_per_image: int = Field(gt=0)
    layouts_files: FileName
    split_files: dict[Literal["train", "validation", "test"], FileName]
    max_image_bytes: int = Field(gt=0)
    images_per_commit: int = Field(gt=0)

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        """An image's name is no caption."""
        if self.image_id_column == self.caption_column:
            raise ValueError(f"image_id_column and caption_column are both {self.caption_column}, and must differ")
        return self
