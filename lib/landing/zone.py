"""What has arrived: pictures in folders and archives, read member by member through fsspec, never whole.

Knows nothing of Spark. An `Arrival` says where one picture lies; reading it is a second step, so that a big archive
is split by members and read by many tasks at once.
"""

import fnmatch
import gzip
import io
import posixpath
import re
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple

import fsspec

from lib.errors import LandingZoneError
from lib.landing.caption_file_names import may_hold_captions
from lib.sections.landing import LandingSettings

ZIP_SUFFIXES = (".zip",)
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, struct.error)  # what broken bytes raise
PACKED_TAR = r"(?i)\.(tar\.gz|tgz)$"  # names of files that can be read from their beginning alone
ARCHIVE_SUFFIX = r"(?i)\.(zip|tar|tar\.gz|tgz)$"
MEMBER_MARK = "!"  # stands between an archive and its member in `source`
ZIP_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then lengths of name and extra field (APPNOTE.TXT 4.3.7)


class LandedFile(NamedTuple):
    """A file of the landing zone. `modified_at` is the storage's time stamp or entity tag, as text."""

    path: str
    num_bytes: int
    modified_at: str


class Arrival(NamedTuple):
    """One picture that has arrived, or the reason why it cannot be read.

    `offset` is where the member's bytes begin in the (decompressed) archive, for a zip where its local header begins;
    `num_packed_bytes` is what it takes there. `reason` is one of lib.lake.schemas.REJECTION_REASONS or None.
    """

    image_id: str
    source: str
    path: str
    kind: Literal["file", "zip", "tar"]
    offset: int
    num_bytes: int
    num_packed_bytes: int
    compression: int
    checksum: int
    reason: str | None
    detail: str | None


@dataclass(frozen=True)
class LandingZone:
    """The files of a landing zone, by kind."""

    pictures: list[LandedFile]
    archives: list[LandedFile]
    captions: list[LandedFile]
    layouts: list[LandedFile]
    num_other: int


def list_landing_zone(settings: LandingSettings) -> LandingZone:
    """List the landing zone. Raises LandingZoneError if it is not there or nothing in it is a picture."""
    try:
        filesystem, root = fsspec.core.url_to_fs(settings.path)
    except (ImportError, ValueError) as error:
        raise LandingZoneError(f"landing.path {settings.path} cannot be opened: {error}") from None
    if not filesystem.exists(root):
        raise LandingZoneError(f"landing.path {settings.path} does not exist")
    zone = LandingZone([], [], [], [], 0)
    num_other = 0
    for path, info in sorted(filesystem.find(root, detail=True).items()):
        if info["size"] is None:
            raise LandingZoneError(f"landing.path {settings.path} does not say how large its files are")
        landed = LandedFile(str(filesystem.unstrip_protocol(path)), int(info["size"]), _modified_at(info))
        name = posixpath.basename(path).lower()
        if name.startswith("."):
            num_other += 1
        elif name.endswith(settings.image_suffixes):
            zone.pictures.append(landed)
        elif name.endswith(ZIP_SUFFIXES + TAR_SUFFIXES):
            zone.archives.append(landed)
        elif may_hold_captions(name, settings):
            zone.captions.append(landed)
        elif fnmatch.fnmatch(name, settings.layouts_files.lower()):
            zone.layouts.append(landed)
        else:
            num_other += 1
    if not zone.pictures and not zone.archives:
        raise LandingZoneError(
            f"landing.path {settings.path} holds no picture ({', '.join(settings.image_suffixes)}) and no archive "
            f"({', '.join(ZIP_SUFFIXES + TAR_SUFFIXES)})"
        )
    return LandingZone(zone.pictures, zone.archives, zone.captions, zone.layouts, num_other)


def image_id_of(path: str, settings: LandingSettings) -> str:
    """The id of the picture at `path`, which is relative to the landing zone's root or to its archive's.

    `a/b/0001.png` gives `0001` if landing.image_id is `name`, else `a/b/0001`. The Unicode form is NFC.
    """
    folders = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")
    parts = [part for part in folders if part not in ("", ".")]
    name = "/".join(parts[-1:] if settings.image_id == "name" else parts)
    for suffix in sorted(settings.image_suffixes, key=len, reverse=True):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def relative_path(path: str, settings: LandingSettings) -> str:
    """The path of a landed file relative to the landing zone's root."""
    filesystem, root = fsspec.core.url_to_fs(settings.path)
    return path.removeprefix(str(filesystem.unstrip_protocol(root)).rstrip("/") + "/")


