"""The network that says what lies between two points of a drawing: nothing, or an edge and of which kind.

Parameters of the pretrained one: 151,944.

patch (N, 1, 16, 32): cut from an image, from the first point to the second, all of one length
  -> five convolutions  (N, 64, 4, 8)
  -> means of 2 x 4     (N, 512)
  -> kinds              (N, K), logits of KINDS

N edges, K kinds.
"""

from functools import cache

from safetensors.torch import load_file
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.edge_kinds import KINDS

WIDTHS = (32, 64, 96)  # features of the first two convolutions, of the other three, and before the kinds
DROPOUT = 0.2  # of the features before the kinds, in training


class EdgeReader(nn.Module):
    """Patches (N, 1, 16, 32) with ink = 1 to logits of kinds (N, K)."""

    def __init__(self) -> None:
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
            nn.Linear(last, len(KINDS)),
        )

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.layers(patches)  # (N, K)
        return logits


def _convolution(num_in: int, num_out: int) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(num_in, num_out, 3, padding=1), nn.ReLU()


@cache
def pretrained_edge_reader(name: str) -> EdgeReader:
    """The edge reader of that name that comes with the project, ready to read."""
    reader = EdgeReader()
    reader.load_state_dict({key: value.float() for key, value in load_file(edge_weights(name)).items()})
    return reader.eval()


def edge_weights(name: str) -> str:
    """The file of an edge reader's weights, in half precision."""
    return str(PRETRAINED / "edges" / f"{name}.safetensors")
