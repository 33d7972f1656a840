"""Archives called what they are not, names in other encodings, headers too large:
`pytest tests/unit/landing/test_hostile_archives.py`."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import tracemalloc
import zipfile
import zlib

import pytest

from lib.lake.schemas import REJECTION_REASONS
from lib.landing import bounded_tar
from lib.landing.archived_files import open_member
from lib.landing.archives import HIDDEN_MEMBERS, OTHER_MEMBERS, list_arrivals, read_arrivals
from lib.landing.bounded_tar import MAX_HEADER_BYTES
from lib.landing.zone import list_landing_zone
from tests.unit.landing.landed_files import (
    arrivals_in,
    contents,
    settings,
    write_tar,
    write_zip,
    write_zip_with_raw_names,
)

CHINESE = "\u4e2d\u6587"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("gzip.tar", lambda path: write_tar(path, "w:gz")),
        ("plain.tar.gz", lambda path: write_tar(path, "w")),
        ("plain.tgz", lambda path: write_tar(path, "w")),
        ("zipped.tar.gz", write_zip),
        ("tar.zip", lambda path: write_tar(path, "w")),
        ("packed.zip", lambda path: write_tar(path, "w:gz")),
    ],
)
def test_the_first_bytes_of_an_archive_say_what_it_is_whatever_it_is_called(tmp_path, name, write):
    write(tmp_path / name)
    assert contents(arrivals_in(tmp_path)) == {f"pic{i}": bytes([i]) * (100 + i) for i in range(5)}


def test_a_zip_with_something_before_it_is_read(tmp_path):
    write_zip(tmp_path / "a.zip", {"p.png": b"x"})
    (tmp_path / "a.zip").write_bytes(b"#!/bin/sh" + (tmp_path / "a.zip").read_bytes())
    assert contents(arrivals_in(tmp_path)) == {"p": b"x"}


def test_an_image_that_is_gzip_is_not_unpacked(tmp_path):
    packed = gzip.compress(b"content")
    (tmp_path / "p.png").write_bytes(packed)
    assert contents(arrivals_in(tmp_path)) == {"p": packed}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_of_members_in_another_encoding_are_read_if_the_setting_names_it_or_are_rows(tmp_path, kind):
    members = {f"{CHINESE}.png".encode("gbk"): b"x", b"good.png": b"y"}
    if kind == "zip":
        write_zip_with_raw_names(tmp_path / "a.zip", members)
    else:
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT, encoding="utf-8") as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    refused, good = arrivals_in(tmp_path)
    assert (refused.image_id, refused.reason, good.reason) == ("%D6%D0%CE%C4", "unreadable_name", None)
    assert "landing.member_name_encoding" in str(refused.detail)
    arrivals = arrivals_in(tmp_path, member_name_encoding="gbk")
    assert contents(arrivals) == {CHINESE: b"x", "good": b"y"}
    assert arrivals[0].source == refused.source
    assert arrivals_in(tmp_path, member_name_encoding="ascii")[0].reason == "unreadable_name"


def test_names_that_are_utf8_without_saying_so_and_names_in_parts_are_read_as_one(tmp_path):
    write_zip_with_raw_names(tmp_path / "a.zip", {"o\u0308l.png".encode(): b"x"})
    assert contents(arrivals_in(tmp_path)) == {"\u00f6l": b"x"}


def test_a_replacement_character_never_enters_an_id(tmp_path):
    write_zip(tmp_path / "a.zip", {"lost\ufffd.png": b"x"})
    (row,) = arrivals_in(tmp_path, member_name_encoding="gbk")
    assert (row.image_id, row.reason) == ("lost%EF%BF%BD", "unreadable_name")
    assert "\ufffd" not in row.source


def test_a_name_that_is_not_the_utf8_that_it_claims_to_be_costs_its_member_alone(tmp_path):
    write_zip_with_raw_names(tmp_path / "a.zip", {b"\xd6\xd0.png": b"x", b"good.png": b"y"}, is_called_utf8=True)
    assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [("%D6%D0", "unreadable_name"), ("good", None)]


def test_a_utf8_name_in_the_extra_field_of_a_zip_counts_for_the_name_it_was_made_for(tmp_path):
    for checksum, image_id in ((zlib.crc32(b"p.png"), CHINESE), (1, "p")):
        name = struct.pack("<BL", 1, checksum) + f"{CHINESE}.png".encode()
        member = zipfile.ZipInfo("p.png")
        member.extra = struct.pack("<HH", 0x7075, len(name)) + name
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr(member, b"x")
        for encoding in (None, "cp437"):  # which the name of the extra field is never in
            assert contents(arrivals_in(tmp_path, member_name_encoding=encoding)) == {image_id: b"x"}


@pytest.mark.parametrize("comment", [b"", b"c" * 65_535])
def test_a_zip64_and_a_zip_with_a_comment_are_read(tmp_path, monkeypatch, comment):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 50)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.comment = comment
        for i in range(5):
            with archive.open(f"{i}.png", "w", force_zip64=True) as member:
                member.write(bytes([i]) * 90)
    (tmp_path / "a.zip").write_bytes(b"before" + (tmp_path / "a.zip").read_bytes())
    assert b"PK\x06\x06" in (tmp_path / "a.zip").read_bytes()
    assert contents(arrivals_in(tmp_path)) == {str(i): bytes([i]) * 90 for i in range(5)}


def test_zips_joined_to_one_are_read_to_the_last(tmp_path):
    """As `cat` joins them: the places in each count from its own beginning."""
    for number in range(3):
        with zipfile.ZipFile(tmp_path / "part", "w") as archive:
            archive.writestr(f"{number}.png", bytes([number]) * 9)
            archive.writestr("same.png", bytes([number]))
            archive.comment = b"PK\x05\x06" * number
        with (tmp_path / "a.zip").open("ab") as joined:
            joined.write((tmp_path / "part").read_bytes())
    arrivals = arrivals_in(tmp_path)
    assert [arrival.image_id for arrival in arrivals] == ["0", "same", "1", "same", "2", "same"]
    assert contents(arrivals) == {**{str(number): bytes([number]) * 9 for number in range(3)}, "same": b"\2"}
    with open_member(f"file://{tmp_path}/a.zip", "same.png") as content:
        assert content.read() == b"\2"
    (tmp_path / "a.zip").write_bytes(10**6 * (b"PK\x05\x06" + bytes(18)))
    (arrival,) = arrivals_in(tmp_path)
    assert (arrival.reason, arrival.detail) == ("unreadable_archive", "more than 1,000 zips are joined in it")


def test_a_comment_that_holds_the_mark_of_the_directorys_end_is_a_comment(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("p.png", b"x")
        archive.comment = b"as PK\x05\x06 says, and as many words more as an end has"
    assert contents(arrivals_in(tmp_path)) == {"p": b"x"}


def test_a_link_in_a_zip_is_refused_as_one_in_a_tar_is(tmp_path):
    link = zipfile.ZipInfo("link.png")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, b"../secret.png")
        archive.writestr("p.png", b"x")
    assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [("link", "unreadable_member"), ("p", None)]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tars_joined_to_one_are_read_to_the_last(tmp_path, monkeypatch, mode):
    monkeypatch.setattr(bounded_tar, "BYTES_AT_A_TIME", 700)
    name = "a.tar.gz" if mode == "w:gz" else "a.tar"
    parts = []
    for number in range(3):
        write_tar(tmp_path / name, mode, {f"{number}.png": bytes([number])})
        parts.append((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(b"".join(parts))
    assert contents(arrivals_in(tmp_path)) == {str(number): bytes([number]) for number in range(3)}


def test_what_stands_behind_the_end_of_a_tar_and_is_none_is_said(tmp_path):
    write_tar(tmp_path / "a.tar", "w", {"p.png": b"x"})
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes() + b"junk" * 300)
    assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [("p", None), ("a.tar", "unreadable_archive")]


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty"),
        (bz2.compress(b"content"), "packed with bzip2"),
        (lzma.compress(b"content"), "packed with xz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "a 7z archive"),
        (b"Rar!\x1a\x07\0" + bytes(99), "a RAR archive"),
        (b"\n<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_a_file_called_an_archive_is_said_to_be_what_it_is(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    (row,) = arrivals_in(tmp_path)
    assert (row.reason, str(row.detail)[: 12 + len(kind)]) == ("unreadable_archive", f"the file is {kind}")


def test_a_zip_damaged_in_its_directory_keeps_what_comes_before(tmp_path):
    write_zip(tmp_path / "a.zip", {f"{i}.png": b"x" for i in range(4)})
    content = (tmp_path / "a.zip").read_bytes()
    third = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 1) + 1)
    (tmp_path / "a.zip").write_bytes(content[:third] + b"xx" + content[third + 2 :])
    assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [
        ("0", None),
        ("1", None),
        ("a.zip", "unreadable_archive"),
    ]


@pytest.mark.parametrize("num_bytes", [2**63, 2**64 - 1])
def test_sizes_that_no_file_has_are_damage(tmp_path, num_bytes):
    member = tarfile.TarInfo("p.png")
    member.size = num_bytes
    (tmp_path / "a.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    write_zip(tmp_path / "a.zip", {"p.png": b"x"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    entry = content.index(b"PK\x01\x02")
    extra = struct.pack("<HHQ", 1, 8, num_bytes)
    content[entry + 24 : entry + 28] = b"\xff" * 4
    content[entry + 30 : entry + 32] = struct.pack("<H", len(extra))
    content[entry + 46 + 5 : entry + 46 + 5] = extra
    end = content.index(b"PK\x05\x06")
    content[end + 12 : end + 16] = struct.pack("<L", end - entry)
    (tmp_path / "a.zip").write_bytes(content)
    assert {a.image_id: a.reason for a in arrivals_in(tmp_path)} == {
        "a.tar": "unreadable_archive",
        "a.zip": "unreadable_archive",
    }


def tar_header(kind: bytes, num_bytes: int, name: str = "long") -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, num_bytes
    return member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_that_unpacks_to_hundreds_of_megabytes_is_damage_and_is_not_read(tmp_path, kind):
    with gzip.open(tmp_path / "a.tar.gz", "wb", compresslevel=1) as file:
        file.write(tar_header(b"0", 5, "good.png") + b"hello".ljust(512, b"\0"))
        file.write(tar_header(kind, 64 * 2**20))
        for _ in range(64):
            file.write(b"a" * 2**20)
        file.write(tar_header(b"0", 0) + bytes(1024))
    landing = settings(tmp_path)
    (file,) = list_landing_zone(landing).archives
    tracemalloc.start()
    arrivals = list(list_arrivals(file, landing))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(a.image_id, a.reason) for a in arrivals] == [("good", None), ("a.tar.gz", "unreadable_archive")]
    assert "67,108,864 bytes" in str(arrivals[1].detail)
    assert peak < 10 * 2**20


def test_a_name_as_long_as_names_may_be_is_read(tmp_path):
    name = "/".join(["folder"] * 500) + "/p.png"
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=tar_format) as archive:
            archive.addfile(tarfile.TarInfo(name))
        assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [("p", None)]
    assert len(name) < MAX_HEADER_BYTES


@pytest.mark.parametrize(
    "headers",
    [
        tar_header(tarfile.XGLTYPE, 0) * 2000,
        tar_header(b"0", -1024, "p.png"),
        tar_header(tarfile.GNUTYPE_SPARSE, 10, "p.png"),
        tar_header(tarfile.XHDTYPE, 512) + b"18 size=-10000000\n".ljust(512, b"\0") + tar_header(b"0", 1, "p.png"),
    ],
    ids=["chain of headers", "negative size", "sparse", "negative pax size"],
)
def test_headers_made_to_exhaust_or_to_turn_back_a_reader_are_damage(tmp_path, headers):
    (tmp_path / "a.tar").write_bytes(headers + bytes(1024))
    assert [a.reason for a in arrivals_in(tmp_path)][-1] == "unreadable_archive"


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_archives_with_bytes_changed_or_cut_give_images_or_rows_that_say_why(tmp_path, name):
    members = {f"folder/{i}.png": bytes([i]) * 70 for i in range(4)}
    if name == "a.zip":
        write_zip(tmp_path / name, members)
    else:
        write_tar(tmp_path / name, "w:gz" if name.endswith("gz") else "w", members)
    whole = (tmp_path / name).read_bytes()
    lots = random.Random(0)
    for turn in range(300):
        content = bytearray(whole)
        for _ in range(lots.choice((0, 1, 1, 8))):
            content[lots.randrange(min(len(content), 3000))] = lots.choice((0, 1, 0x80, 0xFF, lots.randrange(256)))
        (tmp_path / name).write_bytes(content[: lots.randrange(len(content)) if turn % 3 == 0 else None])
        arrivals = arrivals_in(tmp_path)
        for arrival, image, reason, _ in read_arrivals(arrivals):
            assert (image is None) != (reason is None)
            assert reason in (None, HIDDEN_MEMBERS, OTHER_MEMBERS, *REJECTION_REASONS)
            assert max(arrival.num_bytes, arrival.num_packed_bytes, arrival.offset) < 2**63
            "".join(map(str, arrival)).encode()
