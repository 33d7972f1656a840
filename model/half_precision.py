"""Weights in files of half precision, read into networks of single precision."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.whole_writes import written_whole


def halved(weights: Tensor) -> Tensor:
    """Weights in half precision; integers, and what half precision cannot hold (beyond 65504), stay as they are."""
    half = weights.half() if weights.is_floating_point() else weights
    return (half if torch.isfinite(half).all() else weights).contiguous()


def save_in_half(network: nn.Module, path: Path) -> None:
    """Write the weights of a network."""
    path.parent.mkdir(exist_ok=True)
    with written_whole(path) as written:
        save_file({name: halved(weights) for name, weights in network.state_dict().items()}, written)


def load_from_half(network: nn.Module, path: Path) -> None:
    """Read the weights of a network."""
    weights = load_file(path).items()
    network.load_state_dict({name: one.float() if one.is_floating_point() else one for name, one in weights})
