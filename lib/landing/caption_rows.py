"""A row of a caption file, and what makes its text unusable."""

import re
from typing import NamedTuple

MAX_LINE_CHARS = 1_000_000
MAX_DETAIL_CHARS = 500
MAX_NAME_SHOWN = 100  # characters of an image's name in a message
# Of what is no text: decoders put U+FFFD for what they cannot read, and JSON can write halves of a sign.
UNREADABLE = re.compile("[\0\ufffd\ud800-\udfff]")


class CaptionRow(NamedTuple):
    """A row of a caption file. `position` counts rows from 1, the header and empty lines left out.

    `reason` is one of lib.lake.schemas.REJECTION_REASONS, with `detail` for people, or both are None. `path` is the
    image's path without suffix as the row names it: the image_id, or more where that is a name and the row has folders.
    """

    image_id: str
    caption: str | None
    source: str
    position: int
    reason: str | None
    detail: str | None
    path: str


def other_notation(caption: str, prefixes: tuple[str, ...]) -> str:
    """For people, why a caption that begins with none of the prefixes is rejected."""
    return (
        f"{caption[:MAX_DETAIL_CHARS]!r} does not begin with {' or '.join(prefixes)}: "
        "landing.captions_notation names what captions are converted from, such as smiles"
    )
