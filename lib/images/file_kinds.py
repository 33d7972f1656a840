"""The kind of a file that cannot be opened as an image, by its first bytes, so that the reason helps the user."""

HEAD_BYTES = 1024
READ = {  # what files of the formats that are read begin with
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"GIF8": "GIF",
    b"BM": "BMP",
}
UNREAD = {
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"%PDF": "PDF",
    b"%!PS": "PostScript",
    b"8BPS": "Photoshop",
    b"\0\0\x01\0": "ICO",
    b"AT&TFORM": "DjVu",
    b"P4\n": "PBM",
    b"P5\n": "PGM",
    b"P6\n": "PPM",
}
# Of ISO media files the word `ftyp` and a brand stand behind the first four bytes.
BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF", b"avis": "AVIF"}
OTHERS = {  # in lower case
    b"version https://git-lfs": "a Git LFS pointer: `git lfs pull` fetches the image",
    b"<!doctype html": "an HTML page, such as a failed download leaves",
    b"<html": "an HTML page, such as a failed download leaves",
    b"pk\x03\x04": "a zip archive: name it .zip",
    b"\x1f\x8b": "packed with gzip: unpack it",
}


def reason_of_unopened(content: bytes) -> tuple[str, str]:
    """The reason, as in images_rejected, and the detail of a file that cannot be opened as an image."""
    head = content[:HEAD_BYTES]
    if known := _starting(head, READ) or ("WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None):
        return "corrupt_image", f"begins as {known} does; its header is damaged or of a kind that is not read"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    unread = BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else _starting(head, UNREAD)
    if not unread and text.startswith((b"<svg", b"<?xml")) and b"<svg" in text:
        unread = "SVG"
    if unread:
        return "unsupported_format", f"{unread} is not read, whatever the file is called: convert it to PNG"
    return "not_an_image", _starting(text, OTHERS) or f"begins with {content[:8]!r}"


def _starting(head: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((kind for start, kind in kinds.items() if head.startswith(start)), None)
