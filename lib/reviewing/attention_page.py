"""Attention maps for each token of a caption, which the page's script lays over the image."""

import base64
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Form
from fastapi.responses import JSONResponse
from numpy.typing import NDArray

from lib.captioning.attention_glow import attention_glows
from lib.errors import CorruptImageError
from lib.images.browser_images import ImageFile, as_data_uri
from lib.images.decoding import decode_image
from lib.reviewing.access import Visitor
from lib.reviewing.attention_reader import AttentionReader
from lib.reviewing.caption_desk import decoded_png
from lib.reviewing.page_parts import Parts
from lib.serving.refusals import RefusedRequestError

Text = Annotated[str, Form()]


def attention_routes(parts: Parts, reader: AttentionReader) -> APIRouter:
    """POST /look: for an image of the lake by its id, or for one that is sent as a data URI."""
    router = APIRouter()
    cleaning = parts.settings.cleaning
    as_cleaned = cleaning.model_copy(update={"max_pixels": cleaning.canvas_height_px * cleaning.canvas_width_px})
    known = Depends(parts.access.visitor)

    def sent(image: str) -> NDArray[np.uint8]:
        """The pixels of a data URI, of no more than cleaning leaves. Raises RefusedRequestError."""
        try:
            return decode_image(base64.b64decode(image.partition(";base64,")[2], validate=True), as_cleaned)
        except (ValueError, CorruptImageError):
            raise RefusedRequestError(422, "the image that was sent is damaged: choose it again") from None

    @router.post("/look")
    def look(
        visitor: Annotated[Visitor, known], token: Text, model_version: Text, image_id: Text = "", image: Text = ""
    ) -> JSONResponse:
        parts.access.check_form(visitor, token)
        pixels = decoded_png(parts.files.read("clean", image_id)) if image_id else sent(image)
        looked = reader.look(model_version, pixels)
        tokens = [
            {"text": text.strip() or "space", "glow": as_data_uri(ImageFile(glow, "image/png"))}
            for text, glow in zip(looked.tokens, attention_glows(looked), strict=True)
        ]
        return JSONResponse({"caption": looked.caption, "tokens": tokens})

    return router
