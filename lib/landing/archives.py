"""Images in landed files, read member by member, never a whole archive.

Knows nothing of Spark. An `Arrival` says where one image lies; reading it is a second step, so that a big archive
is split by members and read by many tasks at once.
"""

import errno
import gzip
import posixpath
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Literal

from lib.hidden_files import is_hidden
from lib.landing.bounded_tar import is_plain_file, tar_members
from lib.landing.caption_file_names import is_table
from lib.landing.file_access import GZIP_MAGIC, open_as_it_is, open_landed, relative_path
from lib.landing.image_names import image_id_of, unreadable_name
from lib.landing.table_kinds import HEAD_BYTES, kind_of_no_table
from lib.landing.unread_formats import UNREAD_ARCHIVES, unsupported_format
from lib.landing.zip_directory import END_MAGIC, LOCAL_MAGIC, member_name, seek_content, zip_entries
from lib.landing.zone import ARCHIVE_SUFFIXES, MEMBER_MARK, ZIP_SUFFIXES, Arrival, LandedFile
from lib.sections.landing import LandingSettings

# What broken bytes raise when a member is read, and when an archive is listed.
MEMBER_ERRORS = (zipfile.BadZipFile, gzip.BadGzipFile, EOFError, zlib.error, struct.error)
LISTING_ERRORS = (*MEMBER_ERRORS, tarfile.TarError, RecursionError, ValueError, OverflowError)
# Reasons of rows that are no images: `num_bytes` counts members of an archive that are skipped, `detail` names one.
HIDDEN_MEMBERS, OTHER_MEMBERS = "hidden_members", "other_members"
# It is gone, locked, on a bad sector, or no file that can be read from its middle; what else fails may fail for all.
OF_ONE_FILE = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EIO, errno.EINVAL)
LINK = "the member is a link or device, not a file"
ZIP_MAGICS = (LOCAL_MAGIC, END_MAGIC)

Outcome = tuple[Arrival, bytes | None, str | None, str | None]


def list_arrivals(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    """The images in a landed file: itself, or the members of the archive it is.

    A damaged archive gives the members before the damage and one more row with reason unreadable_archive; an archive
    that cannot be reached (OSError) stops the job, for the next run may reach it. Where members are hidden, or neither
    images nor tables, one row with reason HIDDEN_MEMBERS or OTHER_MEMBERS counts them.
    """
    name = posixpath.basename(file.path)
    if not name.lower().endswith(ARCHIVE_SUFFIXES):
        yield _checked(
            Arrival(
                image_id_of(relative_path(file.path, settings), settings),
                file.path,
                file.path,
                num_bytes=file.num_bytes,
                num_packed_bytes=file.num_bytes,
                file_version=_time_stamp(file),
            ),
            settings,
        )
        return
    skipped: dict[str, Arrival] = {}
    try:
        for arrival in _members(file, settings):
            if arrival.reason in (HIDDEN_MEMBERS, OTHER_MEMBERS):
                first = skipped.get(arrival.reason) or Arrival(
                    name, file.path, file.path, num_bytes=0, reason=arrival.reason, detail=arrival.detail
                )
                skipped[arrival.reason] = first._replace(num_bytes=first.num_bytes + 1)
            else:
                yield _checked(arrival, settings)
    except LISTING_ERRORS as error:
        detail = _other_kind(file.path) or str(error)
        yield Arrival(name, file.path, file.path, reason="unreadable_archive", detail=detail)
    yield from skipped.values()


def read_arrivals(arrivals: Iterable[Arrival]) -> Iterator[Outcome]:
    """The bytes of each arrival as (arrival, bytes, reason, detail); either bytes or reason is None.

    One that has a reason already keeps it and is not read. Neighbours of one archive share one open file, so arrivals
    are best sorted by path and offset.
    """
    open_path: str | None = None
    file: IO[bytes] | None = None
    try:
        for arrival in arrivals:
            if arrival.reason:
                yield arrival, None, arrival.reason, arrival.detail
                continue
            try:
                if arrival.path != open_path:
                    if file is not None:
                        file.close()
                    open_path, file = None, None
                    file = open_as_it_is(arrival.path) if arrival.kind == "file" else open_landed(arrival.path)
                    open_path = arrival.path
                assert file is not None
                yield arrival, _read_member(file, arrival), None, None
            except MEMBER_ERRORS as error:
                # A file that has become shorter since it was listed is being written: the next run may read it.
                reason = "unreadable_member" if arrival.kind != "file" else "unreadable_file"
                yield arrival, None, reason, f"{type(error).__name__}: {error}"
            except OSError as error:
                if arrival.kind != "file" or error.errno not in OF_ONE_FILE:
                    raise
                yield arrival, None, "unreadable_file", str(error)
    finally:
        if file is not None:
            file.close()


def _read_member(file: IO[bytes], arrival: Arrival) -> bytes:
    if arrival.kind != "zip":
        file.seek(arrival.offset)
        content = file.read(arrival.num_bytes)
        if len(content) != arrival.num_bytes:
            raise EOFError(f"{len(content)} bytes where {arrival.num_bytes} were listed")
        return content
    seek_content(file, arrival.offset)
    packed = file.read(arrival.num_packed_bytes)
    # At most one byte more than listed is unpacked, so a member that lies about its size cannot fill the memory.
    content = packed if arrival.compression == zipfile.ZIP_STORED else _inflate(packed, arrival.num_bytes + 1)
    if len(content) != arrival.num_bytes or zlib.crc32(content) != arrival.checksum:
        raise zipfile.BadZipFile("the member's bytes do not match its listed size and checksum")
    return content


def _inflate(packed: bytes, max_bytes: int) -> bytes:
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, max_bytes)


