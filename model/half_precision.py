"""Weights in files of half precision, read into networks of single precision."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from model.whole_writes import written_whole


def save_in_half(network: nn.Module, path: Path) -> None:
    """Write the weights of a network."""
    path.parent.mkdir(exist_ok=True)
    weights = network.state_dict().items()
    halved = {name: (one.half() if one.is_floating_point() else one).contiguous() for name, one in weights}
    with written_whole(path) as written:
        save_file(halved, written)


def load_from_half(network: nn.Module, path: Path) -> None:
    """Read the weights of a network."""
    weights = load_file(path).items()
    network.load_state_dict({name: one.float() if one.is_floating_point() else one for name, one in weights})
