"""The section on cleaning."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CleaningSettings(BaseModel):
    """What cleaning does; a strength of 0 leaves a step out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels: int = Field(gt=0)
    color: Literal["grey", "rgb"]
    speck_max_px: int = Field(ge=0)
    mend_reach_px: int = Field(ge=0)
    upright: Literal["landscape", "none"]
    crop_margin_px: int | None = Field(ge=0)
    canvas_height_px: int = Field(gt=0)
    canvas_width_px: int = Field(gt=0)
    canvas_step_px: int = Field(gt=0)
    stroke_length_px: float | None = Field(gt=0)
    max_scale: float = Field(gt=0)
    sharpen: float = Field(ge=0)
    min_ink_fraction: float = Field(ge=0, lt=1)
    max_ink_fraction: float = Field(gt=0, le=1)
