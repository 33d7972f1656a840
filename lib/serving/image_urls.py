"""Fetches images by URL, from hosts that the settings allow, and never from an address inside a network.

A host is resolved once and the connection goes to exactly the address that was checked, so a name that resolves to
another address a moment later leads nowhere. Each redirect is checked as the first URL was.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from urllib.parse import urljoin

import httpx

from lib.serving.refusals import RefusedRequestError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
TIMEOUT_S = 10.0
MAX_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
# Addresses of version 6 that lead to one of version 4: compatible ones, and those of translators and of 6to4.
LEADING_TO_IPV4 = tuple(
    map(ipaddress.IPv6Network, ("::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32"))
)


def is_outside(address: Address) -> bool:
    """Whether an address belongs to the public internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_outside(address.ipv4_mapped)
        if address.is_site_local or any(address in network for network in LEADING_TO_IPV4):
            return False
    return address.is_global and not address.is_multicast


class ImageUrls:
    """Fetches images from allowed hosts.

    `allows` says which addresses may be asked; it is a parameter for tests, whose servers are on this machine.
    """

    def __init__(self, hosts: Sequence[str], allows: Callable[[Address], bool] = is_outside) -> None:
        self.hosts = tuple(host.lower() for host in hosts)
        self._allows = allows

    async def fetch(self, urls: Sequence[str], max_bytes: int) -> list[bytes]:
        """The bytes behind each URL, in order, at most max_bytes of all together. Raises RefusedRequestError."""
        images: list[bytes] = []
        async with httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
            for url in urls:
                images.append(await self._fetch(client, url, max_bytes))
                max_bytes -= len(images[-1])
        return images

    async def _fetch(self, client: httpx.AsyncClient, url: str, max_bytes: int) -> bytes:
        try:
            for _ in range(MAX_REDIRECTS + 1):
                image, location = await self._step(client, url, max_bytes)
                if location is None:
                    return image
                url = urljoin(url, location)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise RefusedRequestError(422, f"the URL cannot be fetched ({type(error).__name__})") from None
        raise RefusedRequestError(422, f"the URL leads on more than {MAX_REDIRECTS} times: name the image itself")

    async def _step(self, client: httpx.AsyncClient, url: str, max_bytes: int) -> tuple[bytes, str | None]:
        """The image at the URL, or where it leads on to."""
        parsed = httpx.URL(url)
        address = await self._checked_address(parsed)
        request = client.build_request(
            "GET",
            parsed.copy_with(host=str(address)),
            headers={"Host": parsed.netloc.decode(), "Accept": "image/*", "Accept-Encoding": "identity"},
            extensions={"sni_hostname": parsed.host},
        )
        response = await client.send(request, stream=True)
        try:
            if response.status_code in REDIRECTS:
                return b"", response.headers.get("location", "")
            if response.status_code != httpx.codes.OK:
                raise RefusedRequestError(422, f"{parsed.host} answers {response.status_code} for the URL")
            image = bytearray()
            async for part in response.aiter_raw():
                image += part
                if len(image) > max_bytes:
                    raise RefusedRequestError(413, "what the URLs lead to has too many bytes for one request")
            return bytes(image), None
        finally:
            await response.aclose()

    async def _checked_address(self, url: httpx.URL) -> Address:
        """An address of the URL's host. Raises RefusedRequestError unless the host is allowed and all of it outside."""
        if not self.hosts:
            raise RefusedRequestError(422, "this server fetches no URLs (serving.url_hosts): send the image itself")
        if url.scheme not in ("http", "https") or url.userinfo:
            raise RefusedRequestError(422, "a URL must begin with http:// or https:// and hold no password")
        host = url.host.lower()
        if not any(fnmatchcase(host, pattern) for pattern in self.hosts):
            raise RefusedRequestError(422, f"URLs of {host or 'no host'} are not allowed here (serving.url_hosts)")
        found = await asyncio.get_running_loop().getaddrinfo(host, url.port or 0, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not all(map(self._allows, addresses)):
            raise RefusedRequestError(422, f"{host} is an address inside the network, from which nothing is fetched")
        return addresses[0]
