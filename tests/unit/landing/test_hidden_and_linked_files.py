"""Hidden folders, links, formats and file names: `pytest tests/unit/landing/test_hidden_and_linked_files.py`."""

import os
import tempfile
from pathlib import Path

import pytest

from lib.errors import LandingZoneError
from lib.hidden_files import is_hidden
from lib.landing.archives import HIDDEN_MEMBERS, OTHER_MEMBERS, read_arrivals
from lib.landing.zone import LandingZone, list_landing_zone
from tests.unit.landing.landed_files import arrivals_in, contents, settings, write_tar, write_zip


def write(folder: Path, *names: str | bytes) -> None:
    for name in names:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"content")


def images(zone: LandingZone, root: Path) -> list[str]:
    return [file.path.removeprefix(f"file://{root}/") for file in zone.images]


SERVICE_FILES = (
    ".ipynb_checkpoints/p-checkpoint.png",
    "a/.Trash-0/p.png",
    "@eaDir/p.png",
    "b/__MACOSX/p.png",
    "._p.png",
    ".p/q.png",
    "#recycle/p.png",
    "c/@Recycle/p.png",
)


def test_hidden_and_service_folders_are_passed_over_and_counted_whatever_lies_in_them(tmp_path):
    write(tmp_path, "p.png", *SERVICE_FILES, ".ipynb_checkpoints/labels-checkpoint.csv", "@eaDir/x_layouts.parquet")
    zone = list_landing_zone(settings(tmp_path))
    assert images(zone, tmp_path) == ["p.png"]
    assert (zone.captions, zone.layouts, zone.archives, zone.rejected) == ([], [], [], [])
    assert (zone.num_hidden, len(zone.others)) == (len(SERVICE_FILES) + 2, 0)


@pytest.mark.parametrize("write_archive", [write_zip, lambda path, members: write_tar(path, "w", members)])
def test_hidden_members_of_an_archive_are_passed_over_and_counted(tmp_path, write_archive):
    write_archive(tmp_path / "a.zip", dict.fromkeys(("p.png", *SERVICE_FILES), b"content"))
    image, hidden = arrivals_in(tmp_path)
    assert (image.image_id, image.reason) == ("p", None)
    assert (hidden.reason, hidden.num_bytes) == (HIDDEN_MEMBERS, len(SERVICE_FILES))


def test_members_that_are_neither_images_nor_tables_are_counted(tmp_path):
    write_zip(tmp_path / "a.zip", dict.fromkeys(("photo", "p.png", "a.doc", "labels.csv", "notes.txt"), b"content"))
    image, others = arrivals_in(tmp_path)
    assert (image.image_id, image.reason) == ("p", None)
    assert (others.reason, others.num_bytes, others.detail) == (OTHER_MEMBERS, 2, "photo")


def test_a_landing_zone_below_a_hidden_folder_is_read(tmp_path):
    write(tmp_path, ".cache/landing/p.png")
    assert images(list_landing_zone(settings(tmp_path / ".cache" / "landing")), tmp_path) == [".cache/landing/p.png"]


def test_the_lake_below_a_landing_zone_is_passed_over_whatever_leads_to_it(tmp_path):
    data, lake = tmp_path / "data", tmp_path / "data" / "lake"
    write(data, "p.png", "labels.csv", "lake2/q.png", "lake/reports/labels.csv", "lake/x_layouts.parquet", "lake/r.png")
    (data / "alias").symlink_to(lake / "reports")
    (tmp_path / "link").symlink_to(data)
    for path in (str(data), f"file://{data}", str(tmp_path / "link")):
        for root in (str(lake), os.path.relpath(lake), str(tmp_path / "link" / "lake")):
            zone = list_landing_zone(settings(path), root)
            assert [file.path.rpartition("/")[2] for file in zone.images] == ["q.png", "p.png"]
            assert [file.path.rpartition("/")[2] for file in zone.captions] == ["labels.csv"]
            assert zone.layouts == []
    # A landing zone in the lake's folder is read; that folder itself is none.
    assert images(list_landing_zone(settings(lake), str(data)), lake) == ["r.png"]
    with pytest.raises(LandingZoneError, match=r"landing\.path and storage\.root are both"):
        list_landing_zone(settings(data), str(tmp_path / "link"))


def test_a_path_that_climbs_is_not_a_hidden_one():
    assert not is_hidden("../a/./p.png")
    assert is_hidden("..data/p.png")


def test_a_linked_folder_is_entered_once_and_a_loop_ends(tmp_path):
    write(tmp_path, "landing/a/p.png", "elsewhere/deep/q.png")
    landing = tmp_path / "landing"
    (landing / "a" / "loop").symlink_to(landing)
    (landing / "0_alias").symlink_to(landing / "a")
    (landing / "linked").symlink_to(tmp_path / "elsewhere")
    (landing / "linked_again").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "elsewhere")
    write(tmp_path, "not_landed.png")
    (landing / "0_parent").symlink_to(tmp_path)
    zone = list_landing_zone(settings(landing))
    assert images(zone, landing) == ["a/p.png", "linked/deep/q.png"]
    assert contents(arrivals_in(landing)) == {"p": b"content", "q": b"content"}


def test_a_link_into_a_hidden_folder_is_followed(tmp_path):
    write(tmp_path, ".store/p.png")
    (tmp_path / "images").symlink_to(tmp_path / ".store")
    assert images(list_landing_zone(settings(tmp_path)), tmp_path) == ["images/p.png"]


