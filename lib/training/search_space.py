"""What a search for settings of training tries, and for how long; the search itself is in captioner_search."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_Count = Annotated[int, Field(gt=0)]
_Rate = Annotated[float, Field(gt=0)]


class SearchSettings(BaseModel):
    """Trials of networks, each trained for the same time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_trials: _Count
    num_at_once: _Count
    seconds_per_trial: float = Field(gt=0)
    learning_rate: tuple[_Rate, _Rate]
    batch_size: list[_Count] = Field(min_length=1)
    width: list[_Count] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        low, high = self.learning_rate
        if low > high:
            raise ValueError(f"learning_rate [{low}, {high}] has its lower end above its upper end")
        return self
