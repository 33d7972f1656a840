"""A network that reads what is written at one node of a drawing, from a patch around it.

Parameters of the pretrained one: 894,721.

patch (N, 1, 48, 96): around a node, cut from the image in which the graph was read
  -> squares of 2 x 2 as channels   (N, 4, 24, 48)
  -> convolutions, three sizes      (N, 128, 6, 12)
  -> narrow, flat                   (N, 2304) -> (N, 192)
  -> kinds (N, K), charges (N, 3)   logits of WRITTEN_KINDS and nothing, and of CHARGES

N patches, K kinds.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.encoders import convolution
from model.graph_kinds import CHARGES, PATCH_HEIGHT, PATCH_WIDTH, WRITTEN_KINDS
from model.half_precision import load_from_half

WIDTHS = (32, 64, 128)
NARROW, LAST = 32, 192
DROPOUT = 0.1
NOT_A_NODE = len(WRITTEN_KINDS)  # index of the kind of a patch that is around no node


class Labels(NamedTuple):
    """What is written at nodes; logits."""

    kinds: Tensor  # (N, K), of WRITTEN_KINDS and NOT_A_NODE
    charges: Tensor  # (N, 3), of CHARGES


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.first = convolution(num_features, num_features)
        self.second = nn.Conv2d(num_features, num_features, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(num_features)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.norm(self.second(self.first(features))))


class LabelReader(nn.Module):
    """Patches (N, 1, 48, 96) with ink = 1 to what is written at their middles."""

    def __init__(self) -> None:
        super().__init__()
        one, two, three = WIDTHS
        self.layers = nn.Sequential(
            convolution(4, one),
            convolution(one, one),
            nn.MaxPool2d(2),
            convolution(one, two),
            convolution(two, two),
            nn.MaxPool2d(2),
            convolution(two, three),
            _Block(three),
            convolution(three, NARROW, kernel_size=1),
            nn.Flatten(),
            nn.Linear(NARROW * (PATCH_HEIGHT // 8) * (PATCH_WIDTH // 8), LAST),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
        )
        self.kinds = nn.Linear(LAST, len(WRITTEN_KINDS) + 1)
        self.charges = nn.Linear(LAST, len(CHARGES))

    def forward(self, patches: Tensor) -> Labels:
        squares = nn.functional.pixel_unshuffle(patches, 2).contiguous(memory_format=torch.channels_last)
        features = self.layers(squares)
        return Labels(self.kinds(features), self.charges(features))

    def add_to_kind_logits(self, added: Tensor) -> None:
        """Add to the logits of WRITTEN_KINDS (N,): logit adjustment (arXiv 2007.07314)."""
        with torch.no_grad():
            self.kinds.bias[:NOT_A_NODE] += added


@cache
def pretrained_label_reader(name: str) -> LabelReader:
    """Return the reader of that name that comes with the project, ready to read."""
    reader = LabelReader()
    load_from_half(reader, PRETRAINED / "labels" / f"{name}.safetensors")
    return reader.eval()
