"""Files that are neither an image nor a table nor an archive that is read, by how they begin, so that people know."""

import codecs

KINDS = {  # in lower case
    b"version https://git-lfs": "a Git LFS pointer (`git lfs pull` fetches the file)",
    b"<!doctype html": "an HTML page, such as a failed download leaves",
    b"<html": "an HTML page, such as a failed download leaves",
    b"bzh": "packed with bzip2 (unpack it)",
    b"\xfd7zxz\0": "packed with xz (unpack it)",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard (unpack it)",
    b"\x04\x22\x4d\x18": "packed with LZ4 (unpack it)",
    b"\x1f\x9d": "packed with compress (unpack it)",
    b"7z\xbc\xaf": "a 7z archive (unpack it)",
    b"rar!\x1a": "a RAR archive (unpack it)",
}


def foreign_kind(head: bytes) -> str | None:
    """The kind of a file with these first bytes; None if it is none of KINDS."""
    return kind_among(KINDS, as_text(head))


def kind_among(kinds: dict[bytes, str], head: bytes) -> str | None:
    """The kind whose mark these first bytes begin with."""
    return next((kind for mark, kind in kinds.items() if head.startswith(mark)), None)


def as_text(head: bytes) -> bytes:
    """The first bytes of a text in lower case, without blanks and the mark of an encoding in front, UTF-16 as UTF-8."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        head = head.decode("utf-16", "replace").encode()
    return head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
