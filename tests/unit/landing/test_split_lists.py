"""Lists of images by split, in every encoding: `pytest tests/unit/landing/test_split_lists.py`."""

import gzip
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from lib.errors import LandingZoneError
from lib.landing.archived_tables import list_members
from lib.landing.split_lists import splits_in_lists
from lib.landing.zone import list_landing_zone
from tests.unit.landing.landed_files import settings

LISTS = {"train": "train.txt", "test": "test.txt"}


def splits(folder: Path, **lists: bytes) -> dict[str, str]:
    (folder / "a.jpg").write_bytes(b"content")
    for split, content in lists.items():
        (folder / LISTS[split]).write_bytes(content)
    landing = settings(folder, split_files=LISTS)
    return splits_in_lists([(file.path, "") for file in list_landing_zone(landing).split_lists], landing)


def test_a_list_in_an_archive_is_read_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "text.zip", "w") as archive:
        archive.writestr("Flickr8k/train.txt", "a.jpg\n")
    landing = settings(tmp_path, split_files=LISTS)
    path = f"file://{tmp_path}/text.zip"
    (found,) = list_members([pd.DataFrame({"path": [path]})], landing)
    assert found.to_dict("records") == [{"path": path, "member": "Flickr8k/train.txt", "num_bytes": 6}]
    assert splits_in_lists([(path, "Flickr8k/train.txt")], landing) == {"a": "train"}


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
