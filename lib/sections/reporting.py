"""The sections on scores and on the report."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluationSettings(BaseModel):
    """What captions are judged by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Literal["edit", "sentences"]

    @property
    def scores_sentences(self) -> bool:
        """Whether captions are sentences, judged by the words that they share with several references."""
        return self.metrics == "sentences"


class ReportSettings(BaseModel):
    """How many images the report shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_best: int = Field(ge=0)
    num_worst: int = Field(ge=0)
    num_random: int = Field(ge=0)
    num_with_attention: int = Field(ge=0)
