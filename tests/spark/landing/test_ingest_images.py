"""From a landing zone to images_raw: `pytest tests/spark/landing/test_ingest_images.py`."""

import hashlib
from pathlib import Path

import pytest
from pyspark.testing import assertDataFrameEqual

from jobs import ingest_images
from lib.errors import LandingZoneError
from lib.lake.delta_tables import Lake
from lib.lake.schemas import REJECTION_REASONS
from tests.spark.landing_files import image, settings_for, write_captions, write_tar, write_zip


def ingest(lake: Lake, landing: Path, *overrides: str) -> None:
    settings = settings_for(landing, f"storage.root={lake.storage.root}", *overrides)
    ingest_images.run(lake.spark, settings)


def num_commits(lake: Lake) -> dict[str, int]:
    root = Path(lake.storage.root)
    return {folder.name: len(list((folder / "_delta_log").glob("*.json"))) for folder in root.iterdir()}


def rejected(lake: Lake) -> dict[str, str]:
    return {row.image_id: row.reason for row in lake.read("images_rejected").collect()}


def test_images_of_folders_and_archives_arrive_with_their_bytes_and_sources(lake, landing):
    (landing / "a" / "b").mkdir(parents=True)
    (landing / "a" / "b" / "loose.png").write_bytes(image(1))
    write_zip(landing / "two.zip", {"train/0/zipped.png": image(2), "readme.txt": b"not an image"})
    ingest(lake, landing)
    expected = lake.spark.createDataFrame(
        [
            (image_id, f"file://{landing}/{path}", len(data), hashlib.sha256(data).hexdigest(), data)
            for image_id, path, data in (
                ("loose", "a/b/loose.png", image(1)),
                ("zipped", "two.zip!train/0/zipped.png", image(2)),
            )
        ],
        "image_id string, source string, num_bytes long, sha256 string, image binary",
    )
    assertDataFrameEqual(lake.read("images_raw").select(*expected.columns), expected)


def test_a_second_run_commits_nothing_and_new_images_cost_their_own_rows_alone(lake, landing):
    members = {f"train/{i}.png": image(i) for i in range(20)}
    write_zip(landing / "train.zip", members)
    write_captions(landing / "labels.csv", {str(i): f"InChI=1S/C{i}" for i in range(20)})
    ingest(lake, landing)
    before = num_commits(lake)
    ingest(lake, landing)
    assert num_commits(lake) == before

    write_zip(landing / "train.zip", members | {"train/20.png": image(20)})
    (landing / "21.png").write_bytes(image(21))
    ingest(lake, landing)
    assert lake.read("images_raw").count() == 22
    assert lake.read("images_raw").select("image_id").distinct().count() == 22
    assert num_commits(lake)["images_raw"] == before["images_raw"] + 1
    assert num_commits(lake)["captions"] == before["captions"]


def test_one_archive_is_read_in_commits_of_bounded_size(lake, landing):
    write_zip(landing / "train.zip", {f"{i}.png": image(i) for i in range(10)})
    ingest(lake, landing, "landing.images_per_commit=4")
    sizes = sorted(row["count"] for row in lake.read("images_raw").groupBy("ingested_at").count().collect())
    assert sizes == [2, 4, 4]


