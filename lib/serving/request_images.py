"""The images of a request, from a form, from JSON or by URL, within the limits of size and number."""

import asyncio

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.requests import Request

from lib.sections.serving import ServingSettings
from lib.serving.answers import parse_caption_request, parse_invocation
from lib.serving.image_urls import ImageUrls
from lib.serving.refusals import RefusedRequestError

FORM, JSON = "multipart/form-data", "application/json"
FIELD = "images"
SPARE = 10  # files beyond the limit that are still counted, to say how many there are


def check_form_is_whole(content_type: str, body: bytes) -> None:
    """Raise RefusedRequestError if a form was cut off: its parser would leave out what has no end."""
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if boundary and b"--" + boundary + b"--" not in body:
        raise RefusedRequestError(400, "the form is cut off: its last boundary is missing")


def _check_is_not_packed(request: Request) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise RefusedRequestError(415, f"content-encoding {encoding[:40]!r} is not read: send the body as it is")


class RequestImages:
    """Reads the images of requests. Every method raises RefusedRequestError."""

    def __init__(self, settings: ServingSettings) -> None:
        self._settings = settings
        self._urls = ImageUrls(settings.url_hosts)

    async def of_caption(self, request: Request, max_image_bytes: int) -> list[bytes]:
        """The images of POST /caption."""
        _check_is_not_packed(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == FORM:
            images = await self._of_form(request)
        elif kind == JSON:
            asked = await asyncio.to_thread(parse_caption_request, await request.body())
            self._check_number(len(asked.images) + len(asked.urls))
            most = self._settings.max_request_bytes - sum(map(len, asked.images))
            fetched = await self._urls.fetch(asked.urls, most)
            request.state.hold(sum(map(len, fetched)))
            images = asked.images + fetched
        else:
            raise RefusedRequestError(415, f"send {FORM} or {JSON}, not {kind or 'a body without content-type'}")
        return self.checked(images, max_image_bytes)

    async def of_invocation(self, request: Request) -> tuple[list[bytes], str | None]:
        """The images of POST /invocations, and the dataset that it names."""
        _check_is_not_packed(request)
        return await asyncio.to_thread(parse_invocation, await request.body())

    async def _of_form(self, request: Request) -> list[bytes]:
        body = await request.body()
        async with request.form(max_files=SPARE * self._settings.max_images_per_request) as form:
            check_form_is_whole(request.headers["content-type"], body)
            files = form.getlist(FIELD)
            if others := sorted(form.keys() - {FIELD}):
                raise RefusedRequestError(
                    422, f"field {others[0][:40]!r} is not known: send files in the field {FIELD!r}"
                )
            if any(isinstance(file, str) for file in files):
                raise RefusedRequestError(
                    422, f"field {FIELD!r} holds text: send files, as curl does with -F {FIELD}=@drawing.png"
                )
            self._check_number(len(files))
            return [await file.read() for file in files if isinstance(file, UploadFile)]

    def checked(self, images: list[bytes], max_image_bytes: int) -> list[bytes]:
        """The images, if there are neither none nor too many, and none is too large."""
        self._check_number(len(images))
        for index, image in enumerate(images):
            if len(image) > max_image_bytes:
                raise RefusedRequestError(
                    413, f"image {index} has {len(image):,} bytes; at most {max_image_bytes:,} are read"
                )
        return images

    def _check_number(self, num_images: int) -> None:
        if not num_images:
            raise RefusedRequestError(422, f"there is no image in the request: send files in {FIELD!r}, or JSON")
        if num_images > (most := self._settings.max_images_per_request):
            raise RefusedRequestError(413, f"{num_images} images in one request; send at most {most} at a time")