def list_arrivals(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    """The pictures in a landed file: itself, or the members of the archive it is.

    A damaged archive gives the members before the damage and one more row with reason unreadable_archive; an archive
    that cannot be reached (OSError) stops the job, for the next run may reach it.
    """
    lowered = file.path.lower()
    if not lowered.endswith(ZIP_SUFFIXES + TAR_SUFFIXES):
        yield _checked(Arrival(
            image_id_of(relative_path(file.path, settings), settings), file.path, file.path, "file", 0, file.num_bytes,
            file.num_bytes, 0, 0, None, None,
        ), settings)
        return
    members = _zip_members(file, settings) if lowered.endswith(ZIP_SUFFIXES) else _tar_members(file, settings)
    try:
        for arrival in members:
            yield _checked(arrival, settings)
    except (*DAMAGE, tarfile.TarError, NotImplementedError) as error:
        name = posixpath.basename(file.path)
        yield Arrival(name, file.path, file.path, "file", 0, 0, 0, 0, 0, "unreadable_archive", str(error))


def read_arrivals(arrivals: Iterable[Arrival]) -> Iterator[tuple[Arrival, bytes | None, str | None, str | None]]:
    """The bytes of each arrival as (arrival, bytes, reason, detail); either bytes or reason is None.

    Neighbours of one archive share one open file, so arrivals are best sorted by path and offset.
    """
    open_path: str | None = None
    file: IO[bytes] | None = None
    try:
        for arrival in arrivals:
            try:
                if arrival.path != open_path:
                    if file is not None:
                        file.close()
                    open_path, file = None, None
                    file = open_landed(arrival.path)
                    open_path = arrival.path
                assert file is not None
                yield arrival, _read_member(file, arrival), None, None
            except DAMAGE as error:
                reason = "unreadable_member" if arrival.kind != "file" else "corrupt_image"
                yield arrival, None, reason, f"{type(error).__name__}: {error}"
    finally:
        if file is not None:
            file.close()


def open_landed(path: str) -> IO[bytes]:
    """A landed file's bytes, unpacked if it is a packed tar."""
    # Not fsspec.open, which takes a file name with '::' in it for a chain of file systems.
    file = fsspec.filesystem(path.partition("://")[0]).open(path, "rb")
    return gzip.GzipFile(fileobj=file) if re.search(PACKED_TAR, path) else file  # type: ignore[return-value]


def _read_member(file: IO[bytes], arrival: Arrival) -> bytes:
    if arrival.kind != "zip":
        file.seek(arrival.offset)
        content = file.read(arrival.num_bytes)
        if len(content) != arrival.num_bytes:
            raise EOFError(f"{len(content)} bytes where {arrival.num_bytes} were listed")
        return content
    file.seek(arrival.offset)
    signature, name_length, extra_length = ZIP_LOCAL_HEADER.unpack(file.read(ZIP_LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise zipfile.BadZipFile("no member where the archive's directory says there is one")
    file.seek(name_length + extra_length, io.SEEK_CUR)
    packed = file.read(arrival.num_packed_bytes)
    # At most one byte more than listed is unpacked, so a member that lies about its size cannot fill the memory.
    content = packed if arrival.compression == zipfile.ZIP_STORED else _inflate(packed, arrival.num_bytes + 1)
    if len(content) != arrival.num_bytes or zlib.crc32(content) != arrival.checksum:
        raise zipfile.BadZipFile("the member's bytes do not match its listed size and checksum")
    return content


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max_bytes)


def _zip_members(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    with open_landed(file.path) as stream, zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            if member.is_dir() or not _is_picture(member.filename, settings):
                continue
            reason = detail = None
            if member.flag_bits & 0x1:
                reason, detail = "unreadable_member", "the member is encrypted"
            elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                reason, detail = "unreadable_member", f"compression method {member.compress_type} is not read"
            yield _member(
                file, member.filename, "zip", member.header_offset, member.file_size, settings,
                packed=member.compress_size, compression=member.compress_type, checksum=member.CRC,
                reason=reason, detail=detail,
            )


def _tar_members(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    with open_landed(file.path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        while (member := archive.next()) is not None:
            if not member.isdir() and _is_picture(member.name, settings):
                yield _member(
                    file, member.name, "tar", member.offset_data, member.size, settings,
                    reason=None if member.isreg() else "unreadable_member",
                    detail=None if member.isreg() else "the member is a link or device, not a file",
                )
            # tarfile keeps every member it has seen; an archive of millions would not fit.
            archive.members.clear()  # type: ignore[attr-defined]
        # tarfile takes a broken header for the end, which is a block of zeros.
        stream.seek(archive.offset)  # type: ignore[attr-defined]
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"damaged or cut at byte {archive.offset}")  # type: ignore[attr-defined]


def _path_of_member(archive: str, name: str, settings: LandingSettings) -> str:
    """The member's path in its archive, with the archive's own path before it if landing.image_id asks for it."""
    if settings.image_id != "path_with_archive":
        return name
    return re.sub(ARCHIVE_SUFFIX, "", relative_path(archive, settings)) + "/" + name


def _member(
    file: LandedFile, name: str, kind: Literal["zip", "tar"], offset: int, num_bytes: int, settings: LandingSettings, *,
    packed: int = 0, compression: int = 0, checksum: int = 0, reason: str | None = None, detail: str | None = None,
) -> Arrival:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name):
        reason, detail = "unsafe_path", f"the member is called {name!r}"
    image_id = image_id_of(_path_of_member(file.path, name, settings), settings)
    return Arrival(
        image_id, f"{file.path}{MEMBER_MARK}{name}", file.path, kind, offset, num_bytes, packed, compression, checksum, reason,
        detail,
    )


def _checked(arrival: Arrival, settings: LandingSettings) -> Arrival:
    """The arrival with a reason if it is larger than may be read."""
    if arrival.reason or max(arrival.num_bytes, arrival.num_packed_bytes) <= settings.max_image_bytes:
        return arrival
    is_bomb = arrival.kind == "zip" and arrival.num_packed_bytes <= settings.max_image_bytes
    return arrival._replace(
        reason="decompression_bomb" if is_bomb else "too_many_bytes",
        detail=f"{arrival.num_bytes:,} bytes; at most {settings.max_image_bytes:,} are read",
    )


def _is_picture(name: str, settings: LandingSettings) -> bool:
    base = posixpath.basename(name.replace("\\", "/"))
    is_hidden = base.startswith(".") or name.startswith("__MACOSX/")
    return not is_hidden and base.lower().endswith(settings.image_suffixes)


def _modified_at(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created"):
        if info.get(key) is not None:
            return str(info[key])
    return ""