@pytest.mark.slow
def test_a_run_killed_between_commits_is_completed_by_the_next(lake, landing, monkeypatch):
    write_zip(landing / "train.zip", {f"{i}.png": image(i) for i in range(10)} | {"../up.png": b"x"})
    insert, calls = Lake.insert_new, []

    def killed_at_third_commit(self, name, rows):
        calls.append(name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        insert(self, name, rows)

    monkeypatch.setattr(Lake, "insert_new", killed_at_third_commit)
    with pytest.raises(KeyboardInterrupt):
        ingest(lake, landing, "landing.images_per_commit=4")
    monkeypatch.undo()
    assert lake.read("images_raw").count() < 10
    ingest(lake, landing, "landing.images_per_commit=4")
    assert sorted(row.image_id for row in lake.read("images_raw").collect()) == [str(i) for i in range(10)]
    assert rejected(lake) == {"up": "unsafe_path"}


def test_what_cannot_be_taken_in_has_a_row_with_its_reason(lake, landing):
    write_zip(landing / "a.zip", {"../../climbs.png": b"x", "bomb.png": bytes(5000), "good.png": image(0)})
    write_zip(landing / "broken.zip", {"lost.png": image(1)})
    (landing / "broken.zip").write_bytes((landing / "broken.zip").read_bytes()[:-30])
    write_tar(landing / "cut.tar", {"whole.png": image(2), "cut.png": bytes(2000)})
    (landing / "cut.tar").write_bytes((landing / "cut.tar").read_bytes()[:2500])
    (landing / "large.png").write_bytes(bytes(4000))
    (landing / "good.png").write_bytes(image(0))
    ingest(lake, landing, "landing.max_image_bytes=3000")
    assert rejected(lake) == {
        "climbs": "unsafe_path",
        "bomb": "decompression_bomb",
        "broken.zip": "unreadable_archive",
        "cut.tar": "unreadable_archive",
        "cut": "unreadable_member",
        "large": "too_many_bytes",
        "good": "duplicate_image_id",
    }
    assert set(rejected(lake).values()) <= set(REJECTION_REASONS)
    assert sorted(row.image_id for row in lake.read("images_raw").collect()) == ["good", "whole"]
    before = num_commits(lake)
    ingest(lake, landing, "landing.max_image_bytes=3000")
    assert num_commits(lake) == before


@pytest.mark.slow
def test_what_could_not_be_taken_in_is_read_later_and_what_was_said_of_it_goes(lake, landing):
    """An image too large for the settings, an archive that is still being copied, a table that cannot be opened."""
    (landing / "large.png").write_bytes(image(7) + bytes(4000))
    write_tar(landing / "a.tar", {f"{number}.png": image(number) for number in range(3)})
    whole = (landing / "a.tar").read_bytes()
    (landing / "a.tar").write_bytes(whole[: 512 + 100])
    (landing / "labels.csv").symlink_to(landing / "gone")
    for _ in range(2):
        ingest(lake, landing, "landing.max_image_bytes=3000")
        assert rejected(lake) == {
            "0": "unreadable_member",
            "a.tar": "unreadable_archive",
            "labels.csv": "unreadable_file",
            "large": "too_many_bytes",
        }
    (landing / "a.tar").write_bytes(whole)
    (landing / "labels.csv").unlink()
    write_captions(landing / "labels.csv", {"0": "InChI=1S/CH4/h1H4"})
    ingest(lake, landing)
    assert sorted(row.image_id for row in lake.read("images_raw").collect()) == ["0", "1", "2", "large"]
    assert [row.image_id for row in lake.read("captions").collect()] == ["0"]
    assert rejected(lake) == {}


@pytest.mark.slow
def test_what_was_away_for_a_run_is_said_to_be_so_no_longer_than_it_is(lake, landing, tmp_path):
    """A folder that is there later, and an archive and a table that are back as they were."""
    (landing / "p.png").write_bytes(image(1))
    (landing / "folder").symlink_to(tmp_path / "disk")
    write_zip(landing / "a.zip", {"q.png": image(2)})
    write_captions(landing / "labels.csv", {"p": "InChI=1S/CH4/h1H4"})
    ingest(lake, landing)
    assert rejected(lake) == {"folder": "unreadable_file"}
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "disk" / "deep" / "r.png").write_bytes(image(3))
    for name in ("a.zip", "labels.csv"):
        (landing / name).rename(tmp_path / name)
        (landing / name).symlink_to(tmp_path / "gone")
    ingest(lake, landing)
    assert rejected(lake) == {"a.zip": "unreadable_file", "labels.csv": "unreadable_file"}
    for name in ("a.zip", "labels.csv"):
        (tmp_path / name).replace(landing / name)
    ingest(lake, landing)
    assert rejected(lake) == {}
    assert sorted(row.image_id for row in lake.read("images_raw").collect()) == ["p", "q", "r"]
    assert [row.image_id for row in lake.read("captions").collect()] == ["p"]


@pytest.mark.slow
def test_a_corrected_archive_takes_back_what_was_said_of_members_that_it_has_no_longer(lake, landing):
    nested = landing / "a.zip!b"  # is no member of a.zip, and nothing in it is read
    nested.mkdir()
    write_zip(nested / "c.zip", {"d.svg": b"x"})
    write_zip(landing / "a.zip", {"../up.png": image(1), "p.svg": b"x", "kept.svg": b"x", "q.png": image(2)})
    ingest(lake, landing)
    assert sorted(rejected(lake)) == ["c.zip", "kept.svg", "p.svg", "up"]
    whole = (landing / "a.zip").read_bytes()
    (landing / "a.zip").write_bytes(whole[:-30])  # half copied, it takes nothing back
    ingest(lake, landing)
    assert sorted(rejected(lake)) == ["a.zip", "c.zip", "kept.svg", "p.svg", "up"]
    write_zip(landing / "a.zip", {"up.png": image(1), "p.png": image(3), "kept.svg": b"x"})
    ingest(lake, landing)
    assert sorted(rejected(lake)) == ["c.zip", "kept.svg"]
    assert sorted(row.image_id for row in lake.read("images_raw").collect()) == ["p", "q", "up"]


def test_an_empty_landing_zone_stops_the_job_with_the_setting_to_change(lake, landing):
    with pytest.raises(LandingZoneError, match=r"landing\.path"):
        ingest(lake, landing)
