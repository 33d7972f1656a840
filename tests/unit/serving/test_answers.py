"""Requests as JSON, as common encoders and clients of MLflow write them."""

import base64
import json

import pytest

from lib.serving.answers import parse_caption_request, parse_invocation
from lib.serving.refusals import RefusedRequestError

IMAGE = bytes(range(256))
AS_ENCODERS_WRITE = [
    base64.b64encode(IMAGE).decode(),
    base64.encodebytes(IMAGE).decode(),  # a line break after 76 characters, and at the end
    base64.encodebytes(IMAGE).decode().replace("\n", "\r\n"),  # as in MIME
]


@pytest.mark.parametrize("written", AS_ENCODERS_WRITE)
def test_base64_is_read_with_and_without_line_breaks(written: str) -> None:
    assert parse_caption_request(json.dumps({"images": [written]}).encode()).images == [IMAGE]
    assert parse_invocation(json.dumps({"dataframe_records": [{"image": written}]})) == ([IMAGE], None)


def test_what_is_no_base64_is_refused_and_not_guessed_at() -> None:
    for wrong in ("data:image/png;base64," + AS_ENCODERS_WRITE[0], "-_" + AS_ENCODERS_WRITE[0], "%", "A"):
        with pytest.raises(RefusedRequestError, match="is not base64"):
            parse_invocation(json.dumps({"inputs": [wrong]}))


@pytest.mark.parametrize(
    ("params", "dataset"),
    [(None, None), ({}, None), ({"dataset": None}, None), ({"dataset": "photos"}, "photos"), ({"top_k": 3}, None)],
)
def test_params_are_optional_and_unknown_ones_are_not_looked_at(params: object, dataset: str | None) -> None:
    body = {"instances": [AS_ENCODERS_WRITE[0]], "params": params}
    assert parse_invocation(json.dumps(body)) == ([IMAGE], dataset)
