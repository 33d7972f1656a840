"""Reads the directory of a zip entry by entry, names as bytes, so neither its length nor one bad name matters.

Layouts are those of APPNOTE.TXT: 4.3.12 (entry), 4.3.14 and 4.3.15 (zip64), 4.3.16 (end), 4.5.3 and 4.6.9 (extras).
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, NamedTuple

from lib.landing.image_names import escaped

END = struct.Struct("<4s4H2LH")  # signature, 2 disks, 2 counts, size and offset of the directory, length of the comment
ZIP64_PLACE = struct.Struct("<4sLQL")  # signature, disk, offset of the next, number of disks
ZIP64_END = struct.Struct("<4sQ2H2L4Q")  # signature, size, 2 versions, 2 disks, 2 counts, directory's size and offset
ENTRY = struct.Struct("<4s6H3L5H2L")  # 17 fields, from the signature to the offset of the local header
LOCAL_MAGIC, ENTRY_MAGIC = b"PK\x03\x04", b"PK\x01\x02"
ZIP64_PLACE_MAGIC, ZIP64_END_MAGIC = b"PK\x06\x07", b"PK\x06\x06"
END_MAGIC = b"PK\x05\x06"
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, then lengths of name and extra field (4.3.7)
MAX_COMMENT_BYTES = 65_535
MAX_JOINED = 1000  # zips in one file; the end of each is looked for in a comment's length of bytes
LARGEST = 2**62  # bytes
UNIX = (3, 19)  # systems that keep a file's mode; 19 is macOS
ZIP64_EXTRA, UNICODE_PATH_EXTRA = 0x0001, 0x7075
UTF8_NAME = 0x800  # of a member's flags


class ZipEntry(NamedTuple):
    """A member as the directory has it; `offset` is where its local header begins in the file."""

    name: bytes
    is_utf8: bool  # as the directory says of the name
    is_encrypted: bool
    is_link: bool
    compression: int
    checksum: int
    num_packed_bytes: int
    num_bytes: int
    offset: int


def zip_entries(file: IO[bytes]) -> Iterator[ZipEntry]:
    """The members of a zip in their order, also of several that are joined.

    Raises zipfile.BadZipFile or struct.error where a directory is damaged.
    """
    for directory in _directories(file):
        yield from _entries(file, *directory)


def _entries(file: IO[bytes], start: int, end: int, num_before: int) -> Iterator[ZipEntry]:
    """The members that the directory between these places of the file names."""
    position = start
    while position < end:
        file.seek(position)
        fields = ENTRY.unpack(file.read(ENTRY.size))
        signature, flags, compression = fields[0], fields[3], fields[4]
        checksum, packed, unpacked, name_length, extra_length, comment_length = fields[7:13]
        if signature != ENTRY_MAGIC:
            raise zipfile.BadZipFile(f"no entry of the directory at byte {position}")
        name, extra = file.read(name_length), file.read(extra_length)
        position += ENTRY.size + name_length + extra_length + comment_length
        extras = _extra_fields(extra)
        # Sizes that do not fit stand in the extra field, in this order, those alone that do not fit.
        wide = io.BytesIO(extras.get(ZIP64_EXTRA, b""))
        unpacked, packed, offset = (
            struct.unpack("<Q", wide.read(8))[0] if size == 0xFFFFFFFF else size
            for size in (unpacked, packed, fields[-1])
        )
        if max(unpacked, packed, offset) > LARGEST:
            raise zipfile.BadZipFile(f"the entry at byte {position} has sizes that no file has")
        made_by, mode = fields[1] >> 8, fields[-2] >> 16
        own_name = _name_of(name, extras)
        yield ZipEntry(
            own_name,
            bool(flags & UTF8_NAME) or not name.startswith(own_name),  # that of an extra field always is
            bool(flags & 1),
            made_by in UNIX and stat.S_ISLNK(mode),
            compression,
            checksum,
            packed,
            unpacked,
            offset + num_before,
        )


def member_name(name: bytes) -> str:
    """A member's name as it stands in `source`, whatever its encoding."""
    return escaped(name.decode("utf-8", "surrogateescape"))


def seek_content(file: IO[bytes], offset: int) -> None:
    """Go to a member's packed bytes, behind the local header at `offset`. Raises zipfile.BadZipFile or struct.error."""
    file.seek(offset)
    signature, name_length, extra_length = LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size))
    if signature != LOCAL_MAGIC:
        raise zipfile.BadZipFile("no member where the archive's directory says there is one")
    file.seek(name_length + extra_length, io.SEEK_CUR)


