"""The kind of a file that cannot be opened as an image, by its first bytes, so that the reason helps the user."""

from lib.foreign_kinds import as_text, foreign_kind, kind_among

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
    b"pk\x03\x04": "a zip archive: name it .zip",
    b"\x1f\x8b": "packed with gzip: unpack it",
    b"data:image/": "text in Base64: decode it",
    b"ivborw0kggo": "text in Base64: decode it",
    b"/9j/": "text in Base64: decode it",
}


def reason_of_unopened(content: bytes) -> tuple[str, str]:
    """The reason, as in images_rejected, and the detail of a file that cannot be opened as an image."""
    head = content[:HEAD_BYTES]
    if known := kind_among(READ, head) or ("WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None):
        return "corrupt_image", f"begins as {known} does; its header is damaged or of a kind that is not read"
    text = as_text(head)
    unread = BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else kind_among(UNREAD, head)
    if not unread:
        unread = next((kind for at, (mark, kind) in WITHIN.items() if head[at:].startswith(mark)), None)
    other = kind_among(OTHERS, text) or foreign_kind(head)
    if not unread and not other:
        unread = "PDF" if b"%pdf-" in text else "SVG" if text.startswith(b"<") and b"<svg" in text else None
    if unread:
        return "unsupported_format", f"{unread} is not read, whatever the file is called: convert it to PNG"
    return "not_an_image", other or f"begins with {content[:8]!r}"
