"""The error of a refused request: its HTTP status and one sentence."""

from collections.abc import Iterable

from lib.errors import CaptionlakeError

HUNG_UP = "the client hung up"
UNKNOWN_KEY = "this API key is unknown or was revoked: ask for another one"
LOADING = "the models are being loaded: try again in a moment"


class RefusedRequestError(CaptionlakeError):
    """Raised when a request cannot be answered; the message says what to change."""

    def __init__(self, status: int, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_s = retry_after_s


def check_dataset(dataset: str, known: Iterable[str]) -> None:
    """Raise RefusedRequestError if there is no model for the dataset of a request."""
    if dataset not in known:
        raise RefusedRequestError(422, f"no model for dataset {dataset!r} here; there are: {', '.join(known)}")
