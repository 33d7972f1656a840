"""A captioner beside ours in the same answer: what it says of an image, and how it is called."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal, NamedTuple, Protocol

from lib.lake.registered_models import IN_THE_REGISTRY

NEAREST_NEIGHBOURS = "nearest_neighbours"  # the one that ships, in settings and answers

Outcome = Literal["captioned", "failed", "late", "unavailable"]


class SecondCaption(NamedTuple):
    """What the second captioner says of an image; without a caption `reason` says in one sentence why."""

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
    """How a second captioner is called in answers: where a model's folder lies is nobody's business."""
    if name == NEAREST_NEIGHBOURS or name.startswith(IN_THE_REGISTRY):
        return name
    return PurePath(name.split("?")[0]).name
