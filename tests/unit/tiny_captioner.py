"""A captioner small enough for tests, and strokes for it to read."""

from pathlib import Path

import numpy as np
import torch

from model.batches import Batch, collate
from model.captioner import Captioner
from model.checkpoint import save_checkpoint
from model.config import CaptionerConfig, TrainingConfig
from model.vocabulary import Vocabulary

# Threads would wait for each other longer than they compute.
torch.set_num_threads(1)

VOCABULARY = Vocabulary.from_tokens("abcdefgh")
SMILES = Vocabulary.from_tokens(["C", "O", "N", "(", ")", "=", "1"])
HEIGHT_PX, WIDTH_PX = 32, 64

TINY = {
    "encoder": "inknet",
    "encoder_weights": "random",
    "is_encoder_frozen": False,
    "num_channels": 1,
    "num_cell_labels": 3,
    "grid_width": 32,
    "width": 32,
    "embedding_width": 16,
    "num_attention_heads": 2,
    "dropout": 0.0,
}

QUICK = {
    "batch_size": 8,
    "num_epochs": 1,
    "learning_rate": 0.01,
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "max_gradient_norm": 1.0,
    "objective": "likelihood",
    "num_samples": 5,
    "reference_weight": 0.0,
    "label_smoothing": 0.0,
    "mirrored_fraction": 0.0,
    "blanked_fraction": 0.0,
    "average_decay": 0.0,
    "cell_loss_weight": 1.0,
    "cell_loss_focal_exponent": 2.0,
    "attention_loss_weight": 1.0,
    "precision": "fp32",
    "seed": 0,
    "num_batches_in_buffer": 4,
    "log_interval_steps": 1,
    "checkpoint_interval_steps": 100,
    "num_validation_images": 100,
    "patience_epochs": None,
    "max_train_seconds": None,
    "start_from": None,
    "embeddings": None,
    "is_embedding_frozen": False,
}


def tiny_config(**changes: object) -> CaptionerConfig:
    return CaptionerConfig(**(TINY | changes))


def tiny_captioner(seed: int = 0, **changes: object) -> Captioner:
    torch.manual_seed(seed)
    return Captioner(tiny_config(**changes), len(VOCABULARY))


def smiles_checkpoint(directory: Path) -> Path:
    """Save an untrained captioner that writes SMILES, up to eight tokens."""
    torch.manual_seed(0)
    captioner = Captioner(tiny_config(), len(SMILES))
    details = {"notation": "smiles_drawn_kekule", "max_tokens": 8}
    save_checkpoint(directory, captioner, SMILES, details=details, provenance={})
    return directory


def quick_training(**changes: object) -> TrainingConfig:
    return TrainingConfig(**(QUICK | changes))


def stroke_samples(count: int, seed: int = 0) -> list[dict]:
    """Images of horizontal and vertical strokes; the caption names them, from 1 to 5 tokens long."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(count):
        pixels = np.full((HEIGHT_PX, WIDTH_PX), 255, np.uint8)
        strokes = rng.integers(0, 8, size=1 + index % 5)
        for order, stroke in enumerate(strokes):
            left = 2 + 9 * order
            if stroke < 4:
                pixels[4 + 7 * stroke, left : left + 7] = 0
            else:
                pixels[4 : 8 * (stroke - 3), left + 3] = 0
        samples.append({"pixels": pixels, "token_ids": VOCABULARY.encode(["abcdefgh"[stroke] for stroke in strokes])})
    return samples


def stroke_batch(count: int, seed: int = 0) -> Batch:
    return collate(stroke_samples(count, seed), 1)
