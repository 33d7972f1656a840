"""The sections on the cluster that trains, on tracking, on promotion, and on the search for settings of training."""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from lib.sections.lake import Memory

_ADDRESS = re.compile(r"[^/\s]+:\d+")  # host:port
_Count = Annotated[int, Field(gt=0)]
_Rate = Annotated[float, Field(gt=0)]


class ClusterSettings(BaseModel):
    """A Ray cluster to start or join, and what runs on it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ray_on: Literal["raydp", "databricks"]
    train_with: Literal["ray", "horovod"]
    train_when: Literal["changed", "missing", "never"]
    address: str | None
    num_workers: int = Field(gt=0)
    threads_per_worker: int = Field(gt=0)
    device: Literal["cpu", "gpu", "gpu_if_there"]
    num_spark_executors: int = Field(gt=0)
    cores_per_spark_executor: int = Field(gt=0)
    memory_per_spark_executor: Memory
    copy_folder: str

    @field_validator("address")
    @classmethod
    def _check_address(cls, address: str | None) -> str | None:
        """Ray's client (ray://) can neither run RayDP nor Ray Train."""
        if address not in (None, "auto") and not _ADDRESS.fullmatch(address or ""):
            raise ValueError(f"write null, auto or host:port (seen: {address!r})")
        return address

    @model_validator(mode="after")
    def _check_device(self) -> Self:
        if self.train_with == "horovod" and self.device != "cpu":
            raise ValueError(f"device is {self.device}, but train_with is horovod, which is built for cores alone")
        return self

    @property
    def cores_per_worker(self) -> int:
        """What a training worker asks Ray for: one slot of our own Ray, which has any number, or so many cores."""
        return 1 if self.address is None else self.threads_per_worker

    @property
    def num_spark_cores(self) -> int:
        """Tasks that all executors run at a time."""
        return self.num_spark_executors * self.cores_per_spark_executor


class TrackingSettings(BaseModel):
    """Where MLflow keeps runs and models; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    is_on: bool
    experiment_id: str | None
    registered_model: str | None


class PromotionSettings(BaseModel):
    """Whether a trained model becomes the current one; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decided_by: Literal["training", "comparison"]
    min_gain: float = Field(ge=0)
    confidence: float = Field(gt=0, lt=1)
    num_resamples: int = Field(ge=100)
    min_images: _Count
    min_images_of_kind: _Count
    seed: int = Field(ge=0)


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
