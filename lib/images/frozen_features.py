"""Features of images by a frozen encoder, and the name of such an encoder in the tables. Knows no Spark."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from model.batches import as_ink, stack_images
from model.config import CaptionerConfig
from model.encoders import Encoder


def encoder_version(config: CaptionerConfig) -> str | None:
    """A name for the encoder and its weights; None if the encoder is trained, so that its features change."""
    if not config.is_encoder_frozen or config.encoder_weights == "random":
        return None
    weights = Path(config.encoder_weights)
    name = hashlib.sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else config.encoder_weights
    return f"{config.encoder}-{name}"


@torch.inference_mode()
def extract(images: Sequence[np.ndarray], encoder: Encoder, num_channels: int) -> np.ndarray:
    """Features (B, F, h, w) float16 of images (H, W, 3) of one size."""
    features: np.ndarray = encoder.extract(as_ink(stack_images(images, num_channels))).half().numpy()
    return features
