"""The kind of a file that cannot be opened as an image, by its first bytes, so that the reason helps the user."""

import codecs

HEAD_BYTES = 4096
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
    b"II\xbc\x01": "JPEG XR",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"gimp xcf": "XCF",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"VjCD0100": "ChemDraw's CDX",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "HDR",
    b"DDS ": "DDS",
    b"qoif": "QOI",
    b"\x8aMNG": "MNG",
    b"icns": "ICNS",
    b"\0\0\x02\0": "ICO or TGA",
    b"8BPS": "Photoshop",
    b"\0\0\x01\0": "ICO",
    b"AT&TFORM": "DjVu",
    **{b"P%d%c" % (number, blank): "PBM, PGM or PPM" for number in range(1, 8) for blank in b" \n\r\t"},
}
# Of ISO media files the word `ftyp` and a brand stand behind the first four bytes.
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1")
BRANDS = {
    **dict.fromkeys(HEIC_BRANDS, "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "Canon's CR3",
    **dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"avc1", b"M4V ", b"qt  "), "a video"),
}
WITHIN = {128: (b"DICM", "DICOM"), 40: (b" EMF", "EMF")}  # what stands at a place of the head
OTHERS = {  # in lower case
    b"version https://git-lfs": "a Git LFS pointer: `git lfs pull` fetches the image",
    b"<!doctype html": "an HTML page, such as a failed download leaves",
    b"<html": "an HTML page, such as a failed download leaves",
    b"pk\x03\x04": "a zip archive: name it .zip",
    b"\x1f\x8b": "packed with gzip: unpack it",
    b"bzh": "packed with bzip2: unpack it",
    b"\xfd7zxz": "packed with xz: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"rar!": "a RAR archive: unpack it",
    b"data:image/": "text in Base64: decode it",
    b"ivborw0kggo": "text in Base64: decode it",
    b"/9j/": "text in Base64: decode it",
}


def reason_of_unopened(content: bytes) -> tuple[str, str]:
    """The reason, as in images_rejected, and the detail of a file that cannot be opened as an image."""
    head = content[:HEAD_BYTES]
    if known := _starting(head, READ) or ("WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None):
        return "corrupt_image", f"begins as {known} does; its header is damaged or of a kind that is not read"
    is_utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16", "replace").encode() if is_utf16 else head.removeprefix(codecs.BOM_UTF8)
    text = text.lstrip().lower()
    unread = BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else _starting(head, UNREAD)
    if not unread:
        unread = next((kind for at, (mark, kind) in WITHIN.items() if head[at:].startswith(mark)), None)
    other = _starting(text, OTHERS)
    if not unread and not other:
        unread = "PDF" if b"%pdf-" in text else "SVG" if text.startswith(b"<") and b"<svg" in text else None
    if unread:
        return "unsupported_format", f"{unread} is not read, whatever the file is called: convert it to PNG"
    return "not_an_image", other or f"begins with {content[:8]!r}"


def _starting(head: bytes, kinds: dict[bytes, str]) -> str | None:
    return next((kind for start, kind in kinds.items() if head.startswith(start)), None)
