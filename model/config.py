"""What a captioner is made of and how it is trained, as plain values; loads no library."""

from dataclasses import dataclass
from typing import ClassVar, Literal

STRIDES_PX = {"inknet": 16, "resnet50": 32, "efficientnet_lite2": 32}  # by encoder: pixels of an image to one position
PACKAGED = {"efficientnet_lite2"}  # encoders whose ImageNet weights are in a Python package
Precision = Literal["auto", "bf16", "fp32"]


class CaptionerConfigError(ValueError):
    """Raised when a captioner cannot be built as asked; the message names the field and its value."""


class TrainingConfigError(ValueError):
    """Raised when training cannot run as asked; the message names the field and its value."""


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """What a captioner is made of; conf/base.yaml holds the values and says what each field means."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    encoder: Literal["inknet", "resnet50", "efficientnet_lite2"]
    encoder_weights: str
    is_encoder_frozen: bool
    num_channels: int
    num_cell_labels: int
    grid_width: int
    width: int
    embedding_width: int
    num_attention_heads: int
    dropout: float

    @property
    def is_encoder_packaged(self) -> bool:
        """Whether the backbone is as its package has it, so that a checkpoint can do without its weights."""
        return self.is_encoder_frozen and self.encoder_weights == "imagenet" and self.encoder in PACKAGED

    def __post_init__(self) -> None:
        if self.encoder not in STRIDES_PX:
            raise CaptionerConfigError(f"encoder is {self.encoder!r}, expected one of {sorted(STRIDES_PX)}")
        if self.encoder == "inknet" and self.encoder_weights == "imagenet":
            raise CaptionerConfigError("encoder_weights is 'imagenet', expected 'random' or a file for inknet")
        if self.num_channels not in (1, 3):
            raise CaptionerConfigError(f"num_channels is {self.num_channels}, expected 1 (ink) or 3 (colour)")
        if self.num_cell_labels < 0:
            raise CaptionerConfigError(f"num_cell_labels is {self.num_cell_labels}, expected at least 0")
        for name in ("width", "embedding_width", "num_attention_heads", "grid_width"):
            if getattr(self, name) < 1:
                raise CaptionerConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for divisor in (4, self.num_attention_heads):
            if self.grid_width % divisor:
                expected = f"a multiple of 4 and of num_attention_heads ({self.num_attention_heads})"
                raise CaptionerConfigError(f"grid_width is {self.grid_width}, expected {expected}")
        if not 0 <= self.dropout < 1:
            raise CaptionerConfigError(f"dropout is {self.dropout}, expected at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How a captioner is trained; conf/base.yaml holds the values and says what each field means."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    batch_size: int
    num_epochs: int
    learning_rate: float
    warmup_share: float
    weight_decay: float
    max_gradient_norm: float
    label_smoothing: float
    average_decay: float
    cell_loss_weight: float
    cell_loss_focus: float
    attention_loss_weight: float
    precision: Precision
    seed: int
    num_batches_in_buffer: int
    log_interval_steps: int
    checkpoint_interval_steps: int
    num_validation_images: int
    patience_epochs: int | None
    max_train_seconds: float | None
    start_from: str | None

    def __post_init__(self) -> None:
        intervals = ("log_interval_steps", "checkpoint_interval_steps")
        for name in ("batch_size", "num_epochs", "num_batches_in_buffer", "num_validation_images", *intervals):
            if getattr(self, name) < 1:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected above 0")
        for name in ("warmup_share", "label_smoothing", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 0 and below 1")
        for name in ("weight_decay", "cell_loss_weight", "cell_loss_focus", "attention_loss_weight"):
            if getattr(self, name) < 0:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise TrainingConfigError(f"precision is {self.precision!r}, expected 'auto', 'bf16' or 'fp32'")
        if self.patience_epochs is not None and self.patience_epochs < 1:
            raise TrainingConfigError(f"patience_epochs is {self.patience_epochs}, expected at least 1 or null")
        if self.max_train_seconds is not None and self.max_train_seconds <= 0:
            raise TrainingConfigError(f"max_train_seconds is {self.max_train_seconds}, expected above 0 or null")
