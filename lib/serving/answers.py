"""Requests and answers as JSON: images in base64 or by URL in, captions out; also MLflow's scoring protocol."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from lib.captioning.captioner import CaptionedImage
from lib.captioning.second_captioner import SecondCaption
from lib.serving.refusals import RefusedRequestError

IMAGE_COLUMN = "image"  # of MLflow's data frames
MAX_VALUES = 100_000  # in one request; images in base 64 are one each
EXAMPLE_ANSWER: dict[str, Any] = {
    "caption": "InChI=1S/C7H8/c1-7-5-3-2-4-6-7/h2-6H,1H3",
    "confidence": 0.98,
    "is_valid": True,
    "alternatives": [],
    "reason": None,
    "model_version": "pretrained-0123abcd",
    "second": {
        "caption": "InChI=1S/C7H8/c1-7-5-3-2-4-6-7/h2-6H,1H3",
        "captioner": "models:/other@champion",
        "reason": None,
    },
}


def _from_base64(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"is {type(value).__name__}, not an image file's bytes in base 64")
    try:
        return base64.b64decode("".join(value.split()), validate=True)  # many encoders break lines
    except (binascii.Error, ValueError):
        raise ValueError(
            "is not base64: send the bytes of an image file, encoded, without data:...;base64, before"
        ) from None


Base64Image = Annotated[
    bytes, BeforeValidator(_from_base64), WithJsonSchema({"type": "string", "contentEncoding": "base64"})
]


class CaptionRequest(BaseModel):
    """Images to caption: the bytes of their files in base 64, or URLs of hosts that the server allows."""

    model_config = ConfigDict(extra="forbid")

    images: list[Base64Image] = []
    urls: list[str] = []


class Alternative(BaseModel):
    """Another caption that the image might have."""

    caption: str
    score: float


class SecondAnswer(BaseModel):
    """What another captioner says of the image; `reason` says why it says nothing."""

    caption: str | None
    captioner: str = Field(description="nearest_neighbours, or the name of a model of MLflow")
    reason: str | None = Field(description="why there is no second caption")


class CaptionAnswer(BaseModel):
    """One image's caption; `reason` says why an image has none."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_ANSWER]})

    caption: str | None
    confidence: float | None = Field(
        description="probability that the caption is exactly right; of a sentence, the geometric mean probability of "
        "its words"
    )
    is_valid: bool | None = Field(description="whether the caption is well-formed in its notation")
    alternatives: list[Alternative] = Field(description="other captions, best first")
    reason: str | None = Field(description="why the image could not be read")
    model_version: str
    second: SecondAnswer | None = Field(default=None, description="null where the server has no second captioner")


class CaptionsAnswer(BaseModel):
    """One entry for each image, in the order sent."""

    captions: list[CaptionAnswer]


class InvocationsAnswer(BaseModel):
    """One entry for each row, in the order sent, as MLflow answers."""

    predictions: list[CaptionAnswer]


class VersionAnswer(BaseModel):
    """What runs here: the package's version, and the model of each dataset."""

    version: str
    models: dict[str, str] = Field(description="model version by dataset")


class StatusAnswer(BaseModel):
    """Whether the server works."""

    status: str


class Refusal(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str


def as_answer(image: CaptionedImage, model_version: str) -> CaptionAnswer:
    """One image's entry."""
    return CaptionAnswer(
        caption=image.caption,
        confidence=image.confidence,
        is_valid=image.is_valid,
        alternatives=[Alternative(caption=caption, score=score) for caption, score in image.alternatives],
        reason=image.reason,
        model_version=model_version,
    )


def with_second(answer: CaptionAnswer, second: SecondCaption, captioner: str) -> CaptionAnswer:
    """The entry with what a second captioner of that name says."""
    beside = SecondAnswer(caption=second.caption, captioner=captioner, reason=second.reason)
    return answer.model_copy(update={"second": beside})


def parse_caption_request(body: bytes) -> CaptionRequest:
    """Read the JSON of POST /caption. Raises RefusedRequestError."""
    _check_number_of_values(body)
    try:
        return CaptionRequest.model_validate_json(body)
    except ValidationError as error:
        raise RefusedRequestError(422, first_fault(error)) from None


def _check_number_of_values(body: bytes) -> None:
    """Raises RefusedRequestError for JSON of so many values that they would take many times its bytes."""
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise RefusedRequestError(413, f"the JSON has more than {MAX_VALUES:,} values: send fewer images at a time")


class _Split(BaseModel):
    columns: list[str]
    data: list[list[Any]]


class _Params(BaseModel):
    dataset: str | None = None


class Invocation(BaseModel):
    """Rows in one of the forms of MLflow's scoring protocol; `params.dataset` names the dataset.

    As with MLflow, params may be null, and those that are not known are not looked at.
    """

    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: dict[str, list[Any]] | list[Any] | None = None
    params: _Params | None = None


def parse_invocation(body: bytes | str) -> tuple[list[bytes], str | None]:
    """The images of a request to /invocations, and the dataset if it names one. Raises RefusedRequestError.

    There is at least one image. Text that is not Unicode is refused as bytes that are not UTF-8 are.
    """
    if isinstance(body, str):
        body = body.encode(errors="surrogatepass")
    _check_number_of_values(body)
    try:
        asked = Invocation.model_validate_json(body)
    except ValidationError as error:
        raise RefusedRequestError(422, first_fault(error)) from None
    forms = [asked.dataframe_split, asked.dataframe_records, asked.instances, asked.inputs]
    if sum(form is not None for form in forms) != 1:
        raise RefusedRequestError(
            422, "send exactly one of dataframe_split, dataframe_records, instances and inputs, as MLflow has them"
        )
    images = []
    for index, value in enumerate(_column(asked)):
        try:
            images.append(_from_base64(value))
        except ValueError as error:
            raise RefusedRequestError(422, f"{IMAGE_COLUMN} of row {index} {error}") from None
    if not images:
        raise RefusedRequestError(422, f"there is no row in the request: send an image in the column {IMAGE_COLUMN!r}")
    return images, asked.params.dataset if asked.params else None


def _column(asked: Invocation) -> list[Any]:
    """The values of the column `image`. Raises RefusedRequestError if a row has none."""
    if asked.dataframe_split is not None:
        columns = asked.dataframe_split.columns
        return _of_rows([dict(zip(columns, row, strict=False)) for row in asked.dataframe_split.data])
    if isinstance(asked.inputs, dict):
        return asked.inputs.get(IMAGE_COLUMN) or _of_rows([{}])
    return _of_rows(asked.dataframe_records or asked.instances or asked.inputs or [])


def _of_rows(rows: list[Any]) -> list[Any]:
    for index, row in enumerate(rows):
        if isinstance(row, dict) and IMAGE_COLUMN not in row:
            raise RefusedRequestError(422, f"row {index} has no column {IMAGE_COLUMN!r} with an image in base 64")
    return [row[IMAGE_COLUMN] if isinstance(row, dict) else row for row in rows]


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong with a request, without repeating what was sent."""
    fault = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, fault["loc"])) or "the body"
    if where in ("directory", "folder", "path"):
        return (
            f"{where!r} is not read by the server: caption a folder or an fsspec URL of images with jobs.run_pipeline"
        )
    if fault["type"] == "extra_forbidden":
        return f"{where[:40]!r} is not known here: send images or urls"
    return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
