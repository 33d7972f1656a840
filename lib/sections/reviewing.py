"""The section on the page where people review captions."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from lib.sections.serving import ListeningSettings

Role = Literal["look", "review", "admin"]


class ReviewingSettings(ListeningSettings):
    """How captions are reviewed; conf/base.yaml says what each means."""

    section: ClassVar[str] = "reviewing"

    proxy_header: str | None = Field(pattern=r"^[A-Za-z0-9-]+$")
    proxy_addresses: tuple[str, ...]
    default_role: Role
    roles: dict[str, Role]
    session_hours: float = Field(gt=0)
    images_per_page: int = Field(gt=0, le=500)
    max_caption_characters: int = Field(gt=0)

    @field_validator("proxy_addresses")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for address in addresses:
            ip_network(address)  # raises ValueError, which names it
        return addresses

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """proxy_addresses, each as the network of one or more addresses that it stands for."""
        return tuple(map(ip_network, self.proxy_addresses))
