"""A caption file as a table of text: its encoding, separator and columns, and its rows, each of them one line.

Knows nothing of Spark, and nothing of what captions mean but how they begin.
"""

import codecs
import csv
import gzip
import io
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain, islice
from typing import IO, NamedTuple

from lib.errors import LandingZoneError
from lib.landing.archived_files import open_member
from lib.landing.caption_rows import MAX_DETAIL_CHARS, MAX_LINE_CHARS, UNREADABLE, CaptionRow, other_notation
from lib.landing.coco_captions import check_coco, coco_rows
from lib.landing.file_access import open_landed, unpacked
from lib.landing.image_names import image_id_of, image_path_of
from lib.landing.table_kinds import HEAD_BYTES, kind_of_no_table
from lib.landing.zip_directory import LOCAL_MAGIC
from lib.landing.zone import MEMBER_MARK
from lib.sections.landing import LandingSettings

SEPARATORS = ",;\t|"
MARKS = {  # at the beginning of a text, longer ones first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LAST_RESORT = "cp1252"  # Latin-1 as Windows has it
BYTES_AT_A_TIME = 2**20
NUM_CHARS_EXAMINED = 2**14  # by which line ends are told
MAX_LINES_OF_ROW = 50  # lines after the first, as far as the end of a quoted field is looked for
# What a damaged or encrypted table raises when it is read.
TABLE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    RuntimeError,
    ValueError,
    OverflowError,
    KeyError,
)


# Marks of encodings and signs without width, that programs leave at the ends of names.
UNSEEN = "\ufeff\u200b\u200c\u200d\u2060"
AS_TEXT_FOR_EXCEL = re.compile(r'="(.*)"')


class CaptionFile(NamedTuple):
    """A caption file that can be read, or a member of an archive (else `member` is ''). Indices count from 0."""

    path: str
    member: str
    encoding: str
    separator: str
    num_columns: int
    id_index: int
    caption_index: int
    has_header: bool = True  # false: lines as `name.jpg#0<tab>caption`, in which quotation marks mean nothing
    is_coco: bool = False  # JSON as COCO's, without columns


NUMBERED_LINE = re.compile(r"([^\t]+)#\d+\t")  # how a line of Flickr8k's caption file begins
SEPARATOR_LINE = re.compile(r'"?sep=.?"?\s*', re.IGNORECASE)  # by which programs tell Excel the separator
NUM_LINES_EXAMINED = 10  # lines that are not empty, by which a file without header is recognised


def source_of(path: str, member: str) -> str:
    """Where captions come from, as in `captions.source`."""
    return f"{path}{MEMBER_MARK}{member}" if member else path


def examine(path: str, member: str, landing: LandingSettings) -> CaptionFile | None:
    """How to read a caption file; None if nothing is in it. Reads it to its end, so that what follows can be relied on.

    Raises LandingZoneError with one sentence if it is damaged or gone, or its columns do not fit the settings.
    """
    source = source_of(path, member)
    try:
        encoding, first = _first_lines(path, member, landing)
    except (*TABLE_ERRORS, OSError) as error:
        raise LandingZoneError(f"{source} cannot be read to its end: {error}") from None
    if not first:
        return None
    header = first[0]
    if header.lstrip().startswith("{"):
        check_coco(partial(open_text, path, member, encoding), source)
        return CaptionFile(path, member, encoding, "", 0, 0, 0, is_coco=True)
    columns = {separator: _header_fields(header, separator) for separator in SEPARATORS}
    wanted = {"landing.image_id_column": landing.image_id_column, "landing.caption_column": landing.caption_column}
    separator = max(SEPARATORS, key=lambda one: (len(set(wanted.values()) & set(columns[one])), len(columns[one])))
    names = columns[separator]
    has_all = set(wanted.values()) <= set(names)
    are_numbered = [NUMBERED_LINE.match(line) is not None for line in first]
    # The first line alone may be damaged, or the others may be parts of captions.
    if not has_all and (are_numbered[0] or sum(are_numbered) >= len(first) / 2):
        return CaptionFile(path, member, encoding, "\t", 2, 0, 1, has_header=False)
    _check_header(header, encoding, names, wanted, source)
    return CaptionFile(
        path,
        member,
        encoding,
        separator,
        len(names),
        names.index(landing.image_id_column),
        names.index(landing.caption_column),
    )


def _first_lines(path: str, member: str, landing: LandingSettings) -> tuple[str, list[str]]:
    """The encoding of a caption file and its first lines that are not empty; reads it to its end.

    Raises LandingZoneError if it is no text, and TABLE_ERRORS or OSError if it is damaged or gone.
    """
    with _open_bytes(path, member) as content:
        head = content.read(HEAD_BYTES)
    kind = "an Excel file or another zip archive" if head.startswith(LOCAL_MAGIC) else kind_of_no_table(head)
    if kind:
        source = source_of(path, member)
        raise LandingZoneError(f"{source} is no text but {kind}: save it as CSV, as .csv or .csv.gz")
    encoding = landing.captions_encoding or encoding_of(path, member)
    with open_text(path, member, encoding) as text:
        first = list(islice(_lines_of_table(text), NUM_LINES_EXAMINED))
        for _ in iter(lambda: text.read(BYTES_AT_A_TIME), ""):
            pass  # damage may lie at the end
    return encoding, first


