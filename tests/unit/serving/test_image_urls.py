"""Images by URL, from servers on this machine: `pytest tests/unit/serving/test_image_urls.py`."""

import asyncio
import ipaddress
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lib.serving.image_urls import Address, ImageUrls, is_outside
from lib.serving.refusals import RefusedRequestError

HERE = ipaddress.ip_address("127.0.0.1")


class Pages(BaseHTTPRequestHandler):
    """/to/URL leads on to the URL; anything else is ten bytes."""

    def do_GET(self) -> None:
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200 if self.path != "/gone" else 410)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def is_here(address: Address) -> bool:
    """The one address that stands for the world outside."""
    return address == HERE


def fetch(*urls: str, max_bytes: int = 100) -> list[bytes]:
    hosts = ["127.0.0.1", "127.0.0.2", "169.254.169.254", "localhost"]
    return asyncio.run(ImageUrls(hosts, is_here).fetch(urls, max_bytes))


def refusal(*urls: str, max_bytes: int = 100) -> str:
    with pytest.raises(RefusedRequestError) as refused:
        fetch(*urls, max_bytes=max_bytes)
    return str(refused.value)


def test_images_are_fetched_and_redirects_followed(url: str) -> None:
    assert fetch(f"{url}/a.png", f"{url}/to//b.png", f"{url}/to/{url}/c.png") == [b"0123456789"] * 3


@pytest.mark.parametrize("inside", ["127.0.0.2", "169.254.169.254"])
def test_a_redirect_to_an_address_inside_is_refused(url: str, inside: str) -> None:
    assert refusal(f"{url}/to/http://{inside}/x").startswith(f"{inside} is an address inside the network")


def test_a_redirect_to_another_host_or_scheme_is_refused(url: str) -> None:
    assert refusal(f"{url}/to/http://example.org/x").startswith("URLs of example.org are not allowed")
    assert refusal(f"{url}/to/file:///etc/passwd").startswith("a URL must begin with http")


def test_what_leads_on_forever_is_too_large_or_is_gone_is_refused(url: str) -> None:
    assert refusal(f"{url}/to/" * 5 + f"{url}/a.png").startswith("the URL leads on more than 3 times")
    assert "too many bytes" in refusal(f"{url}/a.png", f"{url}/b.png", max_bytes=15)
    assert refusal(f"{url}/gone") == "127.0.0.1 answers 410 for the URL"
    assert refusal("http://127.0.0.1:1/x") == "the URL cannot be fetched (ConnectError)"


@pytest.mark.parametrize("urls", [["http://a:b@127.0.0.1/"], ["ftp://127.0.0.1/"], ["/a.png"], ["http://[::1"]])
def test_what_is_no_plain_url_is_refused(urls: list[str]) -> None:
    assert refusal(*urls)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
        "fec0::1", "::7f00:1", "::a00:1", "::ffff:0:10.0.0.1",
    ],
)  # fmt: skip
def test_addresses_inside_are_known(address: str) -> None:
    assert not is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1"])
def test_addresses_outside_are_known(address: str) -> None:
    assert is_outside(ipaddress.ip_address(address))
