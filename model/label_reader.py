"""A network that reads what is written at one node of a drawing, from a patch around it.

Parameters of the pretrained one: 1,116,677.

patch (N, 1, 48, 144): around a node, cut from the image in which the graph was read
  -> squares of 2 x 2 as channels   (N, 4, 24, 72)
  -> convolutions, three sizes      (N, 128, 6, 18)
  -> narrow, flat                   (N, 3456) -> (N, 192)
  -> kinds (N, K), charges (N, 3)   logits of WRITTEN_KINDS and nothing, and of CHARGES
  -> hydrogens (N, 4)               logits of their number

N patches, K kinds.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.graph_kinds import CHARGES, MAX_HYDROGENS, PATCH_HEIGHT, PATCH_WIDTH, WRITTEN_KINDS
from model.half_precision import load_from_half
from model.patch_layers import NUM_FEATURES, as_squares, patch_layers

NOT_A_NODE = len(WRITTEN_KINDS)  # index of the kind of a patch that is around no node


class Labels(NamedTuple):
    """What is written at nodes; logits."""

    kinds: Tensor  # (N, K), of WRITTEN_KINDS and NOT_A_NODE
    charges: Tensor  # (N, 3), of CHARGES
    hydrogens: Tensor  # (N, 4), of 0 to MAX_HYDROGENS; of a node that is not one of WITH_HYDROGENS it says nothing


class LabelReader(nn.Module):
    """Patches (N, 1, 48, 144) with ink = 1 to what is written at their middles."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = patch_layers(PATCH_HEIGHT, PATCH_WIDTH)
        self.kinds = nn.Linear(NUM_FEATURES, len(WRITTEN_KINDS) + 1)
        self.charges = nn.Linear(NUM_FEATURES, len(CHARGES))
        self.hydrogens = nn.Linear(NUM_FEATURES, 1 + MAX_HYDROGENS)

    def forward(self, patches: Tensor) -> Labels:
        features = self.layers(as_squares(patches))
        return Labels(self.kinds(features), self.charges(features), self.hydrogens(features))

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
