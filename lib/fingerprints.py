"""Short names for what made something: the same values give the same name, on any machine."""

import dataclasses
import hashlib
import json

from pydantic import BaseModel


def fingerprint(*parts: object) -> str:
    """12 hexadecimal digits that name the given settings or plain values."""
    plain = [_plain(part) for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def _plain(part: object) -> object:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return dataclasses.asdict(part)
    return part
