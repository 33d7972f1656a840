"""The section on captioning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class PredictionSettings(BaseModel):
    """How images are captioned; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: str
    batch_size: int = Field(gt=0)
    num_images_in_buffer: int = Field(gt=0)
    threads_per_worker: int = Field(gt=0)
    num_beams: int = Field(gt=0)
    turns_deg: tuple[Literal[0, 90, 180, 270], ...] = Field(min_length=1)
    scales: tuple[Annotated[float, Field(gt=0, le=4)], ...] = Field(min_length=1)
    sure_from: float = Field(ge=0)
    is_redrawn: bool
    is_read_as_graph: bool

    @property
    def can_read_features(self) -> bool:
        """Whether an image is read as it is alone, so that its features can stand for it: they cannot be turned."""
        is_read_once = self.turns_deg == (0,) and self.scales == (1.0,)
        return is_read_once and not (self.is_redrawn or self.is_read_as_graph)
