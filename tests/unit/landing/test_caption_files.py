"""Caption files as they come: quotation marks, encodings, separators, damage, other tables."""

import bz2
import csv
import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from lib.errors import LandingZoneError
from lib.landing import caption_files
from lib.landing.archived_tables import list_members
from lib.landing.caption_file_names import is_captions_file, may_hold_captions
from lib.landing.caption_files import CaptionRow, examine, read_rows
from tests.unit.landing.landed_files import settings, write_tar, write_zip, write_zip_with_raw_names

HEADER = "image_id,caption\n"


def rows_of(path: Path, content: str | bytes, prefixes: tuple[str, ...] = ("",), **changes: object) -> list[CaptionRow]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return rows_in(path, "", prefixes, **changes)


def rows_in(path: Path, member: str, prefixes: tuple[str, ...] = ("",), **changes: object) -> list[CaptionRow]:
    landing = settings(path.parent, **changes)
    file = examine(f"file://{path}", member, landing)
    assert file is not None
    return list(read_rows(file, landing, prefixes))


def texts(rows: list[CaptionRow]) -> list[tuple[str, str | None]]:
    """Image id, and caption or reason."""
    return [(row.image_id, row.reason or row.caption) for row in rows]


def test_a_quote_that_never_closes_costs_its_own_row(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.csv", HEADER + 'a,x\nb,"y\nc,z\nd,"w"\n')
    assert texts(rows) == [("a", "x"), ("b", "unpaired_quote"), ("c", "z"), ("d", "w")]
    assert [row.position for row in rows] == [1, 2, 3, 4]
    assert rows[1].detail == 'b,"y'


def test_a_carriage_return_within_a_row_is_no_line_end_where_lines_have_others(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.tsv", b"image_id\tcaption\r\na\tA man\rwith a hat\r\nb\tz\r\r\n")
    assert texts(rows) == [("a", "unreadable_row"), ("b", "z")]
    joined = b"image_id\tcaption\na\tone\nb\ttwo\nc\tthree\rd\tfour\r"
    assert texts(rows_of(tmp_path / "labels.tsv", joined)) == [
        ("a", "one"),
        ("b", "two"),
        ("c", "three"),
        ("d", "four"),
    ]
    rows = rows_of(tmp_path / "labels.tsv", b"image_id\tcaption\ra\tA man\rb\tz\r")
    assert texts(rows) == [("a", "A man"), ("b", "z")]


def test_text_behind_a_quotation_mark_is_said(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "labels.csv", HEADER + '"a" ,"x"\n')
    assert (row.reason, row.detail) == ("unpaired_quote", 'text stands behind a closing quotation mark: "a" ,"x"')


def test_a_caption_of_two_lines_is_two_rejected_rows_and_no_half_of_it_is_taken(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.csv", HEADER + 'a,"a dog\nruns, fast"\nb,z\n')
    assert texts(rows) == [("a", "unpaired_quote"), ("runs", "unpaired_quote"), ("b", "z")]


def test_no_line_of_a_caption_of_several_lines_is_a_row(tmp_path: Path) -> None:
    """The lines between are as rows are. What only looks like such a caption costs nothing but its own row."""
    between = "".join(f"{number}, is not here\n" for number in range(49))
    rows = rows_of(tmp_path / "labels.csv", HEADER + f'a,"A dog runs\n{between}and ends"\nb,""";"" x"\nc,z\n')
    assert texts(rows) == [
        ("a", "unpaired_quote"),
        *((str(number), "unpaired_quote") for number in range(49)),
        ('and ends"', "unpaired_quote"),
        ("b", '";" x'),
        ("c", "z"),
    ]
    assert rows[1].detail == "may be part of a caption of several lines: 0, is not here"
    assert [row.position for row in rows] == list(range(1, 54))
    for beginning, end in (
        ('a,"y\n50,z\n' + between, 'and ends"'),  # too far
        ('a,"y\nb,z\n', 'c,5" long'),  # does not end with the mark
        ('a,5" pipe\nb,z\n', 'c,5"'),  # begins no field with it
        ('a,"y\nb,z\n', 'c,"w"d"'),
        ('"a,y\nb,z\n', 'c"'),  # gives one field
    ):
        rows = rows_of(tmp_path / "labels.csv", f"{HEADER}{beginning}{end}\n")
        assert [row.reason for row in rows] == ["unpaired_quote", *[None] * (len(rows) - 2), "unpaired_quote"]


def test_quoted_fields_hold_commas_and_doubled_quotes(tmp_path: Path) -> None:
    captions = ["InChI=1S/CH4/h1,2H", 'a "big" dog, it seems', '""', "semi;colon", "tab\tstop", 'a 5" pipe']
    written = io.StringIO()
    csv.writer(written).writerows([("image_id", "caption"), *((str(n), text) for n, text in enumerate(captions))])
    rows = rows_of(tmp_path / "labels.csv", written.getvalue())
    assert texts(rows) == [(str(n), text) for n, text in enumerate(captions)]
    bare = rows_of(tmp_path / "labels.csv", HEADER + 'a,a "big" dog\nb, "spaced, out" \nc,"x" y\nd,5" pipe\n')
    assert texts(bare) == [
        ("a", 'a "big" dog'),
        ("b", "unpaired_quote"),
        ("c", "unpaired_quote"),
        ("d", "unpaired_quote"),
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_encodings_separators_and_line_ends_are_found_out(
    tmp_path: Path, encoding: str, separator: str, end: str
) -> None:
    lines = [("image_id", "other, column", "caption"), ("a", "1", "caf\u00e9 au lait"), ("b", "2", "h\u00f4tel")]
    text = end.join(separator.join(f'"{field}"' for field in line) for line in lines)
    rows = rows_of(tmp_path / "labels.csv", text.encode(encoding))
    assert texts(rows) == [("a", "caf\u00e9 au lait"), ("b", "h\u00f4tel")]


@pytest.mark.parametrize("line", ["sep={}", '"sep={}"', "SEP={} "])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_first_line_that_names_the_separator_for_excel_is_no_header(
    tmp_path: Path, encoding: str, separator: str, line: str
) -> None:
    lines = [line.format(separator), f"image_id{separator}caption", f"a{separator}x", f"sep={separator}y"]
    rows = rows_of(tmp_path / "labels.csv", "\r\n".join(lines).encode(encoding))
    assert texts(rows) == [("a", "x"), ("sep=", "y")]
    assert [row.position for row in rows] == [1, 2]


def test_bytes_that_are_wrong_in_a_utf8_file_cost_their_row_and_never_enter_a_table(tmp_path: Path) -> None:
    content = f"{HEADER}a,caf\u00e9\nb,h\u00f4tel\n".encode() + b"c,na\xefve\nd\xe9,x\nd,plain\ne,nul\0\n"
    rows = rows_of(tmp_path / "labels.csv", content)
    assert texts(rows) == [
        ("a", "caf\u00e9"),
        ("b", "h\u00f4tel"),
        ("c", "unreadable_row"),
        ("row 4", "unreadable_row"),
        ("d", "plain"),
        ("e", "unreadable_row"),
    ]
    assert not any("\ufffd" in f"{row.image_id}{row.caption}" for row in rows)


def test_a_setting_names_an_encoding_that_cannot_be_found_out(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.csv", f"{HEADER}a,\u8336\u58f6\n".encode("gbk"), captions_encoding="gbk")
    assert texts(rows) == [("a", "\u8336\u58f6")]
    with pytest.raises(ValueError, match="no text encoding 'klingon'"):
        settings(tmp_path, captions_encoding="klingon")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_the_mark_of_an_encoding_that_a_setting_names_is_no_text(tmp_path: Path, encoding: str) -> None:
    content = '\ufeff"image_id","caption"\n"a","x"\n'.encode(encoding)
    assert texts(rows_of(tmp_path / "labels.csv", content, captions_encoding=encoding)) == [("a", "x")]
    content = "\ufeffa.jpg#0\tA dog .\n".encode(encoding)
    assert texts(rows_of(tmp_path / "labels.txt", content, captions_encoding=encoding)) == [("a", "A dog .")]


def test_an_encoding_is_found_out_wherever_its_first_sign_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_files, "BYTES_AT_A_TIME", 7)
    content = HEADER + "".join(f"{number},plain\n" for number in range(50)) + "z,caf\u00e9\n"
    for encoding in ("utf-8", "cp1252"):
        assert texts(rows_of(tmp_path / "labels.csv", content.encode(encoding)))[-1] == ("z", "caf\u00e9")


def test_ids_are_normalised_as_those_of_images_are(tmp_path: Path) -> None:
    assert texts(rows_of(tmp_path / "labels.csv", HEADER + "x/mu\u0308nchen.PNG,x\n")) == [("m\u00fcnchen", "x")]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "packed.tar", "really_a_zip.tar"])
def test_packed_files_and_members_of_archives_are_read(tmp_path: Path, name: str) -> None:
    content = (HEADER + "a,x\n").encode()
    assert texts(rows_of(tmp_path / "labels.csv.gz", gzip.compress(content))) == [("a", "x")]
    members = {"p.png": bytes(5000), "in/labels.csv": content, "labels.csv.gz": gzip.compress(content)}
    if "zip" in name:
        write_zip(tmp_path / name, members)
    else:
        write_tar(tmp_path / name, "w" if name == "a.tar" else "w:gz", members)
    listed = pd.concat(list_members(iter([pd.DataFrame({"path": [f"file://{tmp_path}/{name}"]})]), settings(tmp_path)))
    assert list(listed["member"]) == ["in/labels.csv", "labels.csv.gz"]
    for member in listed["member"]:
        rows = rows_in(tmp_path / name, member)
        assert texts(rows) == [("a", "x")]
        assert rows[0].source == f"file://{tmp_path}/{name}!{member}"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_of_members_with_the_same_path_the_last_is_read(tmp_path: Path, name: str) -> None:
    contents = [f"{HEADER}a,{text}\n".encode() for text in ("old", "newer", "newest one")]
    if name == "a.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("labels.csv", contents[0])
            for content in contents[1:]:
                with pytest.warns(UserWarning, match="Duplicate name"):
                    archive.writestr("labels.csv", content)
    else:
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for content in contents:
                member = tarfile.TarInfo("labels.csv")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    (found,) = list_members(iter([pd.DataFrame({"path": [f"file://{tmp_path}/{name}"]})]), settings(tmp_path))
    assert found[["member", "num_bytes"]].to_numpy().tolist() == [["labels.csv", len(contents[-1])]]
    assert texts(rows_in(tmp_path / name, "labels.csv")) == [("a", "newest one")]


def test_an_archive_of_many_caption_files_is_gone_through_once_in_each_of_its_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(text: str) -> None:
        write_tar(tmp_path / "a.tar", "w", {f"{n}_labels.csv": f"{HEADER}{n},{text}\n".encode() for n in range(60)})

    write("first")
    headers = []
    read = tarfile.TarInfo.frombuf
    count = classmethod(lambda cls, buffer, *rest: headers.append(1) or read.__func__(cls, buffer, *rest))
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", count)
    for number in range(60):
        assert texts(rows_in(tmp_path / "a.tar", f"{number}_labels.csv")) == [(str(number), "first")]
    assert len(headers) < 60 * 10
    write("second one")
    assert texts(rows_in(tmp_path / "a.tar", "7_labels.csv")) == [("7", "second one")]


@pytest.mark.parametrize("kept", [0.2, 0.9])
def test_a_tar_that_is_cut_is_not_searched_and_its_caption_file_is_a_sentence(tmp_path: Path, kept: float) -> None:
    content = (HEADER + "".join(f"{number},text\n" for number in range(9999))).encode()
    write_tar(tmp_path / "a.tar", "w", {"labels.csv": content, "p.png": b"x"})
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: int(len(whole) * kept)])
    (found,) = list_members(iter([pd.DataFrame({"path": [f"file://{tmp_path}/a.tar"]})]), settings(tmp_path))
    assert list(found["member"]) == [""]
    with pytest.raises(LandingZoneError, match=r"a\.tar!labels\.csv cannot be read to its end: "):
        rows_in(tmp_path / "a.tar", "labels.csv")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_caption_file_in_a_zip_is_a_sentence_however_it_is_packed(tmp_path: Path, method: int) -> None:
    content = (HEADER + "".join(f"{number},text {number**2}\n" for number in range(3000))).encode()
    write_zip(tmp_path / "a.zip", {"labels.csv": content}, method)
    assert len(rows_in(tmp_path / "a.zip", "labels.csv")) == 3000
    whole = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:500] + bytes(20) + whole[520:])
    with pytest.raises(LandingZoneError, match=r"a\.zip!labels\.csv cannot be read to its end: "):
        rows_in(tmp_path / "a.zip", "labels.csv")


