"""Which of several images with one id is taken in: `pytest tests/spark/landing/test_image_ids.py`."""

import io
import tarfile
import zipfile
from pathlib import Path

import pyspark.sql.functions as F
import pytest

from jobs import clean_images, ingest_images
from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from tests.spark.landing.test_ingest_images import num_commits
from tests.spark.landing_files import image, settings_for, write_zip


def ingest(lake: Lake, landing: Path, *overrides: str) -> None:
    ingest_images.run(lake.spark, settings_for(landing, f"storage.root={lake.storage.root}", *overrides))


def write(landing: Path, images: dict[str, bytes]) -> None:
    for name, data in images.items():
        (landing / name).parent.mkdir(exist_ok=True)
        (landing / name).write_bytes(data)


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> None:
    """A tar in which names may repeat."""
    with tarfile.open(path, mode) as archive:
        for name, image in members:
            member = tarfile.TarInfo(name)
            member.size = len(image)
            archive.addfile(member, io.BytesIO(image))


def taken_in(lake: Lake) -> dict[str, bytes]:
    return {row.image_id: bytes(row.image) for row in lake.read("images_raw").collect()}


def rejected(lake: Lake) -> list[tuple[str, str, str]]:
    """(image_id, reason, end of the source), sorted."""
    rows = lake.read("images_rejected").collect()
    return sorted((row.image_id, row.reason, row.source.rpartition("/")[2]) for row in rows)


def test_different_images_of_one_name_are_all_refused_until_ids_are_paths(lake, landing):
    write(landing, {"train/1.png": image(1), "test/1.png": image(2), "valid/1.png": image(3)})
    write_zip(landing / "a.zip", {"train/2.png": image(4), "test/2.png": image(5)})
    for _ in range(2):
        ingest(lake, landing)
        assert taken_in(lake) == {}
    rows = lake.read("images_rejected").collect()
    assert [row.reason for row in rows] == ["duplicate_image_id"] * 5
    assert all("set landing.image_id=path" in row.detail and f"file://{landing}" in row.detail for row in rows)

    ingest(lake, landing, "landing.image_id=path")
    assert taken_in(lake) == {
        "train/1": image(1),
        "test/1": image(2),
        "valid/1": image(3),
        "train/2": image(4),
        "test/2": image(5),
    }
    assert rejected(lake) == []


@pytest.mark.slow
def test_an_image_of_a_third_archive_is_not_taken_for_one_that_two_others_dispute(lake, landing):
    write_zip(landing / "a.zip", {"1.png": image(1)})
    write_zip(landing / "b.zip", {"1.png": image(2)})
    for _ in range(2):
        ingest(lake, landing)
    write_zip(landing / "c.zip", {"1.png": image(3)})
    ingest(lake, landing)
    assert taken_in(lake) == {}
    (landing / "a.zip").unlink()
    (landing / "c.zip").unlink()
    ingest(lake, landing)
    assert taken_in(lake) == {"1": image(2)}


