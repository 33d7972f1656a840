"""A network that tells what joins two points of a drawing, from a patch along the way from one to the other.

Parameters of the pretrained one: 680,392.

patch (E, 1, 32, 72): turned and scaled so that the way lies in its middle row, 36 pixels long
  -> squares of 2 x 2 as channels   (E, 4, 16, 36)
  -> convolutions, three sizes      (E, 128, 4, 9)
  -> narrow, flat                   (E, 1152) -> (E, 192), and the length of the way
  -> kinds (E, K)                   logits of KINDS

E pairs of points, K kinds.
"""

from functools import cache

import torch
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.graph_kinds import EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH, KINDS
from model.half_precision import load_from_half
from model.patch_layers import NUM_FEATURES, as_squares, patch_layers

LAST = 96


class EdgeReader(nn.Module):
    """Patches (E, 1, 32, 72) with ink = 1 to logits of KINDS (E, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = patch_layers(EDGE_PATCH_HEIGHT, EDGE_PATCH_WIDTH)
        self.kinds = nn.Sequential(nn.Linear(NUM_FEATURES + 1, LAST), nn.ReLU(), nn.Linear(LAST, len(KINDS)))

    def forward(self, patches: Tensor, lengths: Tensor) -> Tensor:
        """Lengths (E,) are those of the ways over that of a typical edge of the drawing."""
        features = self.layers(as_squares(patches))
        logits: Tensor = self.kinds(torch.cat((features, lengths[:, None].to(features.dtype)), dim=1))
        return logits

    def add_to_kind_logits(self, added: Tensor) -> None:
        """Add to the logits of KINDS (K,): logit adjustment (arXiv 2007.07314)."""
        last = self.kinds[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.add_(added)


@cache
def pretrained_edge_reader(name: str) -> EdgeReader:
    """Return the reader of that name that comes with the project, ready to read."""
    reader = EdgeReader()
    load_from_half(reader, PRETRAINED / "edges" / f"{name}.safetensors")
    return reader.eval()