def test_a_link_and_a_folder_of_a_tar_are_no_caption_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind in (("labels.csv", tarfile.SYMTYPE), ("more_labels.csv", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    (found,) = list_members(iter([pd.DataFrame({"path": [f"file://{tmp_path}/a.tar"]})]), settings(tmp_path))
    assert list(found["member"]) == []


def test_tables_in_zips_are_found_and_a_zip_that_cannot_be_listed_stops_nothing(tmp_path: Path) -> None:
    for name in ("good", "bad_name", "cut"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for member in ("\u00e9/labels.csv", "__MACOSX/labels.csv", ".git/labels.csv", "p.png", "README.txt"):
                archive.writestr(member, HEADER)
    whole = (tmp_path / "bad_name.zip").read_bytes()
    (tmp_path / "bad_name.zip").write_bytes(whole.replace("\u00e9".encode(), b"\xe9\xe9"))
    (tmp_path / "cut.zip").write_bytes(whole[:-30])
    paths = pd.DataFrame({"path": [f"file://{tmp_path}/{name}.zip" for name in ("bad_name", "cut", "good")]})
    found = pd.concat(list_members(iter([paths]), settings(tmp_path)))
    assert list(zip(found["path"].str.rpartition("/")[2], found["member"], strict=True)) == [
        ("bad_name.zip", "%E9%E9/labels.csv"),
        ("bad_name.zip", "README.txt"),
        ("cut.zip", ""),
        ("good.zip", "\u00e9/labels.csv"),
        ("good.zip", "README.txt"),
    ]


@pytest.mark.parametrize("claims_utf8", [False, True])
@pytest.mark.parametrize("folder", ["\u4e2d\u6587".encode("gbk"), "\u4e2d\u6587".encode()])
def test_a_table_is_read_whatever_its_folder_or_another_member_is_called(
    tmp_path: Path, folder: bytes, claims_utf8: bool
) -> None:
    members = {folder + b"/labels.csv": f"{HEADER}a,x\n".encode(), folder + b"/\xd6\xd0.txt": b"about"}
    write_zip_with_raw_names(tmp_path / "a.zip", members, claims_utf8)
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for path in (tmp_path / "a.zip", tmp_path / "a.tar"):
        found = pd.concat(list_members(iter([pd.DataFrame({"path": [f"file://{path}"]})]), settings(tmp_path)))
        (member,) = (name for name in found["member"] if name.endswith("/labels.csv"))
        assert texts(rows_in(path, member)) == [("a", "x")]


def test_a_line_without_end_takes_no_more_memory_than_a_line_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caption_files, "MAX_LINE_CHARS", 100)
    rows = rows_of(tmp_path / "labels.csv", HEADER + "a," + 98 * "x" + "\nb," + 5000 * "y" + "\nc,z\nd," + 500 * "w")
    assert texts(rows) == [("a", 98 * "x"), ("b", "unreadable_row"), ("c", "z"), ("d", "unreadable_row")]


def test_rows_that_do_not_fit_the_header_or_lack_something_are_rejected(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.csv", "caption,image_id\n\nx,a\n \nx,y,b\nonly\n,c\nx,\n")
    assert [(row.image_id, row.reason, row.position) for row in rows] == [
        ("a", None, 1),
        ("y", "uneven_row", 2),
        ("row 3", "uneven_row", 3),
        ("c", "empty_caption", 4),
        ("row 5", "empty_caption", 5),
    ]


def test_captions_of_another_notation_are_rejected_with_the_setting_that_converts_them(tmp_path: Path) -> None:
    prefixes = ("InChI=1S/", "InChI=1/")
    content = HEADER + "a,InChI=1S/CH4/h1H4\nb,InChI=1/CH4/h1H4\nc,CCO\n"
    rows = rows_of(tmp_path / "labels.csv", content, prefixes)
    assert texts(rows) == [("a", "InChI=1S/CH4/h1H4"), ("b", "InChI=1/CH4/h1H4"), ("c", "other_notation")]
    assert "'CCO' does not begin with InChI=1S/ or InChI=1/: landing.captions_notation names" in (rows[2].detail or "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"InChI\nx\n", r"no column 'image_id' and no column 'caption' \(it has: InChI\): set landing.image_id"),
        (b"image_id;Caption\nx;y\n", r"no column 'caption' \(it has: image_id, Caption\): set landing.caption"),
        (
            b'[\n  {"image": "a.png", "caption": "x"}\n]\n',
            "is a JSON list, and captions in JSON are read as COCO has them",
        ),
        (b'[{"image": "a.png", "caption": "x"}]', "is a JSON list, and captions in JSON are read as COCO has them"),
        (b"image_id,caption,caption\na,b,c\n", "2 columns 'caption': rename all but one"),
        ((HEADER + "a,x\n").encode("utf-16-le"), "is no text in utf-8: set landing.captions_encoding"),
        (gzip.compress(HEADER.encode() + bytes(range(256)) * 9)[:-30], "cannot be read to its end"),
        (b"PK\x03\x04\xff\xfe\x00", "no text but an Excel file or another zip archive: save it as CSV"),
        (b"PAR1" + bytes(99), "no text but Parquet"),
        (bz2.compress(HEADER.encode()), "no text but packed with bzip2"),
        (b"7z\xbc\xaf\x27\x1c\0\0", "no text but a 7z archive"),
        (b"%PDF-1.7\n", "no text but PDF"),
        (b"version https://git-lfs.github.com/spec/v1\n", "no text but a Git LFS pointer"),
        (b"\n<!DOCTYPE html>\n", "no text but an HTML page"),
        (b"\x00\xff\x01", "is no text in cp1252"),
    ],
    ids=[
        "columns",
        "column",
        "json of several lines",
        "json of one line",
        "twice",
        "encoding",
        "cut",
        "excel",
        "parquet",
        "bzip2",
        "7z",
        "pdf",
        "lfs",
        "html",
        "binary",
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(LandingZoneError, match=sentence):
        examine(f"file://{tmp_path}/labels.csv", "", settings(tmp_path))


def test_a_column_that_is_called_as_another_format_begins_is_a_column(tmp_path: Path) -> None:
    for column in ("arrow1", "par1", "rar!", "obj"):
        assert texts(rows_of(tmp_path / "labels.csv", f"{column},image_id,caption\n1,a,x\n")) == [("a", "x")]


def test_a_file_that_is_packed_twice_is_read(tmp_path: Path) -> None:
    content = gzip.compress(gzip.compress(f"{HEADER}a,x\n".encode()))
    assert texts(rows_of(tmp_path / "labels.csv.gz", content)) == [("a", "x")]


def test_signs_that_nobody_sees_are_no_part_of_a_columns_name(tmp_path: Path) -> None:
    content = "\ufeffimage_id\u200b,\u2060caption \na,x\n".encode("utf-8-sig")  # marked twice
    assert texts(rows_of(tmp_path / "labels.csv", content)) == [("a", "x")]


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_nothing_is_in_an_empty_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    assert examine(f"file://{tmp_path}/labels.csv", "", settings(tmp_path)) is None


def test_caption_files_are_those_that_the_settings_name(tmp_path: Path) -> None:
    landing = settings(tmp_path, captions_files=("*captions*", "*labels*"), layouts_files="*_layouts.parquet")
    named = ["train_labels.csv", "Captions.TSV", "captions.txt", "my_captions_v2.csv.gz", "labels.csv", "captions.json"]
    others = [
        "sample_submission.csv",
        "extra_approved_InChIs.csv",
        "notes.csv",
        "a.tsv",
        "labels_layouts.parquet",
        "instances.json",
        "README.txt",
    ]
    assert [name for name in named + others if is_captions_file(name, landing)] == named
    reported = [name for name in others if may_hold_captions(name, landing)]
    assert reported == ["sample_submission.csv", "extra_approved_InChIs.csv", "notes.csv", "a.tsv"]
    assert is_captions_file("x.csv", settings(tmp_path, captions_files="*.csv"))


def test_a_header_in_the_middle_is_no_caption_and_what_follows_one_of_another_order_is_not_read(tmp_path: Path) -> None:
    joined = "image_id,caption\na,x\nimage_id,caption\nb,y\n"
    assert texts(rows_of(tmp_path / "same.csv", joined)) == [("a", "x"), ("image_id", "repeated_header"), ("b", "y")]
    rows = rows_of(tmp_path / "other.csv", joined + "caption , image_id\nz,c\ncaption,a caption of its own\n")
    assert [row.reason for row in rows] == [None, "repeated_header", None, *["repeated_header"] * 3]
    own = rows_of(tmp_path / "own.csv", "image_id,caption\ncaption,image\nb,image_id and caption\n")
    assert texts(own) == [("caption", "image"), ("b", "image_id and caption")]


def test_fields_are_read_without_excels_mark_of_a_text_and_signs_that_nobody_sees(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "labels.csv", 'image_id,caption\n="0012","=""x"""\n\u200bb\u200b,\ufeffy\n')
    assert texts(rows) == [("0012", "x"), ("b", "y")]


def test_flickrs_own_file_is_read_without_a_header_its_marks_as_they_are(tmp_path: Path) -> None:
    lines = ('a.jpg#0\tA "dog", running .', "a.jpg#1\tTabs\tstay", "b.jpg.1#0\tno image", "no number\tx", "c.jpg#2\t ")
    rows = rows_of(tmp_path / "Flickr8k.token.txt", "\n".join(lines))
    assert [(row.image_id, row.caption, row.reason) for row in rows[:2]] == [
        ("a", 'A "dog", running .', None),
        ("a", "Tabs\tstay", None),
    ]
    assert [row.reason for row in rows[2:]] == [None, "uneven_row", "empty_caption"]


@pytest.mark.parametrize("first", ["no number\tx", "# made by hand", "caf\ufffd", "a.jpg\tx\ty"])
def test_a_first_line_that_does_not_fit_flickrs_format_is_a_row_as_others_are(tmp_path: Path, first: str) -> None:
    rows = rows_of(tmp_path / "labels.txt", f"{first}\na.jpg#0\tA dog\n\nb.jpg#0\tA cat\n")
    assert [(row.image_id, row.caption) for row in rows[1:]] == [("a", "A dog"), ("b", "A cat")]
    assert rows[0].reason == ("unreadable_row" if "\ufffd" in first else "uneven_row")


def test_a_header_with_the_columns_makes_a_table_of_names_that_end_with_numbers(tmp_path: Path) -> None:
    content = "image_id\tcaption\npage#1\tA dog\npage#2\tA cat\n"
    assert texts(rows_of(tmp_path / "labels.txt", content)) == [("page#1", "A dog"), ("page#2", "A cat")]


def test_a_few_lines_with_numbers_make_no_file_without_header(tmp_path: Path) -> None:
    (tmp_path / "labels.tsv").write_text("name\ttext\n" + 9 * "a\tx\n" + "issue#1\tx\n")
    with pytest.raises(LandingZoneError, match=r"no column 'image_id' and no column 'caption' \(it has: name, text\)"):
        examine(f"file://{tmp_path}/labels.tsv", "", settings(tmp_path))
