"""Features of images by a frozen encoder, and the name of such an encoder in the tables. Knows no Spark."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.batches import as_ink, stack_images
from model.captioner import Captioner
from model.checkpoint import load_config, load_details
from model.config import CaptionerConfig
from model.encoders import Encoder, frozen_encoder


def encoder_version(config: CaptionerConfig) -> str | None:
    """A name for the encoder that settings ask for and its weights now; None if its features do not last."""
    if not config.has_lasting_features:
        return None
    weights = Path(config.encoder_weights)
    name = hashlib.sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else config.encoder_weights
    return f"{config.encoder}-{name}"


def encoder_version_of(checkpoint: Path) -> str | None:
    """The name of the encoder that a checkpoint was trained with; None if it has no features, or features of no name.

    A weights file is not read again, since it may have been replaced since then: a checkpoint from before its details
    held the name has one only where its weights come from a package or a download. Raises CheckpointError.
    """
    version = load_details(checkpoint).get("encoder_version")
    if isinstance(version, str):
        return version
    config = load_config(checkpoint)
    return encoder_version(config) if config.encoder_weights == "imagenet" else None


def has_encoder_of(captioner: Captioner, config: CaptionerConfig) -> bool:
    """Whether a captioner's backbone has the weights that settings name, as they are or in half precision.

    Raises EncoderWeightsError.
    """
    own = captioner.encoder.backbone.state_dict()
    named = frozen_encoder(config).backbone.state_dict()
    return all(
        torch.equal(tensor, own[name]) or torch.equal(tensor.half().float(), own[name])
        for name, tensor in named.items()
        if tensor.is_floating_point()
    )


@torch.inference_mode()
def extract(images: Sequence[np.ndarray], encoder: Encoder, num_channels: int) -> list[np.ndarray]:
    """Features (F, h, w) float16 of each image (H, W, 3); none depends on the others, so only equals are batched."""
    features: dict[int, np.ndarray] = {}
    for shape in {one.shape for one in images}:
        indices = [index for index, one in enumerate(images) if one.shape == shape]
        of_shape = as_ink(stack_images([images[index] for index in indices], num_channels))
        features |= zip(indices, encoder.extract(of_shape).half().numpy(), strict=True)
    return [features[index] for index in range(len(images))]
