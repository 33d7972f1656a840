"""The section on the page where people review captions."""

from typing import ClassVar, Literal

from pydantic import Field

from lib.sections.serving import ListeningSettings

Role = Literal["look", "review", "admin"]


class ReviewingSettings(ListeningSettings):
    """How captions are reviewed; conf/base.yaml says what each means."""

    section: ClassVar[str] = "reviewing"

    proxy_header: str | None = Field(pattern=r"^[A-Za-z0-9-]+$")
    proxy_addresses: tuple[str, ...]
    default_role: Role
    roles: dict[str, Role]
    session_hours: float = Field(gt=0)
    images_per_page: int = Field(gt=0, le=500)
    max_caption_characters: int = Field(gt=0)
