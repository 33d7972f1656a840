"""What files are that are no text and no archive that is read, by how they begin, so that people know what to do."""

HEAD_BYTES = 64
KINDS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"PAR1": "Parquet",
    b"ARROW1\0": "Arrow",
    b"Obj\x01": "Avro",
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "an array of NumPy",
    b"SQLite format 3\0": "a database",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\0": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"\x1f\x9d": "packed with compress",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!\x1a": "a RAR archive",
    b"%PDF-": "PDF",
    b"{\\rtf": "RTF",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"version https://git-lfs": "a Git LFS pointer (`git lfs pull` fetches the file)",
}
TEXTS = {  # in lower case, behind blanks
    b"<!doctype html": "an HTML page, such as a failed download leaves",
    b"<html": "an HTML page, such as a failed download leaves",
    b"<?xml": "XML",
}


def foreign_kind(head: bytes) -> str | None:
    """What a file is that begins so; None if it is none of these."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    kinds = [kind for beginning, kind in KINDS.items() if head.startswith(beginning)]
    kinds += [kind for beginning, kind in TEXTS.items() if text.startswith(beginning)]
    return next(iter(kinds), None)