def _check_header(header: str, encoding: str, names: list[str], wanted: dict[str, str], source: str) -> None:
    """Raise LandingZoneError unless every column of `wanted`, by its setting, is one of `names`, and there once."""
    missing = {setting: column for setting, column in wanted.items() if column not in names}
    if UNREADABLE.search(header):
        raise LandingZoneError(f"{source} is no text in {encoding}: set landing.captions_encoding")
    if missing and header.lstrip().startswith("["):
        raise LandingZoneError(
            f"{source} is a JSON list, and captions in JSON are read as COCO has them, an object with lists images and "
            "annotations: write it so or as CSV, or set landing.captions_files if this file holds no captions"
        )
    if missing:
        raise LandingZoneError(
            f"{source} has {' and '.join(f'no column {column!r}' for column in missing.values())} "
            f"(it has: {', '.join(names)[:MAX_DETAIL_CHARS]}): set {' and '.join(missing)}, or landing.captions_files "
            "if this file holds no captions"
        )
    for column in wanted.values():
        if names.count(column) > 1:
            raise LandingZoneError(f"{source} has {names.count(column)} columns {column!r}: rename all but one")


def read_rows(file: CaptionFile, landing: LandingSettings, caption_prefixes: tuple[str, ...]) -> Iterator[CaptionRow]:
    """The rows of a file, those that cannot be used with a reason.

    A row with more or fewer fields than the header is rejected: captions may be full of commas, and one that is not
    quoted would pass for a shorter one. So is a row whose quotation marks do not pair, at the price of rows that are
    several lines: else a quotation mark that is never closed would take all that follows into one caption. Lines that
    may be the middle of such a row are rejected too.
    """
    source = source_of(file.path, file.member)
    if file.is_coco:
        opened = partial(open_text, file.path, file.member, file.encoding)
        yield from coco_rows(opened, source, landing, caption_prefixes)
        return
    with open_text(file.path, file.member, file.encoding) as text:
        rows = _split_at_returns(_lines_of_table(text), file)
        header = _header_fields(next(rows), file.separator) if file.has_header else []
        is_of_other_order = False
        for position, (line, is_within) in enumerate(_with_parts_of_rows(rows, file), start=1):
            fields = _fields(line, file.separator) if file.has_header else _numbered_fields(line)
            known = fields or line.split(file.separator)
            has_id = len(known) > file.id_index and not UNREADABLE.search(known[file.id_index])
            name = _plain(known[file.id_index]) if has_id else ""
            again = _header_again(line, header, file.separator)
            is_of_other_order = is_of_other_order or again not in ([], header)
            image_id = image_id_of(name, landing)
            caption, reason, detail = None, None, line.strip()[:MAX_DETAIL_CHARS]
            if UNREADABLE.search(line) or len(line) > MAX_LINE_CHARS:
                reason = "unreadable_row"
            elif "\r" in line:
                reason, detail = "unreadable_row", f"a carriage return stands within the row: {detail}"
            elif is_within:
                reason, detail = "unpaired_quote", f"may be part of a caption of several lines: {detail}"
            elif fields is None:
                reason = "unpaired_quote"
                if line.count('"') % 2 == 0:
                    detail = f"text stands behind a closing quotation mark: {detail}"
            elif len(fields) != file.num_columns:
                reason = "uneven_row"
            elif again or is_of_other_order:
                reason = "repeated_header"
            elif not image_id or not (caption := _plain(fields[file.caption_index])):
                reason = "empty_caption"
            elif not caption.startswith(caption_prefixes):
                reason, detail = "other_notation", other_notation(caption, caption_prefixes)
            path = image_path_of(name, landing)
            yield CaptionRow(
                image_id or f"row {position}", caption, source, position, reason, detail if reason else None, path
            )


@contextmanager
def _open_bytes(path: str, member: str) -> Iterator[IO[bytes]]:
    """A file or a member of an archive, unpacked if it is gzip."""
    with open_member(path, member) if member else open_landed(path) as stream:
        yield unpacked(stream)  # once more, of a file that is packed twice


