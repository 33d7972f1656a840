"""Signed cookies that say who has signed in and until when, and the tokens that each form must carry.

The key that signs lies in the storage root, readable by its owner alone, so that sessions outlive a restart.
"""

import base64
import binascii
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple

NUM_BYTES = 32


class Session(NamedTuple):
    """Who has signed in, and by which key: a part of its hash."""

    name: str
    key: str


class Sessions:
    """Makes and reads cookies."""

    def __init__(self, root: str, hours: float) -> None:
        self.max_age_s = int(hours * 3600)
        self._key = _signing_key(Path(root) / "reviewing" / "session_key")

    def begin(self, session: Session) -> str:
        """The cookie of a new session."""
        values = {**session._asdict(), "until": time.time() + self.max_age_s}
        said = base64.urlsafe_b64encode(json.dumps(values).encode()).decode()
        return f"{said}.{self._sign('session', said)}"

    def session_in(self, cookie: str) -> Session | None:
        """The session of a cookie; None if the session has ended or the cookie was not made here."""
        said, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign("session", said).encode()):
            return None
        try:
            values = json.loads(base64.urlsafe_b64decode(said))
            session = Session(str(values["name"]), str(values["key"]))
            return session if values["until"] > time.time() else None
        except (binascii.Error, ValueError, KeyError, TypeError):
            return None

    def token(self, name: str) -> str:
        """What every form that this person gets carries, and no other site knows.

        It is the same in all sessions of a person, so that a form is still good when they have signed in again.
        """
        return self._sign("form", name)

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.digest(self._key, f"{purpose} {text}".encode(), "sha256").hex()


def _signing_key(path: Path) -> bytes:
    """The key, made by whoever comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        if not path.exists():
            with os.fdopen(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(secrets.token_bytes(NUM_BYTES))
            os.link(made, path)  # whole, or not at all where another process was faster
    except FileExistsError:
        pass
    finally:
        made.unlink(missing_ok=True)
    return path.read_bytes()