def test_of_images_with_the_same_bytes_the_first_is_taken_in_and_of_members_with_the_same_path_the_last(lake, landing):
    write(landing, {"p.png": image(1), "z/p.png": image(1)})
    write_zip(landing / "a.zip", {"p.png": image(1)})
    for name, mode in (("q", "w"), ("r", "w:gz")):
        write_tar(landing / f"{name}.tar", [(f"{name}.png", image(number)) for number in (1, 2, 3)], mode)
    ingest(lake, landing)
    assert taken_in(lake) == {"p": image(1), "q": image(3), "r": image(3)}
    assert rejected(lake) == [
        ("p", "duplicate_image_id", "p.png"),
        ("p", "duplicate_image_id", "p.png"),
        ("q", "duplicate_image_id", "q.tar!q.png"),
        ("r", "duplicate_image_id", "r.tar!r.png"),
    ]
    first = lake.read("images_raw").where("image_id = 'p'").first()
    assert first.source.endswith("a.zip!p.png")
    # As two runs at once leave it: the other one has taken in what this one rejected.
    said = lake.read("images_rejected").where("image_id = 'p'").limit(1).withColumn("source", F.lit(first.source))
    lake.insert_new("images_rejected", said)
    write_tar(landing / "q.tar", [("q.png", image(4))], "a")  # as tar -r appends a newer file
    with zipfile.ZipFile(landing / "a.zip", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("p.png", image(5))
    ingest(lake, landing)
    assert taken_in(lake) == {"p": image(5), "q": image(4), "r": image(3)}
    assert [row[0] for row in rejected(lake)] == ["p", "p", "q", "r"]


def test_a_duplicate_that_arrives_later_is_refused_and_so_is_another_kind_of_id(lake, landing):
    write(landing, {"b/same.png": image(1)})
    ingest(lake, landing)
    write(landing, {"a/same.png": image(2)})
    ingest(lake, landing)
    assert taken_in(lake) == {"same": image(1)}
    row = lake.read("images_rejected").first()
    assert (row.reason, row.stage) == ("duplicate_image_id", "ingest")
    assert row.detail.startswith(f"the image_id is taken by file://{landing}/b/same.png and the bytes differ; if ")
    said = (
        r"was taken in as same and the settings of landing now call it b/same: set landing\.image_id and landing\.path"
    )
    with pytest.raises(LandingZoneError, match=said):
        ingest(lake, landing, "landing.image_id=path")


def test_images_of_one_id_are_compared_again_when_one_of_them_has_changed(lake, landing):
    write(landing, {"f/s.png": image(1), "g/s.png": image(1), "g/t.png": image(2)})
    (landing / "g/labels.csv").write_text("image_id,InChI\ns,InChI=1S/CH4/h1H4\n")
    write_zip(landing / "x.zip", {"t.png": image(2)})
    ingest(lake, landing)
    (landing / "f/s.png").write_bytes(image(3))
    (landing / "g/t.png").write_bytes(image(4))
    ingest(lake, landing)
    ingest(lake, landing)  # which opens the archive again
    assert taken_in(lake) == {"s": image(3), "t": image(4)}
    said = {row.source.rpartition("/")[2]: row.detail for row in lake.read("images_rejected").collect()}
    assert "f/s.png and the bytes differ; " in said["s.png"]
    assert "g/t.png and the bytes differ; " in said["x.zip!t.png"]
    assert "the caption lies beside" in said["labels.csv row 1"]
    before = num_commits(lake)
    ingest(lake, landing)
    assert num_commits(lake) == before


def test_a_damaged_image_takes_no_id_in_one_archive_or_two(lake, landing):
    for name, members in (("a.zip", {"x/p.png": image(1), "y/p.png": image(2)}), ("b.zip", {"q.png": image(3)})):
        write_zip(landing / name, members)
        content = bytearray((landing / name).read_bytes())
        content[45] ^= 0xFF
        (landing / name).write_bytes(content)
    write_zip(landing / "c.zip", {"q.png": image(4)})
    for _ in range(2):
        ingest(lake, landing)
        assert taken_in(lake) == {"p": image(2), "q": image(4)}
        assert rejected(lake) == [("p", "unreadable_member", "p.png"), ("q", "unreadable_member", "b.zip!q.png")]


@pytest.mark.slow
def test_an_image_that_cleaning_rejects_takes_no_id_whether_its_file_stays_or_goes(lake, landing):
    def clean() -> list[str]:
        clean_images.run(lake.spark, settings_for(landing, f"storage.root={lake.storage.root}"))
        return sorted(row.image_id for row in lake.read("images_clean").collect())

    heic, page = b"\0\0\0\x18ftypheic" + bytes(100), b"<!DOCTYPE html><html>404"
    write(landing, {"a.jpg": heic, "b.png": page, "c.png": image(3), "d.png": page})
    ingest(lake, landing)
    assert clean() == ["c"]
    (landing / "a.jpg").unlink()
    write(landing, {"a.png": image(1), "b.tif": image(2), "c.jpg": image(4), "d.jpg": heic})
    ingest(lake, landing)
    assert clean() == ["a", "b", "c"]
    assert taken_in(lake) == {"a": image(1), "b": image(2), "c": image(3), "d": heic}
    rows = lake.read("images_rejected").orderBy("image_id", "stage").collect()
    assert [(row.image_id, row.stage, row.reason, row.source.rpartition("/")[2]) for row in rows] == [
        ("a", "ingest", "unsupported_format", "a.jpg"),
        ("b", "ingest", "not_an_image", "b.png"),
        ("c", "ingest", "duplicate_image_id", "c.jpg"),
        ("d", "clean", "unsupported_format", "d.jpg"),
        ("d", "ingest", "not_an_image", "d.png"),
    ]
    before = num_commits(lake)
    ingest(lake, landing)  # d.png does not take the id back, as it is what it was
    clean()
    assert num_commits(lake) == before
    write(landing, {"d.png": image(5)})
    ingest(lake, landing)
    assert clean() == ["a", "b", "c", "d"]
    # What a run leaves that is killed before it takes in what was to have c's id.
    of_c = lake.read("images_raw").where("image_id = 'c'").first().source
    said = lake.read("images_rejected").where("image_id = 'a'")
    lake.upsert("images_rejected", said.withColumns({"image_id": F.lit("c"), "source": F.lit(of_c)}))
    ingest(lake, landing)
    assert lake.read("images_rejected").where("image_id = 'c'").select("source").first().source.endswith("c.jpg")
    assert lake.read("images_rejected").where("image_id = 'c'").count() == 1


@pytest.mark.slow
def test_an_image_is_taken_in_once_its_format_and_its_name_are_read(lake, landing):
    write(landing, {"one.png": image(1), "two.heic": image(2)})
    with tarfile.open(landing / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo(b"\xd6\xd0.png".decode("utf-8", "surrogateescape"))
        member.size = len(image(3))
        archive.addfile(member, io.BytesIO(image(3)))
    ingest(lake, landing)
    assert [row[:2] for row in rejected(lake)] == [("%D6%D0", "unreadable_name"), ("two.heic", "unsupported_format")]
    ingest(lake, landing, "landing.member_name_encoding=gbk", "landing.image_suffixes=[.png,.heic]")
    assert taken_in(lake) == {"one": image(1), "two": image(2), "\u4e2d": image(3)}
    assert rejected(lake) == []


def test_bad_names_links_and_hidden_folders_beside_an_image_cost_themselves_alone(lake, landing, caplog):
    write(landing, {"good`.png": image(1), ".hidden/good.png": image(2)})
    (landing / "gone.png").symlink_to("nowhere")
    (landing / b"\xe9.png".decode("utf-8", "surrogateescape")).write_bytes(image(3))
    write_zip(landing / "a.zip", {"__MACOSX/._good.png": b"x", "caf\u00e9`.png": image(4), "photo": image(5)})
    with caplog.at_level("INFO"):
        ingest(lake, landing)
    assert taken_in(lake) == {"good`": image(1), "caf\u00e9`": image(4)}
    assert rejected(lake) == [("%E9", "unreadable_name", "%E9.png"), ("gone", "unreadable_file", "gone.png")]
    assert "images rejected, as images_rejected says: 1 unreadable_file, 1 unreadable_name" in caplog.text
    assert (
        "2 new images; opened 1 of 1 archives; skipped 1 files of other kinds (such as 'photo'); skipped 2 hidden"
        in caplog.text
    )