def archive_kind(path: str) -> Literal["zip", "tar", "tar.gz"]:
    """What an archive is by its first bytes, or by its name where they say nothing."""
    with open_as_it_is(path) as stream:
        head = stream.read(tarfile.BLOCKSIZE)
    if head.startswith(GZIP_MAGIC):
        return "tar.gz"
    is_zip = head.startswith(ZIP_MAGICS) or path.lower().endswith(ZIP_SUFFIXES)
    return "zip" if is_zip and head[257:262] != b"ustar" else "tar"


def _other_kind(path: str) -> str | None:
    """For people, what a file is that no archive begins like; None if that is not known."""
    with open_as_it_is(path) as stream:
        head = stream.read(HEAD_BYTES)
    kind = kind_of_no_table(head) if head else "empty"
    return kind and f"the file is {kind}, not a zip or tar: put a .zip or .tar.gz in its place"


def _members(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    kind = archive_kind(file.path)
    yield from _zip_members(file, settings) if kind == "zip" else _tar_members(file, kind, settings)


def _zip_members(file: LandedFile, settings: LandingSettings) -> Iterator[Arrival]:
    with open_landed(file.path) as stream:
        for entry in zip_entries(stream):
            if entry.name.endswith((b"/", b"\\")):
                continue
            arrival = _member(file, entry.name, entry.is_utf8, "zip", entry.offset, entry.num_bytes, settings)
            if arrival is None:
                continue
            arrival = arrival._replace(
                num_packed_bytes=entry.num_packed_bytes,
                compression=entry.compression,
                checksum=entry.checksum,
                file_version=f"CRC-32 {entry.checksum:08x}",
            )
            if not arrival.reason and entry.is_encrypted:
                arrival = arrival._replace(reason="unreadable_member", detail="the member is encrypted")
            elif not arrival.reason and entry.is_link:
                arrival = arrival._replace(reason="unreadable_member", detail=LINK)
            elif not arrival.reason and entry.compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                detail = f"compression method {entry.compression} is not read: make the zip with Deflate"
                arrival = arrival._replace(reason="unreadable_member", detail=detail)
            yield arrival


def _tar_members(file: LandedFile, kind: Literal["tar", "tar.gz"], settings: LandingSettings) -> Iterator[Arrival]:
    with open_landed(file.path) as stream:
        for member in tar_members(stream):
            raw = member.name.encode("utf-8", "surrogateescape")
            is_utf8 = "path" in member.pax_headers
            place = member.offset_data, member.size
            arrival = None if member.isdir() else _member(file, raw, is_utf8, kind, *place, settings)
            if arrival is None and (member.issym() or member.islnk()):
                name = member_name(raw)  # of a table
                image_id = image_id_of(path_of_member(file.path, name, settings), settings)
                arrival = Arrival(image_id, f"{file.path}{MEMBER_MARK}{name}", file.path, kind)
            if arrival and not arrival.reason and not is_plain_file(member):
                detail = "the member is sparse" if member.isreg() else LINK
                arrival = arrival._replace(reason="unreadable_member", detail=detail)
            if arrival:  # what writes tars without looking at files dates all members 1970
                version = f"{member.mtime}" if member.mtime else _time_stamp(file)
                yield arrival._replace(file_version=version)


def _time_stamp(file: LandedFile) -> str:
    """The storage's time stamp or entity tag, without the settings that the file is read by."""
    return file.modified_at.rpartition(" ")[0]


def _member(
    file: LandedFile,
    raw_name: bytes,
    is_utf8: bool,
    kind: Literal["zip", "tar", "tar.gz"],
    offset: int,
    num_bytes: int,
    settings: LandingSettings,
) -> Arrival | None:
    """The member of this name, with a reason if it is no image that can be read; None if it is a table."""
    source = member_name(raw_name)
    name = _decoded(raw_name, is_utf8, settings)
    base = posixpath.basename((name or source).replace("\\", "/")).lower()
    unsupported = unsupported_format(base, settings, UNREAD_ARCHIVES + ARCHIVE_SUFFIXES)
    reason = detail = None
    parts = (name or source).replace("\\", "/").split("/")
    if is_hidden(name or source):
        reason = HIDDEN_MEMBERS
    elif unsupported:
        reason, detail = unsupported
    elif is_table(base, settings):
        return None
    elif not base.endswith(settings.image_suffixes):
        reason, detail = OTHER_MEMBERS, base
    elif parts[0] == "" or ".." in parts or re.match(r"[A-Za-z]:", source):
        reason, detail = "unsafe_path", f"the member is called {source!r}"
    elif name is None:
        reason = "unreadable_name"
        detail = "the name is not UTF-8: set landing.member_name_encoding to what it is in, such as gbk or cp437"
    image_id = image_id_of(path_of_member(file.path, name or source, settings), settings)
    source = f"{file.path}{MEMBER_MARK}{source}"
    return Arrival(image_id, source, file.path, kind, offset, num_bytes, reason=reason, detail=detail)


def _decoded(raw_name: bytes, is_utf8: bool, settings: LandingSettings) -> str | None:
    """A member's name; None if it is in no encoding that is known.

    Where the archive does not say that the name is UTF-8 it is in landing.member_name_encoding, if that is set: bytes
    of GBK may pass for UTF-8.
    """
    for encoding in filter(None, (None if is_utf8 else settings.member_name_encoding, "utf-8")):
        try:
            name = raw_name.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if unreadable_name(name) else name
    return None


def path_of_member(archive: str, name: str, settings: LandingSettings) -> str:
    """The member's path in its archive, with the archive's own path before it if landing.image_id asks for it."""
    if settings.image_id != "path_with_archive":
        return name
    path = relative_path(archive, settings)
    suffix = max((end for end in ARCHIVE_SUFFIXES if path.lower().endswith(end)), key=len)
    return f"{path[: -len(suffix)]}/{name}"


def _checked(arrival: Arrival, settings: LandingSettings) -> Arrival:
    """The arrival with a reason if it is larger than may be read."""
    if arrival.reason or max(arrival.num_bytes, arrival.num_packed_bytes) <= settings.max_image_bytes:
        return arrival
    is_bomb = arrival.kind == "zip" and arrival.num_packed_bytes <= settings.max_image_bytes
    return arrival._replace(
        reason="decompression_bomb" if is_bomb else "too_many_bytes",
        detail=f"{arrival.num_bytes:,} bytes; at most {settings.max_image_bytes:,} are read",
    )
