"""Which sources of the ledger lie in which archive: `pytest tests/unit/landing/test_caption_search.py`."""

from lib.landing.caption_search import _members


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
