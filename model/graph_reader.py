"""A network that reads a drawing as a graph: where nodes lie, what is written there, and what joins two of them.

Parameters of the pretrained one: 1,443,275.

image (B, 1, H, W)
  -> InkNet, as in the captioner   (B, 64, H/4, W/4), (B, 128, H/8, W/8), (B, 256, H/16, W/16)
  -> upwards, with shortcuts       (B, F, h, w)  features of cells of 4 x 4 pixels
  -> spots                         of each cell: whether a node lies there, its place, charge and kind
  -> join                          features at points along a pair of nodes -> kinds of edges (E, K)

B batch, H W height and width of images, h w of the grid of cells, F features, E pairs, P points along a pair, K kinds
of edges, N kinds of nodes.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.checkpoint import PRETRAINED
from model.encoders import InkNet, ResidualBlock, convolution, space_to_depth
from model.graph_kinds import CHARGES, KINDS, WRITTEN_KINDS
from model.half_precision import load_from_half

CELL_PX = 4
NUM_FEATURES = 64
NUM_POINTS = 7  # along a pair, both ends included
BACKBONE_WIDTH, SPOT_WIDTH, EDGE_WIDTH = 256, 128, 192


class Spots(NamedTuple):
    """What the cells of images show; logits, but for features and offsets."""

    features: Tensor  # (B, F, h, w)
    is_node: Tensor  # (B, h, w)
    charges: Tensor  # (B, 3, h, w), of CHARGES
    offsets: Tensor  # (B, 2, h, w), x and y of the node from the middle of the cell, in cells
    kinds: Tensor  # (B, N, h, w), of WRITTEN_KINDS


class GraphReader(nn.Module):
    """Images (B, 1, H, W) with ink = 1, sides multiples of 16, to what their cells show."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = InkNet(1, BACKBONE_WIDTH)
        quarter, eighth = BACKBONE_WIDTH // 4, BACKBONE_WIDTH // 2
        self.from_16 = nn.Conv2d(BACKBONE_WIDTH, eighth, 1)
        self.at_8 = nn.Sequential(ResidualBlock(eighth), ResidualBlock(eighth))
        self.from_8 = nn.Conv2d(eighth, NUM_FEATURES, 1)
        self.beside_4 = nn.Conv2d(quarter, NUM_FEATURES, 1)
        self.at_4 = nn.Sequential(convolution(NUM_FEATURES, NUM_FEATURES), convolution(NUM_FEATURES, NUM_FEATURES))
        self.spots = nn.Sequential(
            nn.Conv2d(NUM_FEATURES, SPOT_WIDTH, 1),
            nn.ReLU(),
            nn.Conv2d(SPOT_WIDTH, 1 + len(CHARGES) + 2 + len(WRITTEN_KINDS), 1),
        )
        self.edges = nn.Sequential(
            nn.Linear(NUM_POINTS * NUM_FEATURES + 1, EDGE_WIDTH),
            nn.ReLU(),
            nn.Linear(EDGE_WIDTH, EDGE_WIDTH),
            nn.ReLU(),
            nn.Linear(EDGE_WIDTH, len(KINDS)),
        )

    def forward(self, images: Tensor) -> Spots:
        layers = self.backbone.layers
        at_4 = layers[:2](space_to_depth(images))  # (B, 64, H/4, W/4)
        at_8 = layers[2:4](at_4)  # (B, 128, H/8, W/8)
        at_16 = layers[4:](at_8)  # (B, 256, H/16, W/16)
        up = self.at_8(at_8 + _twice_as_large(self.from_16(at_16)))
        features = self.at_4(self.beside_4(at_4) + _twice_as_large(self.from_8(up)))  # (B, F, h, w)
        is_node, charges, offsets, kinds = self.spots(features).split((1, len(CHARGES), 2, len(WRITTEN_KINDS)), dim=1)
        return Spots(features, is_node[:, 0], charges, offsets, kinds)

    def add_to_kind_logits(self, added: Tensor) -> None:
        """Add to the logits of kinds (N,): logit adjustment (arXiv 2007.07314)."""
        last = self.spots[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        with torch.no_grad():
            last.bias[-len(WRITTEN_KINDS) :] += added

    def join(self, features: Tensor, owners: Tensor, ends_xy: Tensor, lengths_px: Tensor) -> Tensor:
        """Return logits of KINDS (E, K) of the edges from ends_xy[:, 0] to ends_xy[:, 1].

        Ends (E, 2, 2) are in pixels of the images `owners` (E,), where edges are about lengths_px (E,) long.
        """
        along = torch.linspace(0, 1, NUM_POINTS, device=features.device)[:, None]  # (P, 1)
        points = ends_xy[:, :1] * (1 - along) + ends_xy[:, 1:] * along  # (E, P, 2)
        sampled = _sampled(features, owners, (points + 0.5) / CELL_PX - 0.5)  # (E, P, F)
        length = (ends_xy[:, 1] - ends_xy[:, 0]).norm(dim=1, keepdim=True) / lengths_px[:, None]  # (E, 1)
        logits: Tensor = self.edges(torch.cat((sampled.flatten(1), length.to(sampled.dtype)), dim=1))
        return logits


def _twice_as_large(features: Tensor) -> Tensor:
    return nn.functional.interpolate(features, scale_factor=2.0)


def _sampled(features: Tensor, owners: Tensor, at: Tensor) -> Tensor:
    """Return features (B, F, h, w) of images `owners` (E,) between cells: at x, y in cells (E, P, 2) -> (E, P, F)."""
    height, width = features.shape[2:]
    cells = features.permute(0, 2, 3, 1).flatten(0, 2)  # (B h w, F)
    x, y = at[..., 0].clamp(0, width - 1), at[..., 1].clamp(0, height - 1)  # (E, P)
    left, top = x.floor().clamp(max=width - 2), y.floor().clamp(max=height - 2)
    right_part, lower_part = ((one - other)[..., None].to(cells.dtype) for one, other in ((x, left), (y, top)))
    corner = owners[:, None] * (height * width) + top.long() * width + left.long()  # (E, P)

    def across(first: Tensor) -> Tensor:
        one, next_one = (cells[index.flatten()].unflatten(0, index.shape) for index in (first, first + 1))
        return one * (1 - right_part) + next_one * right_part

    return across(corner) * (1 - lower_part) + across(corner + width) * lower_part


@cache
def pretrained_graph_reader(name: str) -> GraphReader:
    """Return the reader of that name that comes with the project, ready to read."""
    reader = GraphReader()
    load_from_half(reader, PRETRAINED / "graphs" / f"{name}.safetensors")
    return reader.eval()
