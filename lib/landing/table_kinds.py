"""The kind of a file that is neither a text nor an archive that is read, by its first bytes, for messages to users."""

from lib.foreign_kinds import as_text, foreign_kind, kind_among

HEAD_BYTES = 64
KINDS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "Parquet",
    b"ARROW1\0": "Arrow",
    b"Obj\x01": "Avro",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "an array of NumPy",
    b"SQLite format 3\0": "a database",
    b"%PDF-": "PDF",
    b"{\\rtf": "RTF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
}


def kind_of_no_table(head: bytes) -> str | None:
    """The kind of a file with these first bytes; None if it may be a text."""
    return kind_among(KINDS, head) or foreign_kind(head) or ("XML" if as_text(head).startswith(b"<?xml") else None)
