"""What the OpenAPI page says beside what FastAPI finds out: bodies with examples, and when requests are refused."""

import base64
from typing import Any

from lib.serving.answers import CaptionRequest, Refusal
from lib.serving.example_drawing import example_png

EXAMPLE = base64.b64encode(example_png()).decode()
DESCRIPTION = """Captions for images, with a confidence and alternatives. Send files to `/caption`;
`/invocations` speaks MLflow's scoring protocol. A refused request is answered with `{"detail": "one sentence"}`."""
STATUSES = {
    400: "a form that is broken, has too many parts, or is not in UTF-8",
    401: "no API key, or one that is unknown or revoked",
    408: "the body did not come in time",
    413: "too many bytes or images",
    415: "neither a form nor JSON",
    422: "no image in the request could be read, or the request is malformed",
    429: "too many requests of one key, or too many images or bytes wait; `Retry-After` says for how many seconds",
    503: "the models are being loaded",
    504: "no answer in time",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": meaning} for status, meaning in STATUSES.items()
}

_FORM = {"type": "object", "properties": {"images": {"type": "array", "items": {"type": "string", "format": "binary"}}}}
CAPTION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {
                "schema": CaptionRequest.model_json_schema(),
                "examples": {
                    "images": {"summary": "a drawing of toluene, in base 64", "value": {"images": [EXAMPLE]}},
                    "urls": {
                        "summary": "by URL, where the server allows the host",
                        "value": {"urls": ["https://images.example.org/drawing.png"]},
                    },
                },
            },
        },
    }
}
INVOCATION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "one of MLflow's forms, and `params.dataset` if it is needed",
                },
                "examples": {
                    "dataframe_split": {"value": {"dataframe_split": {"columns": ["image"], "data": [[EXAMPLE]]}}},
                    "dataframe_records": {"value": {"dataframe_records": [{"image": EXAMPLE}]}},
                    "instances": {"value": {"instances": [{"image": EXAMPLE}], "params": {"dataset": "molecules"}}},
                },
            }
        },
    }
}