def test_links_to_nothing_and_pipes_are_rows_and_the_others_are_read(tmp_path):
    write(tmp_path, "good.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "gone.zip").symlink_to(tmp_path / "nowhere.zip")
    os.mkfifo(tmp_path / "pipe.png")
    zone = list_landing_zone(settings(tmp_path))
    assert images(zone, tmp_path) == ["good.png"]
    assert [(a.image_id, a.reason) for a in zone.rejected] == [
        ("gone", "unreadable_file"),
        ("gone.zip", "unreadable_file"),
        ("pipe", "unreadable_file"),
    ]
    assert "No such file" in str(zone.rejected[0].detail)


@pytest.fixture
def as_nobody():
    """A folder that all may read, and the rights of no special user: root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        user = os.geteuid()
        try:
            yield Path(folder), lambda: os.seteuid(65_534) if user == 0 else None
        finally:
            os.seteuid(user)


def test_files_that_may_not_be_read_are_rows_whatever_they_are(as_nobody):
    folder, give_up_rights = as_nobody
    for name in ("p.png", "a.zip", "labels.csv", "b_layouts.parquet", "good.png"):
        write(folder, name)
        (folder / name).chmod(0o644 if name == "good.png" else 0)
    give_up_rights()
    zone = list_landing_zone(settings(folder))
    assert images(zone, folder) == ["good.png"]
    assert {(a.image_id, a.reason) for a in zone.rejected} == {
        (name, "unreadable_file") for name in ("p", "a.zip", "labels.csv", "b_layouts.parquet")
    }
    assert "Permission denied" in str(zone.rejected[0].detail)


def test_an_image_that_is_gone_when_it_is_read_costs_itself_alone(tmp_path):
    write(tmp_path, "a.png", "b.png")
    arrivals = arrivals_in(tmp_path)
    (tmp_path / "a.png").unlink()
    assert contents(arrivals) == {"a": None, "b": b"content"}


def test_an_image_that_has_become_shorter_when_it_is_read_is_not_called_damaged(tmp_path):
    """Of a damaged file the next run would not ask again, and this one is being copied."""
    write(tmp_path, "a.png", "b.png")
    arrivals = arrivals_in(tmp_path)
    (tmp_path / "a.png").write_bytes(b"con")
    outcomes = {arrival.image_id: (image, reason) for arrival, image, reason, _ in read_arrivals(arrivals)}
    assert outcomes == {"a": (None, "unreadable_file"), "b": (b"content", None)}


def test_names_that_are_not_utf8_are_rows_that_can_be_written_and_hold_no_replacement_character(tmp_path):
    write(tmp_path, "good.png", b"\xd6\xd0.png", b"\xe9t\xe9/p.png", "lost\ufffd.png")
    zone = list_landing_zone(settings(tmp_path, image_id="path"))
    assert images(zone, tmp_path) == ["good.png"]
    assert {a.image_id: a.reason for a in zone.rejected} == {
        "%D6%D0": "unreadable_name",
        "%E9t%E9/p": "unreadable_name",
        "lost%EF%BF%BD": "unreadable_name",
    }
    assert all("".join(map(str, arrival)).encode() for arrival in zone.rejected)


@pytest.mark.parametrize(
    "name", ["p.svg", "p.PDF", "p.heic", "p.eps", "p.ai", "p.djvu", "p.rar", "p.tar.bz2", "p.cdxml", "p.zip.001"]
)
def test_images_of_a_format_that_is_not_read_are_rows_that_say_to_convert_them(tmp_path, name):
    write(tmp_path, "good.png", name)
    (row,) = list_landing_zone(settings(tmp_path)).rejected
    assert row.reason == "unsupported_format"
    assert "is not read: convert it to" in str(row.detail)
    (tmp_path / name).unlink()
    write_zip(tmp_path / "a.zip", {f"train/{name}": b"x", "q.png": b"y", "notes.txt": b"z"})
    assert {a.source.split("!")[-1]: a.reason for a in arrivals_in(tmp_path)} == {
        f"file://{tmp_path}/good.png": None,
        f"train/{name}": "unsupported_format",
        "q.png": None,
    }


@pytest.mark.parametrize("name", ["p.png.gz", "p.JPG.bz2"])
def test_an_image_that_is_packed_alone_is_a_row_that_says_to_unpack_it(tmp_path, name):
    write(tmp_path, name, "notes.txt.gz")
    write_zip(tmp_path / "a.zip", {f"train/{name}": b"x"})
    rows = [*list_landing_zone(settings(tmp_path)).rejected, *arrivals_in(tmp_path)]
    assert [row.reason for row in rows] == ["unsupported_format"] * 2
    assert all("unpack it" in str(row.detail) for row in rows)


def test_an_archive_inside_an_archive_is_a_row(tmp_path):
    write_zip(tmp_path / "a.zip", {"p.png": b"x", "inner.zip": b"y"})
    assert {a.image_id: a.reason for a in arrivals_in(tmp_path)} == {"p": None, "inner.zip": "unsupported_format"}


@pytest.mark.parametrize(
    ("url", "needs"),
    [
        ("hdfs://nowhere:9000/landing", "; it needs Hadoop's library libhdfs and Java"),
        ("abfss://container@account/landing", "; it needs the package adlfs"),
        ("nothing://x", ""),
    ],
)
def test_a_storage_whose_package_is_missing_or_that_cannot_be_reached_is_one_sentence(url, needs):
    with pytest.raises(LandingZoneError, match=rf"landing\.path {url} cannot be opened: .+{needs}$") as caught:
        list_landing_zone(settings(url))
    assert "\n" not in str(caught.value)


def test_a_changed_setting_makes_files_count_as_changed(tmp_path):
    write_zip(tmp_path / "a.zip")
    as_before, again = (list_landing_zone(settings(tmp_path)).archives for _ in range(2))
    assert as_before == again
    assert list_landing_zone(settings(tmp_path, image_id="path")).archives != as_before
    assert list_landing_zone(settings(tmp_path, image_suffixes=(".gif",))).archives != as_before
