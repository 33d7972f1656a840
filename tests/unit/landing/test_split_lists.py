"""Lists of images by split, in every encoding: `pytest tests/unit/landing/test_split_lists.py`."""

import gzip
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from lib.errors import LandingZoneError
from lib.landing.archived_tables import list_members
from lib.landing.caption_file_names import base_name
from lib.landing.split_lists import splits_in_lists
from lib.landing.zone import list_landing_zone
from tests.unit.landing.landed_files import settings

LISTS = {"train": "train.txt", "test": "test.txt"}


def splits(folder: Path, **lists: bytes) -> dict[str, str]:
    (folder / "a.jpg").write_bytes(b"content")
    for split, content in lists.items():
        (folder / LISTS[split]).write_bytes(content)
    landing = settings(folder, split_files={split: LISTS[split] for split in lists})
    return splits_in_lists([(file.path, "") for file in list_landing_zone(landing).split_lists], landing)


def test_a_list_in_an_archive_is_read_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("Flickr8k/train.txt", "a.jpg\n")
    landing = settings(tmp_path, split_files={"train": "train.txt"})
    path = f"file://{tmp_path}/text.zip"
    (found,) = list_members([pd.DataFrame({"path": [path]})], landing)
    assert found.to_dict("records") == [{"path": path, "member": "Flickr8k/train.txt", "num_bytes": 6}]
    assert splits_in_lists([(path, "Flickr8k/train.txt")], landing) == {"a": "train"}
    assert base_name("C:\\Flickr8k\\train.txt") == base_name("Flickr8k/train.txt") == "train.txt"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_lists_are_read_in_the_encodings_of_caption_files(tmp_path: Path, encoding: str) -> None:
    content = "caf\u00e9.jpg\r\n\r\n b.jpg \r\n".encode(encoding)
    assert splits(tmp_path, train=content, test=b"c.jpg") == {"caf\u00e9": "train", "b": "train", "c": "test"}


def test_an_image_in_two_lists_stops_the_job(tmp_path: Path) -> None:
    with pytest.raises(LandingZoneError, match="lists a for split test, another list of landing"):
        splits(tmp_path, train=b"a.jpg\n", test=b"b.jpg\na.jpg\n")


def test_a_damaged_list_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LandingZoneError, match=r"test\.txt cannot be read to its end"):
        splits(tmp_path, test=gzip.compress(b"a.jpg\n" * 999)[:-9])


def test_a_list_that_is_gone_when_it_is_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(LandingZoneError, match=r"train\.txt cannot be read to its end: .*No such file"):
        splits_in_lists([(f"file://{tmp_path}/train.txt", "")], settings(tmp_path, split_files={"train": "train.txt"}))


def test_of_some_lists_without_that_of_validation_or_test_none_is_applied(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"train": "train.txt", "validation": "dev.txt", "test": "TEST.txt"}
    landing = settings(tmp_path, split_files=files)
    for name in ("train.txt", "dev.txt", "test.txt"):
        (tmp_path / name).write_text(f"{name}.jpg\n")
    lists = {name: (f"file://{tmp_path}/{name}", "") for name in ("train.txt", "dev.txt", "test.txt")}
    assert len(splits_in_lists(list(lists.values()), landing)) == 3
    assert splits_in_lists([], landing) == {}
    sentence = r"some have arrived, and not dev\.txt \(split validation\) or TEST\.txt \(split test\): its images would"
    with pytest.raises(LandingZoneError, match=sentence):
        splits_in_lists([lists["train.txt"]], landing)
    with pytest.raises(LandingZoneError, match=r"and not TEST\.txt \(split test\): its"):
        splits_in_lists([lists["train.txt"], lists["dev.txt"]], landing)
    assert caplog.text == ""
    assert len(splits_in_lists([lists["dev.txt"], lists["test.txt"]], landing)) == 2
    assert "train.txt has not arrived: images in no list are of split train" in caplog.text


def test_a_coco_file_lists_its_images(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "a.jpg"},
        {"id": 2, "file_name": "val/b.jpg"},
        {"id": 3, "file_name": "\ud800.jpg"},
    ]
    content = json.dumps({"images": images, "annotations": [{"image_id": 1, "caption": "x" * 2000}]})
    (tmp_path / "captions_val.json.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "train.txt").write_text("c.jpg\n")
    landing = settings(tmp_path, split_files={"train": "train.txt", "validation": "Captions_val.json.gz"})
    lists = [(f"file://{tmp_path}/captions_val.json.gz", ""), (f"file://{tmp_path}/train.txt", "")]
    assert splits_in_lists(lists, landing) == {"a": "validation", "b": "validation", "c": "train"}
    (tmp_path / "captions_val.json.gz").write_text('["a.jpg"]')
    with pytest.raises(LandingZoneError, match=r"captions_val\.json\.gz is no whole JSON: '\{' is missing before"):
        splits_in_lists(lists, landing)


def test_a_line_that_is_too_long_for_a_name_is_refused_and_long_names_are_cut_in_messages(tmp_path: Path) -> None:
    name = "x" * 996 + ".jpg"
    assert splits(tmp_path, train=f"{name}\nb.jpg".encode()) == {name[:-4]: "train", "b": "train"}
    with pytest.raises(LandingZoneError, match=r"train\.txt has a line of more than 1,000 characters") as caught:
        splits(tmp_path, train=f"a.jpg\nx{name}\n".encode())
    assert len(str(caught.value)) < 300
    with pytest.raises(LandingZoneError, match=r"test\.txt lists x{100} for split test") as caught:
        splits(tmp_path, train=name.encode(), test=name.encode())
