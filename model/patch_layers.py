"""The layers that read a patch of a drawing, for what reads labels and what reads edges."""

import torch
from torch import Tensor, nn

from model.encoders import convolution

WIDTHS = (32, 64, 128)
NARROW, NUM_FEATURES = 32, 192
DROPOUT = 0.1


class _Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.first = convolution(num_features, num_features)
        self.second = nn.Conv2d(num_features, num_features, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(num_features)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.norm(self.second(self.first(features))))


def patch_layers(height: int, width: int) -> nn.Sequential:
    """Layers from squares of 2 x 2 pixels of patches (N, 4, height / 2, width / 2) to features (N, 192).

    Sides are multiples of 8.
    """
    one, two, three = WIDTHS
    return nn.Sequential(
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
        nn.Linear(NARROW * (height // 8) * (width // 8), NUM_FEATURES),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
    )


def as_squares(patches: Tensor) -> Tensor:
    """Patches (N, 1, h, w) as squares of 2 x 2 pixels (N, 4, h / 2, w / 2)."""
    return nn.functional.pixel_unshuffle(patches, 2).contiguous(memory_format=torch.channels_last)
