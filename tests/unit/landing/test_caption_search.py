"""Which caption files fit, and which lie in an archive: `pytest tests/unit/landing/test_caption_search.py`."""

from pathlib import Path

import pytest

from lib.landing.caption_search import _examined, _members, _Table
from lib.landing.zone import LandedFile
from tests.unit.landing.landed_files import settings, write_tar

HEADER = "image_id,caption\n"


def test_an_archive_in_a_folder_whose_name_looks_like_a_member_is_found() -> None:
    archives = ("file:///data/a!b/text.zip!", "file:///data/a!", "file:///data/c.zip!")
    sources = {
        "file:///data/a!b/text.zip!in/train.txt",
        "file:///data/c.zip!d.csv",
        "file:///data/c.zip!",
        "file:///e.csv",
    }
    assert _members(sources, archives) == [
        ("file:///data/a!b/text.zip", "in/train.txt"),
        ("file:///data/c.zip", "d.csv"),
    ]


def tables(path: Path, *members: str) -> list[_Table]:
    url = f"file://{path}"
    return [_Table(url, one, LandedFile(f"{url}!{one}" if one else url, 1, "")) for one in members or ("",)]


def test_a_caption_file_that_is_gone_when_it_is_examined_is_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "b_labels.csv").write_text(f"{HEADER}a,x\n")
    named = tables(tmp_path / "a_labels.csv") + tables(tmp_path / "b_labels.csv") + tables(tmp_path / "c.zip", "d.csv")
    files, read, faults = _examined(named, {table.landed for table in named}, settings(tmp_path))
    assert [file.path for file in files] == [file.path for file in read] == [f"file://{tmp_path}/b_labels.csv"]
    assert faults.keys() == {f"file://{tmp_path}/a_labels.csv", f"file://{tmp_path}/c.zip"}
    assert "a_labels.csv cannot be read to its end: [Errno 2] No such file or directory" in caplog.text


def test_an_archive_of_many_texts_that_are_no_caption_files_is_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    texts = {f"{number:03}.txt": b"a dog runs" for number in range(101)}
    write_tar(tmp_path / "many.tar", "w", texts)
    write_tar(tmp_path / "few.tar", "w", dict(list(texts.items())[:99]) | {"labels.csv": f"{HEADER}a,x\n".encode()})
    write_tar(tmp_path / "late.tar", "w", texts | {"labels.csv": f"{HEADER}a,x\n".encode()})
    archives = {
        "many": sorted(texts),
        "few": [*sorted(texts)[:99], "labels.csv"],
        "late": [*sorted(texts), "labels.csv"],
    }
    for name, num_sentences in (("many", 1), ("few", 99), ("late", 1)):
        caplog.clear()
        named = tables(tmp_path / f"{name}.tar", *archives[name])
        files, _, faults = _examined(named, {table.landed for table in named}, settings(tmp_path))
        assert [file.member for file in files] == ([] if name == "many" else ["labels.csv"])
        assert (len(caplog.records), list(faults)) == (num_sentences, [f"file://{tmp_path}/{name}.tar"])
        assert ("all of the 101 texts in" in caplog.text) == (name != "few")
