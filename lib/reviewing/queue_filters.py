"""The filters of the review queue, as the page's address holds them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Self
from urllib.parse import urlencode

from lib.serving.refusals import RefusedRequestError

REASONS = {
    "no_caption": "no caption",
    "invalid": "invalid",
    "low_confidence": "low confidence",
    "disputed": "disputed",
    "far": "far from the reference",
}
STATES = {"open": "to review", "mine": "reviewed by me", "reviewed": "reviewed by anyone", "all": "all"}
ALL_MODELS = "all"
MAX_TEXT = 200  # characters that are searched for


@dataclass(frozen=True)
class QueueFilters:
    """An empty text is no filter; the empty model is the newest one."""

    model: str = ""
    day: str = ""
    reason: str = ""
    state: str = "open"
    confidence_from: str = ""
    confidence_to: str = ""
    text: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """The filters of an address or a form. Raises RefusedRequestError naming the one that cannot be used."""
        filters = cls(**{name: query[name].strip() for name in asdict(cls()) if name in query})
        for name, known in (("reason", {"", *REASONS}), ("state", {"", *STATES})):
            if getattr(filters, name) not in known:
                raise RefusedRequestError(422, f"{name} must be one of {', '.join(sorted(known - {''}))}")
        try:
            date.fromisoformat(filters.day or "2026-01-01")
        except ValueError:
            raise RefusedRequestError(422, "day must be a date such as 2026-01-31") from None
        for name in ("confidence_from", "confidence_to"):
            try:
                is_fraction = 0 <= float(getattr(filters, name) or 0) <= 1
            except ValueError:
                is_fraction = False
            if not is_fraction:
                raise RefusedRequestError(422, f"{name.replace('_', ' ')} must be a number from 0 to 1")
        if len(filters.text) > MAX_TEXT:
            raise RefusedRequestError(422, f"search for {MAX_TEXT} characters at most, not {len(filters.text):,}")
        return replace(filters, state=filters.state or "open")

    def query(self, **others: str) -> str:
        """The filters and `others` as the query of an address, beginning with ?; those that filter nothing left out."""
        said = {name: value for name, value in asdict(self).items() if value and (name, value) != ("state", "open")}
        return "?" + urlencode(said | others)
