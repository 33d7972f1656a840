"""The section on cleaning."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

IMAGE_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")  # Pillow knows others, some of which run programs


class CleaningSettings(BaseModel):
    """What cleaning does; a strength of 0 leaves a step out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels: int = Field(gt=0)
    color: Literal["grey", "rgb"]
    is_normalised: bool
    longest_line: float = Field(ge=0)
    speck_max_px: int = Field(ge=0)
    mend_reach_px: int = Field(ge=0)
    words_apart_from: float = Field(ge=0)
    words_apart_from_if_worn: float = Field(ge=0)
    rejects_shapes: bool
    thin_from: float = Field(ge=0)
    thin_to: float = Field(gt=0)
    upright: Literal["landscape", "none"]
    crop_margin_px: int | None = Field(ge=0)
    canvas_height_px: int = Field(gt=0)
    canvas_width_px: int = Field(gt=0)
    canvas_step_px: int = Field(gt=0)
    stroke_length_px: float | None = Field(gt=0)
    keeps_aspect: bool
    max_scale: float = Field(gt=0)
    larger_scale: float | None = Field(gt=1)
    sharpen: float = Field(ge=0)
    min_ink_fraction: float = Field(ge=0, lt=1)
    max_ink_fraction: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _check_color(self) -> Self:
        asked = [
            name
            for name in ("is_normalised", "longest_line", "words_apart_from", "rejects_shapes", "thin_from")
            if getattr(self, name)
        ]
        if self.color != "grey" and asked:
            raise ValueError(f"cleaning.color {self.color}: {', '.join(asked)} must be 0 or false, they need grey")
        return self

    @property
    def larger(self) -> Self:
        """The settings that make the larger image: by larger_scale, but not larger than it arrived; else the same."""
        if (factor := self.larger_scale) is None:
            return self
        return self.model_copy(
            update={
                "canvas_height_px": round(factor * self.canvas_height_px),
                "canvas_width_px": round(factor * self.canvas_width_px),
                "stroke_length_px": self.stroke_length_px and factor * self.stroke_length_px,
                "max_scale": 1.0,
            }
        )
