"""The error of a refused request: its HTTP status and one sentence."""

from lib.errors import CaptionlakeError

HUNG_UP = "the client hung up"


class RefusedRequestError(CaptionlakeError):
    """Raised when a request cannot be answered; the message says what to change."""

    def __init__(self, status: int, sentence: str, retry_after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.retry_after_s = retry_after_s
