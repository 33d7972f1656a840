"""Small networks that look at one piece of a traced drawing: what lies between two points, or what is written at one.

Parameters of the pretrained ones: 151,944 of the edge reader, 152,623 of the node reader.

patch (N, 1, h, w): cut from an image, h x w is 16 x 32 for an edge, from one point to the other, and 24 x 48 for a node
  -> five convolutions  (N, 64, h / 4, w / 4)
  -> means of 2 x 4     (N, 512)
  -> kinds              (N, K), logits of KINDS or NODE_KINDS

N patches, K kinds.
"""

from functools import cache
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.trace_kinds import KINDS, NODE_KINDS

WIDTHS = (32, 64, 96)  # features of the first two convolutions, of the other three, and before the kinds
DROPOUT = 0.2  # of the features before the kinds, in training


class PatchReader(nn.Module):
    """Patches (N, 1, h, w) with ink = 1 to logits of kinds (N, K)."""

    def __init__(self, num_kinds: int) -> None:
        super().__init__()
        narrow, wide, last = WIDTHS
        self.layers = nn.Sequential(
            *_convolution(1, narrow),
            *_convolution(narrow, narrow),
            nn.MaxPool2d(2),
            *_convolution(narrow, wide),
            *_convolution(wide, wide),
            nn.MaxPool2d(2),
            *_convolution(wide, wide),
            nn.AdaptiveAvgPool2d((2, 4)),
            nn.Flatten(),
            nn.Linear(wide * 8, last),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(last, num_kinds),
        )

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.layers(patches)  # (N, K)
        return logits


def _convolution(num_in: int, num_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(num_in, num_out, 3, padding=1), nn.ReLU()


class Readers(NamedTuple):
    """What looks at a traced drawing."""

    edges: PatchReader  # of KINDS
    nodes: PatchReader  # of NODE_KINDS


@cache
def pretrained_readers(name: str) -> Readers:
    """The readers of that name that come with the project, ready to read."""
    readers = Readers(PatchReader(len(KINDS)), PatchReader(len(NODE_KINDS)))
    for kind, reader in zip(Readers._fields, readers, strict=True):
        weights = load_file(PRETRAINED / kind / f"{name}.safetensors")  # in half precision
        reader.load_state_dict({key: value.float() for key, value in weights.items()})
        reader.eval()
    return readers
