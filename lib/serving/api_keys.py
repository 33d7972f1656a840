"""API keys: each has a name, is shown once, is kept as a hash, and can be revoked while the server runs.

A key is 32 random bytes, too many to be found from a hash: SHA-256 without salt is enough.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from lib.errors import SettingsError
from model.whole_writes import written_whole

PREFIX = "cl_"  # lets people and scanners of code recognise a key
NUM_BYTES = 32


class KeyEntry(NamedTuple):
    """A key as it is kept."""

    name: str
    sha256: str
    created_at: str


class ApiKeys:
    """The keys of a storage root."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.path = Path(root) / "serving" / "api_keys.json"
        self._read: tuple[tuple[int, int, int] | None, dict[str, str]] = (None, {})  # the file's state, names by hash

    def entries(self) -> list[KeyEntry]:
        """All keys that were not revoked, the oldest first. Raises SettingsError if the file cannot be read."""
        try:
            return [KeyEntry(**entry) for entry in json.loads(self.path.read_text())]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._fault(error) from None
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{self.path} holds no keys ({error}): delete it and make new ones") from None

    def add(self, name: str) -> str:
        """Make a key and return it; it is kept nowhere. Raises SettingsError if the name is taken or odd."""
        if not re.fullmatch(r"[\w.@-]{1,64}", name):
            raise SettingsError(f"{name!r} is not a valid name for a key: use up to 64 letters, digits, and . @ - _")
        with self._locked():
            entries = self.entries()
            if name in (entry.name for entry in entries):
                raise SettingsError(f"there is a key {name!r} already: revoke it, or use another name")
            key = PREFIX + secrets.token_urlsafe(NUM_BYTES)
            self._write([*entries, KeyEntry(name, hash_of_key(key), datetime.now(UTC).isoformat(timespec="seconds"))])
        return key

    def revoke(self, name: str) -> None:
        """Make a key worthless from now on. Raises SettingsError if there is none of that name."""
        with self._locked():
            entries = self.entries()
            if name not in (entry.name for entry in entries):
                known = ", ".join(entry.name for entry in entries) or "none"
                raise SettingsError(f"there is no key {name!r} (there are: {known})")
            self._write([entry for entry in entries if entry.name != name])

    def name_of(self, key: str) -> str | None:
        """The name of a key; None for an unknown key. The file is read again when it has changed.

        Raises SettingsError if the file cannot be read.
        """
        try:
            status = self.path.stat()
            state = (status.st_mtime_ns, status.st_ino, status.st_size)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._fault(error) from None
        read_at, names = self._read
        if state != read_at:
            names = {entry.sha256: entry.name for entry in self.entries()}
            self._read = (state, names)  # at once: threads share it
        return names.get(hash_of_key(key))

    def _write(self, entries: list[KeyEntry]) -> None:
        with written_whole(self.path) as written:
            written.touch(mode=0o600)
            written.write_text(json.dumps([entry._asdict() for entry in entries], indent=2) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep two commands from writing at a time. Raises SettingsError if the folder cannot be written to."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise self._fault(error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _fault(self, error: OSError) -> SettingsError:
        return SettingsError(
            f"API keys in {self.path.parent} cannot be used ({error.strerror}): make keys and serve as the same user"
        )


def hash_of_key(key: str) -> str:
    """The form in which a key is kept: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()
