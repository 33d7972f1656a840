"""What arrives, and what of it can be read: `pytest tests/unit/landing/test_landing_zone.py`."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest

from lib.errors import LandingZoneError
from lib.landing.archives import list_arrivals, read_arrivals
from lib.landing.image_ingestion import _such_as
from lib.landing.image_names import image_id_of
from lib.landing.zone import list_landing_zone
from tests.unit.landing.landed_files import (
    MEMBERS,
    arrivals_in,
    contents,
    settings,
    write_tar,
    write_zip,
    write_zip_with_raw_names,
)

EXPECTED = {f"pic{i}": MEMBERS[f"train/{i}/0/pic{i}.png"] for i in range(5)}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.zip", write_zip),
        ("stored.zip", lambda path: write_zip(path, compression=zipfile.ZIP_STORED)),
        ("a.tar", lambda path: write_tar(path, "w")),
        ("a.tar.gz", lambda path: write_tar(path, "w:gz")),
        ("a.tgz", lambda path: write_tar(path, "w:gz")),
    ],
)
def test_the_members_of_an_archive_are_read_as_they_were_written(tmp_path, name, write):
    write(tmp_path / name)
    arrivals = arrivals_in(tmp_path)
    assert contents(arrivals) == EXPECTED
    assert contents(arrivals[3:]) == {f"pic{i}": EXPECTED[f"pic{i}"] for i in (3, 4)}
    assert arrivals[0].source.endswith(f"{name}!train/0/0/pic0.png")


def test_loose_images_in_nested_folders_are_found_and_other_files_are_not(tmp_path):
    for name in ("a/b/one.png", "two.JPG", "a/.hidden.png", "notes.txt", "labels.csv", "x_layouts.parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    zone = list_landing_zone(settings(tmp_path))
    assert [Path(file.path).name for file in zone.images] == ["one.png", "two.JPG"]
    assert (len(zone.captions), len(zone.layouts), len(zone.others), zone.num_hidden) == (1, 1, 1, 1)
    assert contents(arrivals_in(tmp_path)) == {"one": b"content", "two": b"content"}


def test_of_files_of_other_kinds_those_that_look_like_images_are_named_first(tmp_path):
    names = ["notes.txt", "b.jpg_large", "a.pptx", "q.png?raw=1", "z.log"]
    assert _such_as(names, settings(tmp_path)) == " (such as 'b.jpg_large', 'q.png?raw=1', 'a.pptx')"
    assert _such_as([], settings(tmp_path)) == ""


def test_a_file_that_is_called_as_a_member_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", {"b.png": b"in the archive"})
    for name in ("a.zip!b.png", "b.TAR!/c.png", "well!done.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"beside it")
    assert contents(arrivals_in(tmp_path)) == {"b": b"in the archive", "well!done": b"beside it"}
    rejected = list_landing_zone(settings(tmp_path)).rejected
    assert [(one.image_id, one.reason) for one in rejected] == [
        ("a.zip!b", "unreadable_name"),
        ("c", "unreadable_name"),
    ]


def test_a_url_of_another_filesystem_is_read_like_a_folder():
    with fsspec.open("memory://arrived/day/one.png", "wb") as file:
        file.write(b"content")
    landing = settings("memory://arrived")
    arrivals = list(list_arrivals(list_landing_zone(landing).images[0], landing))
    assert contents(arrivals) == {"one": b"content"}


def test_a_member_that_climbs_out_of_its_archive_is_refused(tmp_path):
    names = ("../../etc/evil.png", "/abs.png", "ok/../../up.png", "C:\\win.png", "good.png")
    write_zip(tmp_path / "a.zip", dict.fromkeys(names, b"x"))
    reasons = {arrival.image_id: arrival.reason for arrival in arrivals_in(tmp_path)}
    assert reasons == {
        "evil": "unsafe_path",
        "abs": "unsafe_path",
        "up": "unsafe_path",
        "win": "unsafe_path",
        "good": None,
    }


def test_a_member_that_unpacks_to_too_much_is_refused_unread(tmp_path):
    write_zip(tmp_path / "a.zip", {"bomb.png": bytes(1_000_000), "good.png": b"x"})
    reasons = {arrival.image_id: arrival.reason for arrival in arrivals_in(tmp_path)}
    assert reasons == {"bomb": "decompression_bomb", "good": None}


def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path):
    write_zip(tmp_path / "a.zip", {"bomb.png": bytes(1_000_000)})
    lying = arrivals_in(tmp_path)[0]._replace(num_bytes=100, reason=None)
    _, content, reason, detail = next(read_arrivals([lying]))
    assert (content, reason) == (None, "unreadable_member")
    assert "do not match" in str(detail)


def test_a_file_larger_than_allowed_is_refused_unread(tmp_path):
    (tmp_path / "large.png").write_bytes(bytes(2000))
    assert [arrival.reason for arrival in arrivals_in(tmp_path)] == ["too_many_bytes"]


def test_a_damaged_member_costs_itself_alone(tmp_path):
    write_zip(tmp_path / "a.zip", compression=zipfile.ZIP_STORED)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    start = content.index(MEMBERS["train/2/0/pic2.png"])
    content[start] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    outcomes = {arrival.image_id: reason for arrival, _, reason, _ in read_arrivals(arrivals_in(tmp_path))}
    assert outcomes == {"pic0": None, "pic1": None, "pic2": "unreadable_member", "pic3": None, "pic4": None}


def test_a_truncated_zip_becomes_one_row_that_says_so(tmp_path):
    write_zip(tmp_path / "a.zip")
    content = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(content[: len(content) // 2])
    (arrival,) = arrivals_in(tmp_path)
    assert (arrival.image_id, arrival.reason) == ("a.zip", "unreadable_archive")
    assert "its end is missing" in arrival.detail


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
def test_the_members_before_the_damage_of_a_truncated_tar_are_kept(tmp_path, name, mode):
    members = {f"pic{i}.png": bytes(range(256)) * 3 for i in range(9)}
    write_tar(tmp_path / name, mode, members)
    if mode == "w":
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: 3 * (512 + 1024) + 700])
    else:
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[:-60])
    arrivals = arrivals_in(tmp_path)
    assert arrivals[-1].reason == "unreadable_archive"
    readable = [a for a in arrivals if a.reason is None]
    outcomes = [(content, reason) for _, content, reason, _ in read_arrivals(readable)]
    assert (bytes(range(256)) * 3, None) in outcomes
    assert all(content == bytes(range(256)) * 3 or reason == "unreadable_member" for content, reason in outcomes)


@pytest.mark.parametrize("cut", [False, True])
def test_a_tar_damaged_in_a_header_says_so_and_keeps_what_came_before(tmp_path, cut):
    write_tar(tmp_path / "a.tar", "w", {f"pic{i}.png": bytes(600) for i in range(6)})
    content = bytearray((tmp_path / "a.tar").read_bytes())
    third_header = 2 * (512 + 1024)
    content[third_header + 20] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content[: third_header + (0 if cut else len(content))])
    arrivals = arrivals_in(tmp_path)
    assert [(a.image_id, a.reason) for a in arrivals] == [
        ("pic0", None),
        ("pic1", None),
        ("a.tar", "unreadable_archive"),
    ]


def test_a_folder_that_windows_wrote_into_a_zip_is_no_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("d\\", b"")
        archive.writestr("d\\p.png", b"x")
    assert [(arrival.image_id, arrival.reason) for arrival in arrivals_in(tmp_path)] == [("p", None)]


def test_a_captions_file_that_is_a_link_in_a_tar_is_refused_too(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("labels.csv")
        link.type, link.linkname = tarfile.LNKTYPE, "data.csv"
        archive.addfile(link)
    (arrival,) = arrivals_in(tmp_path)
    assert (arrival.source[-10:], arrival.reason) == ("labels.csv", "unreadable_member")


def test_a_link_in_a_tar_is_refused_and_not_passed_over(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert [(a.image_id, a.reason) for a in arrivals_in(tmp_path)] == [("link", "unreadable_member")]


def test_an_archive_that_cannot_be_reached_stops_the_job_and_is_not_called_damaged(tmp_path):
    write_zip(tmp_path / "a.zip")
    landing = settings(tmp_path)
    (file,) = list_landing_zone(landing).archives
    (tmp_path / "a.zip").unlink()
    with pytest.raises(FileNotFoundError):
        list(list_arrivals(file, landing))


def test_names_with_signs_that_mean_something_elsewhere_are_read(tmp_path):
    folder = tmp_path / "100% #1 [new]!::`2`\n"
    folder.mkdir()
    (folder / "a::b?.png").write_bytes(b"content")
    write_zip(folder / "z.zip", {"2024-01-01T12:00.png": b"clock"})
    assert contents(arrivals_in(folder)) == {"a::b?": b"content", "2024-01-01T12:00": b"clock"}


def test_a_file_that_is_no_archive_becomes_one_row_that_says_so(tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"no gzip at all")
    (tmp_path / "b.zip").write_bytes(b"")
    assert {a.reason for a in arrivals_in(tmp_path)} == {"unreadable_archive"}


def test_an_encrypted_member_is_refused(tmp_path):
    write_zip(tmp_path / "a.zip", {"secret.png": b"x"})
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert [a.reason for a in arrivals_in(tmp_path)] == ["unreadable_member"]


@pytest.mark.parametrize("content", [None, "captions only"])
def test_a_landing_zone_without_images_stops_with_the_setting_to_change(tmp_path, content):
    if content:
        (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(LandingZoneError, match=r"landing\.path"):
        list_landing_zone(settings(tmp_path))
    with pytest.raises(LandingZoneError, match=r"landing\.path .* does not exist"):
        list_landing_zone(settings(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("path", "by_name", "by_path"),
    [
        ("train/0/0/0/000011a64c74.png", "000011a64c74", "train/0/0/0/000011a64c74"),
        ("a\\b\\scan.v2.JPG", "scan.v2", "a/b/scan.v2"),
        ("./a//plain", "plain", "a/plain"),
        ("mu\u0308nchen/o\u0308l.png", "\u00f6l", "m\u00fcnchen/\u00f6l"),
        ("a/ \u3000scan .png", "scan", "a/scan"),
        (" a.b ", "a.b", "a.b"),
        ("", "", ""),
    ],
)
def test_an_image_id_is_the_file_name_or_the_path_without_image_suffix(tmp_path, path, by_name, by_path):
    assert image_id_of(path, settings(tmp_path)) == by_name
    assert image_id_of(path, settings(tmp_path, image_id="path")) == by_path


def test_images_that_differ_in_their_folder_alone_have_ids_of_their_own_if_ids_are_paths(tmp_path):
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "0001.png").write_bytes(b"loose")
    write_zip(tmp_path / "b.zip", {"train/0001.png": b"x", "valid/0001.png": b"y"})
    assert {a.image_id for a in arrivals_in(tmp_path)} == {"0001"}
    assert {a.image_id for a in arrivals_in(tmp_path, image_id="path")} == {"test/0001", "train/0001", "valid/0001"}


def test_an_id_that_is_a_path_may_begin_with_the_archives(tmp_path):
    (tmp_path / "day").mkdir()
    write_zip(tmp_path / "train.zip", {"0001.png": b"x"})
    write_tar(tmp_path / "day" / "test.tar.gz", "w:gz", {"0001.png": b"y"})
    ids = {a.image_id for a in arrivals_in(tmp_path, image_id="path_with_archive")}
    assert ids == {"train/0001", "day/test/0001"}


@pytest.mark.parametrize("name", ["\u56fe1", "\u56fe\u4e00", "\u82ef"])  # whose bytes in GBK pass for UTF-8
def test_names_are_in_the_encoding_that_a_setting_names_unless_the_archive_says_utf8(tmp_path: Path, name: str) -> None:
    write_zip_with_raw_names(tmp_path / "a.zip", {f"{name}.png".encode("gbk"): b"content"})
    (arrival,) = arrivals_in(tmp_path, member_name_encoding="gbk")
    assert (arrival.image_id, arrival.reason) == (name, None)
    write_zip(tmp_path / "a.zip", {f"{name}.png": b"content"})  # Python marks it as UTF-8
    write_tar(tmp_path / "b.tar", "w", {f"{name}2.png": b"content"})  # a pax header says so
    assert {one.image_id for one in arrivals_in(tmp_path, member_name_encoding="gbk")} == {name, f"{name}2"}


def test_a_file_with_a_sector_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    broken = Path("/proc/self/mem")  # its first bytes cannot be read: EIO
    (tmp_path / "a.png").write_bytes(b"content")
    (arrival,) = arrivals_in(tmp_path)
    arrivals = [arrival._replace(path=f"file://{broken}", num_bytes=7), arrival]
    first, second = read_arrivals(arrivals)
    assert (first[1:3], second[1:3]) == ((None, "unreadable_file"), (b"content", None))


@pytest.mark.parametrize(("member_time", "is_seen"), [(0, True), (7, False)])
def test_a_member_without_time_stamp_has_that_of_its_tar(tmp_path: Path, member_time: int, is_seen: bool) -> None:
    """Else the new bytes of an image as large as the old one would never be read."""
    versions = set()
    for number in range(2):
        with tarfile.open(tmp_path / "a.tar", "w") as archive:
            member = tarfile.TarInfo("a.png")
            member.size, member.mtime = 1, member_time
            archive.addfile(member, io.BytesIO(bytes([number])))
        os.utime(tmp_path / "a.tar", (0, number + 1))
        (arrival,) = arrivals_in(tmp_path)
        versions.add(arrival.file_version)
    assert versions == ({"1.0", "2.0"} if is_seen else {"7"})
