"""The review page over a lake of small Delta tables, asked by FastAPI's client as a browser would ask."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response

from lib.reviewing.app import make_app
from lib.reviewing.attention_reader import AttentionReader
from lib.reviewing.drop_page import DropCaptioner
from lib.reviewing.page_parts import Parts
from lib.reviewing.server import make_parts
from lib.serving.metrics import Metrics
from lib.settings import load_settings

JSON = {"Accept": "application/json"}
SCRIPTS = {("src", f"/static/{name}.js") for name in ("review", "drawing", "attention")}  # the page's own


class ReviewPage:
    """A client of the page, and what is behind it."""

    def __init__(self, root: Path, *overrides: str, dataset: str = "photos", address: str = "127.0.0.1") -> None:
        settings = load_settings(dataset, "local", [f"storage.root={root}", *overrides])
        self.root = root
        self.parts: Parts = make_parts(settings)
        self.log: list[str] = []

        metrics = Metrics()
        captioner = DropCaptioner(settings, [f"storage.root={root}", *overrides], metrics)
        reader = AttentionReader(settings, [f"storage.root={root}", *overrides])

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            yield
            await captioner.close()
            reader.close()

        app = make_app(self.parts, captioner, reader, metrics, lifespan, self.log.append)
        self.client = TestClient(
            app, base_url=f"http://{address}:8001", raise_server_exceptions=False, client=("127.0.0.1", 50000)
        )

    def get(self, path: str, **query: str) -> Response:
        return self.client.get(path + ("?" + urlencode(query) if query else ""))

    def image(self, image_id: str, model_version: str = "m1", **query: str) -> Response:
        return self.get("/image", image_id=image_id, model_version=model_version, **query)

    def form(self, image_id: str, model_version: str = "m1", **query: str) -> dict[str, str]:
        """The hidden fields of an image's page, as its script would send them."""
        return fields(self.image(image_id, model_version, **query).text, "/review")

    def review(self, image_id: str, verdict: str, /, **others: str) -> Response:
        sent = self.form(image_id) | {"verdict": verdict} | others
        return self.client.post("/review", data=sent, headers=JSON)

    def rows(self) -> list[tuple[str, str, str]]:
        """Image, verdict and reviewer of every row of caption_reviews, the oldest first."""
        return [(row.image_id, row.verdict, row.reviewer) for row in self.parts.log.reviews()]


def fields(text: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent to that address."""
    found = re.search(rf'<form[^>]*action="{action}"[^>]*>(.*?)</form>', text, re.DOTALL)
    assert found, text
    inputs = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', found.group(1))
    return {name: unescape(value) for name, value in inputs}


class RunnableParts(HTMLParser):
    """What a browser would run in a page: scripts, handlers of events, styles, addresses of other sites."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "iframe", "object", "embed") and not SCRIPTS & set(attributes):
            self.found.append(tag)
        for name, value in attributes:
            is_elsewhere = name in ("src", "href", "action") and not (value or "").startswith(("/", "#", "data:image/"))
            if name.startswith("on") or name == "style" or is_elsewhere:
                self.found.append(f"{tag} {name}")


def new_id() -> str:
    return uuid.uuid4().hex
