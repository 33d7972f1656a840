"""Reads tar headers of bounded size: one that claims hundreds of megabytes is damage, not a name."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

MAX_HEADER_BYTES = 262_144  # of a long name or a pax header
LARGEST = 2**62  # bytes
BYTES_AT_A_TIME = 2**20
LONG_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class BoundedHeader(tarfile.TarInfo):
    """A header that refuses to be read where it is too large for memory. Raises tarfile.ReadError."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        # tarfile calls this on each header before it reads what follows, and documents it as the one to override.
        if self.type in LONG_HEADERS and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes; at most {MAX_HEADER_BYTES:,} are read")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("sparse members are not read: make the archive without --sparse")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]

    def _proc_gnusparse_10(self, member: tarfile.TarInfo, *_: object) -> None:
        member.sparse = []  # type: ignore[assignment]  # marks it; its map, of any length, is left unread


def tar_members(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The members of a tar in their order, also of several that are joined.

    Raises tarfile.TarError, RecursionError or ValueError if it is damaged.
    """
    is_first = True
    while is_first or _goes_on(stream):
        is_first = False
        yield from _members_to_end(stream)


@contextmanager
def open_at(stream: IO[bytes], offset: int, num_bytes: int) -> Iterator[IO[bytes]]:
    """The bytes of the plain file that lies there, as `tar_members` says. Raises as `tar_members`."""
    member = tarfile.TarInfo()
    member.offset_data, member.size = offset, num_bytes
    stream.seek(0)
    with _opened(stream) as archive:
        content = archive.extractfile(member)
        assert content is not None  # for files alone
        yield content


def is_plain_file(member: tarfile.TarInfo) -> bool:
    """Whether a member is a file whose bytes lie in one piece."""
    return member.isreg() and not member.issparse()


def _members_to_end(stream: IO[bytes]) -> Iterator[tarfile.TarInfo]:
    """The members of the tar that begins where the stream stands; afterwards it stands behind the first end mark."""
    with _opened(stream) as archive:
        offset = -1
        while (member := archive.next()) is not None:
            if not 0 <= member.size < LARGEST or archive.offset <= offset:  # type: ignore[attr-defined]
                raise tarfile.ReadError(f"a member of {member.size} bytes")
            offset = archive.offset  # type: ignore[attr-defined]
            yield member
            # tarfile keeps every member and global header it has seen; an archive of millions would not fit.
            archive.members.clear()  # type: ignore[attr-defined]
            archive.pax_headers.clear()  # type: ignore[attr-defined]
        # tarfile takes a broken header for the end, which is a block of zeros.
        stream.seek(archive.offset)  # type: ignore[attr-defined]
        if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"damaged or cut at byte {archive.offset}")  # type: ignore[attr-defined]


def _goes_on(stream: IO[bytes]) -> bool:
    """Whether more than zeros follows, as in tars joined by `cat`; the stream then stands where it begins."""
    while content := stream.read(BYTES_AT_A_TIME):
        if used := content.lstrip(b"\0"):
            at = stream.tell() - len(used)
            stream.seek(at - at % tarfile.BLOCKSIZE)
            return True
    return False


def _opened(stream: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=stream, mode="r:", tarinfo=BoundedHeader, encoding="utf-8")
