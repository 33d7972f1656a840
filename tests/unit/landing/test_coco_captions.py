"""COCO's caption JSON: read entry by entry, with a row or a sentence for what is wrong in it."""

import gzip
import json
from pathlib import Path

import pytest

from lib.errors import LandingZoneError
from lib.landing import coco_captions
from lib.landing.caption_file_names import is_captions_file
from lib.landing.caption_files import CaptionRow, examine, read_rows
from lib.landing.zone import list_landing_zone
from tests.unit.landing.landed_files import settings

IMAGES = [{"id": 7, "file_name": "000000000007.jpg", "height": 4}, {"id": 391895, "file_name": "val/b.png"}]
ANNOTATIONS = [
    {"image_id": 391895, "id": 1, "caption": 'A man, on a "bike".\n'},
    {"image_id": 7, "id": 2, "caption": "A dog\nruns: { [ caf\u00e9"},
    {"image_id": 7, "id": 3, "caption": "A second one"},
]
WHOLE = {"info": {"year": 2014, "more": [1, 2.5e3, None, True]}, "annotations": ANNOTATIONS, "images": IMAGES}


def rows_of(path: Path, content: object, prefixes: tuple[str, ...] = ("",)) -> list[CaptionRow]:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    landing = settings(path.parent)
    file = examine(f"file://{path}", "", landing)
    assert file is not None
    return list(read_rows(file, landing, prefixes))


@pytest.mark.parametrize("chars_at_a_time", [1, 7, 2**16])
@pytest.mark.parametrize("lists_first", ["annotations", "images"])
def test_captions_get_the_file_names_of_their_images_in_whatever_pieces_the_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chars_at_a_time: int, lists_first: str
) -> None:
    monkeypatch.setattr(coco_captions, "CHARS_AT_A_TIME", chars_at_a_time)
    ordered = {lists_first: WHOLE[lists_first], **WHOLE}
    for content in (json.dumps(ordered).encode(), json.dumps(ordered, indent=2, ensure_ascii=False).encode("utf-16")):
        rows = rows_of(tmp_path / "captions_val2014.json", content)
        assert [(row.image_id, row.caption, row.position, row.reason) for row in rows] == [
            ("b", 'A man, on a "bike".', 1, None),
            ("000000000007", "A dog runs: { [ caf\u00e9", 2, None),
            ("000000000007", "A second one", 3, None),
        ]


def test_a_packed_file_is_read_and_a_file_is_one_of_captions_by_its_name(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "captions.json.gz", gzip.compress(json.dumps(WHOLE).encode()))
    assert len(rows) == 3
    landing = settings(tmp_path, captions_files=("*captions*", "*labels*"))
    named = ("captions_train2017.json", "captions.json.gz", "instances_train2017.json", "captions_val2017.jsonl")
    assert [is_captions_file(name, landing) for name in named] == [True, True, False, False]


def test_a_coco_file_may_be_a_list_of_a_split_and_hold_captions_and_a_plain_list_may_not(tmp_path: Path) -> None:
    files = {"train": "captions_train.txt", "validation": "captions_val.json", "test": "instances_test.json"}
    landing = settings(tmp_path, captions_files="*captions*", split_files=files)
    for name in ("a.jpg", *files.values()):
        (tmp_path / name).write_text("content")
    zone = list_landing_zone(landing)
    assert [file.path.rpartition("/")[2] for file in zone.captions] == ["captions_val.json"]
    assert {file.path.rpartition("/")[2] for file in zone.split_lists} == set(files.values())


def test_bad_entries_are_rejected_rows_and_the_others_are_read(tmp_path: Path) -> None:
    images = [*IMAGES, {"id": 9}, "no object", {"id": 10, "file_name": "\ud800.jpg"}]
    annotations = [
        {"image_id": 7, "caption": "fine"},
        {"image_id": 7},
        {"image_id": 7, "caption": " \n"},
        {"image_id": 7, "caption": ["a", "list"]},
        {"caption": "of nothing"},
        {"image_id": 8, "caption": "of an image that is not listed"},
        {"image_id": 9, "caption": "of an image without a name"},
        {"image_id": [7], "caption": "of a list"},
        "no object",
        None,
        {"image_id": 7, "caption": "half a sign \ud83d"},
        {"image_id": 7, "caption": "nul \0"},
        {"image_id": 10, "caption": "of an image with half a sign"},
        {"image_id": 7, "caption": "last"},
    ]
    rows = rows_of(tmp_path / "captions.json", {"images": images, "annotations": annotations})
    assert [row.reason or row.caption for row in rows] == [
        "fine",
        *["empty_caption"] * 4,
        *["unlisted_image"] * 3,
        *["empty_caption"] * 2,
        *["unreadable_row"] * 3,
        "last",
    ]
    assert "the file lists no image 8" in (rows[5].detail or "")
    for row in rows:
        f"{row}".encode()  # a table takes it


