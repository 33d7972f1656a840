"""The section on the report."""

from pydantic import BaseModel, ConfigDict, Field


class ReportSettings(BaseModel):
    """How many pictures the report shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_best: int = Field(ge=0)
    num_worst: int = Field(ge=0)
    num_random: int = Field(ge=0)
