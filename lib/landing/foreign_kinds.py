"""What files are that are no text and no archive that is read, by how they begin, so that people know what to do."""

HEAD_BYTES = 64
KINDS = {  # in lower case
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"par1": "Parquet",
    b"arrow1": "Arrow",
    b"obj\x01": "Avro",
    b"\x89hdf": "HDF5",
    b"\x93numpy": "an array of NumPy",
    b"sqlite format 3\0": "a database",
    b"bzh": "packed with bzip2",
    b"\xfd7zxz\0": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with Zstandard",
    b"\x04\x22\x4d\x18": "packed with LZ4",
    b"\x1f\x9d": "packed with compress",
    b"7z\xbc\xaf": "a 7z archive",
    b"rar!": "a RAR archive",
    b"%pdf-": "PDF",
    b"{\\rtf": "RTF",
    b"\x89png": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"version https://git-lfs": "a Git LFS pointer (`git lfs pull` fetches the file)",
    b"<!doctype html": "an HTML page, such as a failed download leaves",
    b"<html": "an HTML page, such as a failed download leaves",
    b"<?xml": "XML",
}


def foreign_kind(head: bytes) -> str | None:
    """What a file is that begins so; None if it is none of KINDS."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for beginning, kind in KINDS.items() if start.startswith(beginning)), None)
