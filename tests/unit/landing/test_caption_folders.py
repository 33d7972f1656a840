"""Whether the folders that a caption names are those of an image of the same name."""

from pathlib import Path

import pytest

from lib.landing.caption_folders import DEEPER, OTHER, SAME, fit_of_folders
from lib.landing.zip_directory import member_name
from tests.unit.landing.landed_files import settings


@pytest.mark.parametrize(
    ("caption", "image", "fit"),
    [
        ("train/1", "test/1.png", OTHER),
        ("train/0/1", "test/0/1.png", OTHER),
        ("train/1", "train/1.png", SAME),
        ("images/1", "2024/Images/1.PNG", SAME),
        ("images/1", "1.png", DEEPER),
        ("set/images/1", "images/1.png", DEEPER),
        ("../images/1", "images/1.png", SAME),
        ("train/1", "train.zip!1.png", SAME),
        ("train/1", "test.tar.gz!1.png", OTHER),
        ("train/1", "all.TAR!train/1.png", SAME),
        ("all/train/1", "all.zip!test/1.png", OTHER),
        ("mu\u0308/1", "m\u00fc/1.png", OTHER),  # rows are brought to NFC when they are read
        ("m\u00fc/1", "mu\u0308/1.png", SAME),
    ],
)
def test_folders_are_compared_from_the_innermost_as_far_as_both_have_any(tmp_path, caption, image, fit):
    assert fit_of_folders(caption, f"file://{tmp_path}/{image}", settings(tmp_path)) == fit


def test_folders_of_members_are_read_in_the_encoding_that_the_setting_names(tmp_path):
    landing = settings(tmp_path, member_name_encoding="gbk")
    for folder in ("%D6%D0%CE%C4", "\u4e2d\u6587"):  # one member as it is escaped, the other was UTF-8
        source = f"file://{tmp_path}/\u4e2d.zip!{folder}/1.png"
        assert fit_of_folders("\u4e2d\u6587/1", source, landing) == SAME
        assert fit_of_folders("\u6587/1", source, landing) == OTHER


def test_an_image_of_another_landing_zone_has_all_its_folders(tmp_path: Path):
    landing = settings(tmp_path / "today")
    assert fit_of_folders("images/1", f"file://{tmp_path}/yesterday/1.png", landing) == OTHER
    assert fit_of_folders("images/1", f"file://{tmp_path}/yesterday/images/1.png", landing) == SAME


@pytest.mark.parametrize("folder", ["\u56fe1", "\u4e2d\u6587"])  # the first one's bytes in GBK pass for UTF-8
def test_folders_of_members_are_compared_in_the_encoding_of_their_names(tmp_path: Path, folder: str) -> None:
    landing = settings(tmp_path, member_name_encoding="gbk")
    name = member_name(f"{folder}/p.png".encode("gbk"))
    assert fit_of_folders(f"{folder}/p", f"file://{tmp_path}/a.zip!{name}", landing) == SAME
    assert fit_of_folders("other/p", f"file://{tmp_path}/a.zip!{name}", landing) == OTHER
