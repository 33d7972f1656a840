"""What models of others may answer, and what becomes of it: `pytest tests/unit/captioning/test_pyfunc_captioner.py`."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib.captioning.pyfunc_captioner import PyfuncCaptioner
from lib.captioning.second_captioner import SecondCaption, shown_name


class Saying:
    """A model that says of all images what it was made with."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def predict(self, _: pd.DataFrame) -> Any:
        return self.said


class ByLength:
    """A model that names an image by the number of its bytes, and stumbles over empty ones."""

    def __init__(self) -> None:
        self.num_calls = 0

    def predict(self, data: pd.DataFrame) -> pd.DataFrame:
        self.num_calls += 1
        if not all(data["image"]):
            raise ValueError("no bytes at https://key@service")
        return pd.DataFrame({"score": 1.0, "caption": [f"{len(image)} bytes" for image in data["image"]]})


def test_images_arrive_as_bytes_in_one_batch_and_captions_are_those_of_the_column() -> None:
    model = ByLength()
    said = PyfuncCaptioner(model).caption([b"a", b"bcd"])
    assert (said, model.num_calls) == ([SecondCaption("1 bytes"), SecondCaption("3 bytes")], 1)


def test_an_image_that_the_model_fails_at_costs_itself_alone_and_tells_no_secrets() -> None:
    first, bad, last = PyfuncCaptioner(ByLength()).caption([b"a", b"", b"bcd"])
    assert (first.caption, last.caption) == ("1 bytes", "3 bytes")
    assert bad[:3] == (None, "the second captioner failed at this image (ValueError)", "failed")
    assert "no bytes at https://key@service" in str(bad.fault)


@pytest.mark.parametrize(
    "said",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        pd.Series(["a", "b"]),
        pd.DataFrame({"caption": ["a", "b"]}, index=[7, 9]),
    ],
)
def test_plain_strings_are_captions_whatever_holds_them(said: Any) -> None:
    captions = PyfuncCaptioner(Saying(said)).caption([b"", b""])
    assert captions == [SecondCaption("a"), SecondCaption("b")]
    assert {type(one.caption) for one in captions} == {str}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([None], "the second captioner has no caption for this image"),
        (pd.DataFrame({"caption": [np.nan]}), "the second captioner has no caption for this image"),
        (pd.Series([pd.NA], dtype="string"), "the second captioner has no caption for this image"),
        ([3], "the second captioner answered int for this image, not text"),
        ([np.zeros(2)], "the second captioner answered ndarray for this image, not text"),
        (["a" * 10_001], "the second captioner answered 10001 characters, more than 10000"),
        (["a", "b"], "the second captioner answered list of 2 rows, not a caption for each image"),
        ("a", "the second captioner answered str, not a caption for each image"),
        (None, "the second captioner answered NoneType, not a caption for each image"),
        (
            pd.DataFrame({"text": ["a"]}),
            "the second captioner answered a data frame without a column caption, not a caption for each image",
        ),
    ],
)
def test_anything_else_is_one_sentence(said: Any, reason: str) -> None:
    assert PyfuncCaptioner(Saying(said)).caption([b""]) == [SecondCaption(None, reason, "failed")]


def test_a_caption_that_json_cannot_hold_is_mended() -> None:
    assert PyfuncCaptioner(Saying(["a \ud800 dog"])).caption([b""]) == [SecondCaption("a ? dog")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("nearest_neighbours", "nearest_neighbours"),
        ("models:/other@champion", "models:/other@champion"),
        ("/data/secret/blip", "blip"),
        ("s3://key:secret@bucket/models/blip?token=x", "blip"),
    ],
)
def test_answers_name_a_model_without_where_it_lies(name: str, shown: str) -> None:
    assert shown_name(name) == shown
