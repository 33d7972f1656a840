"""Short hashes of settings and values: equal values give the same name on any machine."""

import dataclasses
import hashlib
import json
import subprocess
from pathlib import Path

from pydantic import BaseModel


def fingerprint(*parts: object) -> str:
    """12 hexadecimal digits that name the given settings or plain values."""
    plain = [_plain(part) for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def git_commit() -> str | None:
    """The commit of the checkout that this code lies in; None for an installed wheel, or without git."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _plain(part: object) -> object:
    if isinstance(part, BaseModel):
        return part.model_dump(mode="json")
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return dataclasses.asdict(part)
    return part
