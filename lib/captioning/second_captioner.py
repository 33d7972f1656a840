"""A second captioner, whose caption is in the same answer as ours: its interface and its name."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal, NamedTuple, Protocol

from lib.lake.registered_models import IN_THE_REGISTRY

NEAREST_NEIGHBOURS = "nearest_neighbours"  # the one that ships, in settings and answers

Outcome = Literal["captioned", "failed", "late", "unavailable"]


class SecondCaption(NamedTuple):
    """The second captioner's caption of an image; without a caption, `reason` is one sentence why."""

    caption: str | None
    reason: str | None = None
    outcome: Outcome = "captioned"
    fault: str | None = None  # what went wrong, for the log alone: it may hold addresses or keys


class SecondCaptioner(Protocol):
    """Any captioner that may stand beside ours."""

    def caption(self, images: Sequence[bytes]) -> list[SecondCaption]:
        """One entry for each image file, in the order given."""


def failed(reason: str, fault: str | None = None) -> SecondCaption:
    """An image that the second captioner has no caption for."""
    return SecondCaption(None, reason, "failed", fault)


def shown_name(name: str) -> str:
    """The name of a second captioner in answers, without the path of a model's folder."""
    if name == NEAREST_NEIGHBOURS or name.startswith(IN_THE_REGISTRY):
        return name
    return PurePath(name.split("?")[0]).name
