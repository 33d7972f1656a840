"""The section on captions."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class CaptionSettings(BaseModel):
    """How captions are written and which images are kept from training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    notation: str
    max_tokens: int = Field(gt=0)
    min_token_uses: int = Field(gt=0)
    validation_fraction: float = Field(ge=0, lt=0.5)
    test_fraction: float = Field(ge=0, lt=0.5)
    reviewed: Literal["ignored", "added", "instead"]
    review_weight: float = Field(gt=0, allow_inf_nan=False)

    @property
    def weighs_reviews(self) -> bool:
        """Whether reviewed captions are learned with another weight than the others."""
        return self.reviewed != "ignored" and self.review_weight != 1
