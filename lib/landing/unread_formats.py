"""Formats of images and archives that are not read, by the endings of file names."""

from lib.sections.landing import LandingSettings

UNREAD_IMAGES = (
    ".ai",
    ".apng",
    ".arw",
    ".avif",
    ".avifs",
    ".bpg",
    ".cdx",
    ".cdxml",
    ".cr2",
    ".cr3",
    ".cur",
    ".dcm",
    ".dds",
    ".dib",
    ".djv",
    ".djvu",
    ".dng",
    ".emf",
    ".eps",
    ".exr",
    ".flif",
    ".hdr",
    ".heic",
    ".heics",
    ".heif",
    ".hif",
    ".icns",
    ".ico",
    ".j2c",
    ".j2k",
    ".jp2",
    ".jpc",
    ".jpeg2000",
    ".jpf",
    ".jpm",
    ".jps",
    ".jpx",
    ".jxl",
    ".jxr",
    ".mng",
    ".mpo",
    ".nef",
    ".orf",
    ".pam",
    ".pbm",
    ".pct",
    ".pcx",
    ".pdf",
    ".pef",
    ".pgm",
    ".pict",
    ".pjpeg",
    ".pnm",
    ".ppm",
    ".ps",
    ".psd",
    ".qoi",
    ".raf",
    ".ras",
    ".rw2",
    ".sgi",
    ".srw",
    ".svg",
    ".svgz",
    ".svs",
    ".tga",
    ".wbmp",
    ".wdp",
    ".wmf",
    ".xbm",
    ".xcf",
    ".xpm",
)
UNREAD_ARCHIVES = (
    ".7z",
    ".7z.001",
    ".arj",
    ".cab",
    ".cbr",
    ".cbz",
    ".iso",
    ".lha",
    ".lzh",
    ".rar",
    ".tar.br",
    ".tar.bz2",
    ".tar.lz",
    ".tar.lz4",
    ".tar.lzma",
    ".tar.xz",
    ".tar.z",
    ".tar.zst",
    ".taz",
    ".tb2",
    ".tbz",
    ".tbz2",
    ".tlz",
    ".txz",
    ".tzst",
    ".z01",
    ".z02",
    ".zip.001",
    ".zipx",
)
PACKERS = (".br", ".bz2", ".gz", ".lz", ".lz4", ".lzma", ".xz", ".z", ".zst")  # of single files


def unsupported_format(
    name: str, settings: LandingSettings, archives: tuple[str, ...] = UNREAD_ARCHIVES
) -> tuple[str, str] | None:
    """Reason and detail if a file of this name, in lower case, holds images in a format that is not read."""
    if name.endswith(settings.image_suffixes):
        return None
    for suffix in UNREAD_IMAGES + archives:
        if name.endswith(suffix):
            wanted = "PNG" if suffix in UNREAD_IMAGES else "a .zip or .tar.gz that lies in the landing zone itself"
            return "unsupported_format", f"{suffix} is not read: convert it to {wanted}"
    for packer in PACKERS:
        if name.endswith(packer) and name.removesuffix(packer).endswith(settings.image_suffixes):
            return "unsupported_format", f"an image packed as {packer} is not read: unpack it"
    return None
