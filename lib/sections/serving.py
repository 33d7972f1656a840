"""The section on the server that captions images over HTTP, and what every server listens by."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ListeningSettings(BaseModel):
    """Where a server listens, and whether it asks who calls; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    section: ClassVar[str]  # its name in the settings

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    tls_certificate: str | None
    tls_key: str | None
    requires_key: Literal["unless_loopback", "always"]
    deadline_s: float = Field(gt=0)
    max_request_bytes: int = Field(gt=0)
    max_bytes_at_once: int = Field(gt=0)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("name both tls_certificate and tls_key, or neither")
        return self

    @model_validator(mode="after")
    def _check_bytes(self) -> Self:
        if self.max_request_bytes > self.max_bytes_at_once:
            raise ValueError(
                f"max_request_bytes is {self.max_request_bytes}, but all requests together may have only "
                f"{self.max_bytes_at_once} (max_bytes_at_once)"
            )
        return self


class ServingSettings(ListeningSettings):
    """How images are captioned over HTTP."""

    section: ClassVar[str] = "serving"

    models: dict[str, str]
    second_captioners: dict[str, str]
    second_deadline_s: float = Field(gt=0)
    check_models_s: float = Field(gt=0)
    num_processes: int | None = Field(gt=0)
    batch_size: int = Field(gt=0)
    max_wait_ms: float = Field(ge=0)
    max_queued_images: int = Field(gt=0)
    max_images_per_request: int = Field(gt=0)
    requests_per_minute: int = Field(gt=0)
    url_hosts: tuple[str, ...]

    @model_validator(mode="after")
    def _check_queue(self) -> Self:
        if self.max_images_per_request > self.max_queued_images:
            raise ValueError(
                f"max_images_per_request is {self.max_images_per_request}, but only {self.max_queued_images} images "
                "may wait (max_queued_images)"
            )
        return self