def open_entry(file: IO[bytes], entry: ZipEntry) -> IO[bytes]:
    """The bytes of a member. Raises zipfile.BadZipFile, struct.error or RuntimeError.

    zipfile's own way reads no archive with one name that is not the UTF-8 it claims to be.
    """
    if entry.is_encrypted:
        raise RuntimeError("the member is encrypted")
    seek_content(file, entry.offset)
    member = zipfile.ZipInfo()
    member.compress_type, member.CRC = entry.compression, entry.checksum
    member.compress_size, member.file_size = entry.num_packed_bytes, entry.num_bytes
    return zipfile.ZipExtFile(file, "r", member)  # type: ignore[return-value]


def _directories(file: IO[bytes]) -> list[tuple[int, int, int]]:
    """The directory of each zip in a file, in their order: `cat` joins several, and places in each are its own."""
    size = file.seek(0, io.SEEK_END)
    found = [_directory(file, size)]
    while (num_before := found[-1][2]) and _is_end(tail := _tail(file, num_before), _place_of_end(tail)):
        if len(found) == MAX_JOINED:
            raise zipfile.BadZipFile(f"more than {MAX_JOINED:,} zips are joined in it")
        found.append(_directory(file, num_before))
    return found[::-1]


def _directory(file: IO[bytes], size: int) -> tuple[int, int, int]:
    """Where the directory of a zip that ends at `size` begins and ends, and how many bytes lie before the zip."""
    tail = _tail(file, size)
    at = _place_of_end(tail)
    if at < 0:
        file.seek(0)
        is_cut = file.read(len(LOCAL_MAGIC)) == LOCAL_MAGIC
        raise zipfile.BadZipFile("its end is missing" if is_cut else "File is not a zip file: it has no directory")
    *_, num_bytes, offset, _ = END.unpack(tail[at : at + END.size])
    end = size - len(tail) + at
    file.seek(max(0, end - ZIP64_PLACE.size))
    signature, *_ = ZIP64_PLACE.unpack(file.read(ZIP64_PLACE.size))
    if signature == ZIP64_PLACE_MAGIC:
        end -= ZIP64_PLACE.size + ZIP64_END.size
        file.seek(end)
        *_, num_bytes, offset = _zip64_end(file.read(ZIP64_END.size))
    num_before = end - num_bytes - offset
    if num_before < 0:
        raise zipfile.BadZipFile("the directory is cut")
    return offset + num_before, end, num_before


def _tail(file: IO[bytes], size: int) -> bytes:
    """The last bytes before `size` in which the end record of a zip lies."""
    num_bytes = min(size, MAX_COMMENT_BYTES + END.size)
    file.seek(size - num_bytes)
    return file.read(num_bytes)


def _place_of_end(tail: bytes) -> int:
    """Where the end record begins: the last one whose comment ends with the file, else the last one; -1 if none.

    A comment may hold the record's signature, and some programs leave bytes behind the archive.
    """
    at = last = tail.rfind(END_MAGIC)
    while at >= 0:
        if _is_end(tail, at):
            return at
        at = tail.rfind(END_MAGIC, 0, at)
    return last


def _is_end(tail: bytes, at: int) -> bool:
    """Whether an end record lies there whose comment ends with the tail."""
    record = tail[at : at + END.size] if at >= 0 else b""
    return len(record) == END.size and at + END.size + END.unpack(record)[-1] == len(tail)


def _zip64_end(packed: bytes) -> tuple[int, ...]:
    signature, *numbers = ZIP64_END.unpack(packed)
    if signature != ZIP64_END_MAGIC:
        raise zipfile.BadZipFile("the directory of a zip64 is not where it should be")
    return tuple(numbers)


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    fields = {}
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        fields[kind] = extra[4 : 4 + length]
        extra = extra[4 + length :]
    return fields


def _name_of(name: bytes, extras: dict[int, bytes]) -> bytes:
    """The name, or its UTF-8 form if an extra field gives one for it."""
    path = extras.get(UNICODE_PATH_EXTRA, b"")
    is_of_name = len(path) > 5 and struct.unpack("<L", path[1:5])[0] == zlib.crc32(name)
    return (path[5:] if is_of_name else name).partition(b"\0")[0]