def test_an_entry_without_an_image_id_is_of_no_image_whatever_else_has_no_id(tmp_path: Path) -> None:
    images = [*IMAGES, {"id": None, "file_name": "null.jpg"}, {"file_name": "noid.jpg"}]
    annotations = [
        {"caption": "of no id"},
        {"image_id": None, "caption": "of null"},
        5,
        {"image_id": 7, "caption": "x"},
    ]
    rows = rows_of(tmp_path / "captions.json", {"images": images, "annotations": annotations})
    assert [(row.image_id, row.reason) for row in rows] == [
        ("row 1", "empty_caption"),
        ("row 2", "empty_caption"),
        ("row 3", "empty_caption"),
        ("000000000007", None),
    ]


def test_ids_are_compared_as_numbers_where_both_are(tmp_path: Path) -> None:
    images = [
        {"id": 1.0, "file_name": "one.jpg"},
        {"id": 2, "file_name": "two.jpg"},
        {"id": 2.5, "file_name": "half.jpg"},
    ]
    entries = [1, 2.0, 2.5, "2", "2.0", True]
    annotations = [{"image_id": image_id, "caption": "x"} for image_id in entries]
    rows = rows_of(tmp_path / "captions.json", {"images": images, "annotations": annotations})
    unlisted = ["unlisted_image"] * 2
    assert [row.reason or row.image_id for row in rows] == ["one", "two", "half", "two", *unlisted]


def test_a_damaged_byte_costs_its_entry_alone(tmp_path: Path) -> None:
    captions = [{"image_id": 7, "caption": text} for text in ("caf\u00e9", "na?ve", "h\u00f4tel")]
    content = json.dumps({"images": IMAGES, "annotations": captions}, ensure_ascii=False).encode()
    rows = rows_of(tmp_path / "captions.json", content.replace(b"na?ve", b"na\xefve"))
    assert [row.reason or row.caption for row in rows] == ["caf\u00e9", "unreadable_row", "h\u00f4tel"]


def test_captions_of_another_notation_are_rejected(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "captions.json", WHOLE, ("A dog",))
    assert [row.reason for row in rows] == ["other_notation", None, "other_notation"]
    assert "does not begin with A dog" in (rows[0].detail or "")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (json.dumps(WHOLE)[:-40], "is no whole JSON"),
        (json.dumps(WHOLE).replace("}, {", "} {", 1), r"is no whole JSON: ',' is missing before"),
        ('{"annotations": [1,], "images": []}', "is no whole JSON: a comma stands before"),
        ('{"annotations": ' + 100_000 * "[", "is no whole JSON"),
        ('{"annotations": [{"caption": "' + 3_000_000 * "x" + '"}]}', "longer than 1,000,000 characters"),
        ('{"images": [], "annotations": []}', "JSON without the lists images and annotations"),
        (json.dumps(WHOLE | {"images": [{"id": 7, "coco_url": "u"}]}), "none of them has an id and a file_name"),
        ('{"image_id": "a", "caption": "b"}', "JSON without the lists images and annotations"),
        (
            json.dumps(WHOLE | {"images": [*IMAGES, {"id": 7, "file_name": "c.jpg"}]}),
            r"lists image 7 twice, as 000000000007\.jpg and as c\.jpg",
        ),
        (
            json.dumps(WHOLE | {"images": [{"id": 7, "file_name": one * 9999} for one in "ab"]}),
            "lists image 7 twice, as a{100} and as b{100}: take one out",
        ),
        (
            json.dumps(WHOLE) + "\n" + json.dumps(WHOLE),
            r"no whole JSON: more follows its end: .* JSON Lines are not read",
        ),
    ],
    ids=["cut", "comma", "last comma", "deep", "long", "empty", "no names", "other", "twice", "twice long", "joined"],
)
def test_a_file_that_does_not_fit_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "captions.json"
    path.write_text(content)
    with pytest.raises(LandingZoneError, match=sentence) as caught:
        examine(f"file://{path}", "", settings(tmp_path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