@contextmanager
def open_text(path: str, member: str, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The text of a file without its mark, U+FFFD for what cannot be read.

    Its lines end with line feeds, a carriage return before them or not, or all with carriage returns alone, which are
    line feeds here: a carriage return within a line of the other kinds is no line end.
    """
    with _open_bytes(path, member) as stream:
        beginning = io.TextIOWrapper(stream, encoding, errors="replace", newline="")
        read = ""
        with suppress(*TABLE_ERRORS, OSError):  # which who reads on meets again
            read = beginning.read(NUM_CHARS_EXAMINED)
        beginning.detach()
        stream.seek(0)
        has_line_feeds = read.count("\n") > read.count("\r") - read.count("\r\n")
        newline = "\n" if has_line_feeds else None
        with io.TextIOWrapper(stream, encoding, errors="replace", newline=newline) as text:
            if text.read(1) != "\ufeff":  # an encoding that a setting names may leave the mark in the text
                text.seek(0)
            yield text


def encoding_of(path: str, member: str) -> str:
    """The encoding by its mark, else UTF-8 unless more of what is not ASCII is wrong in it than right."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    num_right = num_wrong = 0
    with _open_bytes(path, member) as stream:
        beginning = stream.read(4)
        for mark, encoding in MARKS.items():
            if beginning.startswith(mark):
                return encoding
        for content in chain([beginning], iter(lambda: stream.read(BYTES_AT_A_TIME), b"")):
            text = decoder.decode(content)
            if not text.isascii():
                wrong = len(re.findall("[\udc80-\udcff]", text))
                num_wrong += wrong
                num_right += len(re.findall("[^\0-\x7f]", text)) - wrong
    return LAST_RESORT if num_wrong > num_right else "utf-8"


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines without their ends; of one that is too long the beginning, a character longer than a line may be."""
    while line := text.readline(MAX_LINE_CHARS + 1):
        end = line
        while not end.endswith("\n") and (end := text.readline(MAX_LINE_CHARS)):
            pass
        yield line.removesuffix("\n").rstrip("\r")


def _lines_of_table(text: io.TextIOWrapper) -> Iterator[str]:
    """The lines that are not empty, without a first one that names the separator for Excel."""
    lines = (line for line in _lines(text) if line.strip())
    first = next(lines, None)
    if first is not None and not SEPARATOR_LINE.fullmatch(first):
        yield first
    yield from lines


def _split_at_returns(lines: Iterator[str], file: CaptionFile) -> Iterator[str]:
    """The lines, cut at carriage returns where all parts are whole rows: files may be joined of two kinds."""
    for line in lines:
        parts = [part for part in line.split("\r") if part.strip()]
        cut = [_fields(part, file.separator) if file.has_header else _numbered_fields(part) for part in parts]
        are_rows = all(fields is not None and len(fields) == file.num_columns for fields in cut)
        yield from parts if len(parts) > 1 and are_rows else [line]


def _with_parts_of_rows(lines: Iterator[str], file: CaptionFile) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it may lie within a quoted field that earlier lines begin and later ones end."""
    ahead: deque[str] = deque()
    num_left = 0  # lines of the row that an earlier line begins
    while (line := ahead.popleft() if ahead else next(lines, None)) is not None:
        if num_left:
            num_left -= 1
            yield line, num_left > 0
            continue
        yield line, False
        if file.has_header and line.count('"') % 2:
            num_left = _num_lines_to_end_of_row(line, lines, ahead, file)


def _num_lines_to_end_of_row(line: str, lines: Iterator[str], ahead: deque[str], file: CaptionFile) -> int:
    """How many lines after this one end the row that it begins; 0 if it is no row of several lines.

    The lines that are looked at are appended to `ahead`.
    """
    block = [line]
    while len(block) == 1 or not block[-1].count('"') % 2:
        if len(block) > len(ahead) and (more := next(lines, None)) is not None:
            ahead.append(more)
        if len(block) > min(len(ahead), MAX_LINES_OF_ROW) or sum(map(len, block)) > MAX_LINE_CHARS:
            return 0
        block.append(ahead[len(block) - 1])
    if not block[-1].endswith('"'):
        return 0
    rows = csv.reader((f"{one}\n" for one in block), delimiter=file.separator, skipinitialspace=True, strict=True)
    try:
        numbers = [len(row) for row in rows]
    except csv.Error:
        return 0
    return len(block) - 1 if numbers == [file.num_columns] else 0


def _numbered_fields(line: str) -> list[str]:
    """Name and caption of a line `name.jpg#0<tab>caption`; the line alone if it is none."""
    beginning = NUMBERED_LINE.match(line)
    return [beginning[1], line[beginning.end() :]] if beginning else [line]


def _header_fields(line: str, separator: str) -> list[str]:
    """The names of columns; empty if quotation marks do not pair."""
    return [_seen(name) for name in _fields(line, separator) or []]


def _header_again(line: str, header: list[str], separator: str) -> list[str]:
    """The names of columns in a line that has those of the header, in any order; empty if it is another row."""
    names = _header_fields(line, separator) if header and all(name in line for name in header) else []
    return names if sorted(names) == sorted(header) else []


def _seen(name: str) -> str:
    """A field without what nobody sees at its ends."""
    return name.strip().strip(UNSEEN).strip()


def _plain(field: str) -> str:
    """A field without what nobody sees at its ends, and as a text where it is written as ="text", for Excel."""
    field = _seen(field)
    text = AS_TEXT_FOR_EXCEL.fullmatch(field)
    return _seen(text[1].replace('""', '"')) if text else field


def _fields(line: str, separator: str) -> list[str] | None:
    """The fields of a row, None if its quotation marks do not pair."""
    if '"' not in line:
        return line.split(separator)
    if line.count('"') % 2:
        return None
    csv.field_size_limit(MAX_LINE_CHARS + 1)
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True, strict=True))
    except csv.Error:
        return None
