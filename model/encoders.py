"""Images to a grid of features, one row of numbers per image position; knows nothing of captions.

B batch, C channels, H W image height and width, h w grid height and width, P = h * w image positions, F features
of the backbone, G grid width.
"""

import textwrap
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from model.config import ENCODER_PACKAGES, CaptionerConfig
from model.errors import EncoderWeightsError

TIMM_NAMES = {"efficientnet_lite2": "tf_efficientnet_lite2"}
TIMM_MEAN, TIMM_DEVIATION = 127 / 255, 128 / 255  # of TensorFlow's EfficientNet-Lite, for all three colours
FIRST_OF_PACKAGE = "_conv_stem."  # the first layer under a package's names, which are not timm's
WRAPPERS = ("state_dict", "model")  # keys under which training programs keep a state dict
DATA_PARALLEL = "module."  # torch's DataParallel puts it before every name
CLASSIFIERS = ("fc.", "_fc.", "classifier.")  # the last layers of published weights, which tell classes apart

WAVELENGTHS = (2.5, 4.0, 7.0, 12.0, 25.0, 50.0, 100.0)  # grid positions; from a neighbour to the largest image


class Encoder(nn.Module):
    """A convolutional backbone, then sinusoidal position features added to each grid position."""

    def __init__(self, name: str, num_channels: int, grid_width: int, is_frozen: bool) -> None:
        super().__init__()
        self.name = name
        self.is_frozen = is_frozen
        self.backbone = _backbone(name, num_channels, grid_width)
        num_features = self.backbone.num_features
        fits = num_features == grid_width
        self.fit = nn.Identity() if fits else nn.Conv2d(num_features, grid_width, kernel_size=1)
        self.positions = nn.Linear(4 * len(WAVELENGTHS), grid_width, bias=False)
        self.backbone.requires_grad_(not is_frozen)

    def forward(self, images: Tensor) -> Tensor:
        """Return the grid (B, P, G), row by row, of images (B, C, H, W) with ink = 1; sides multiples of the stride.

        A frozen backbone also takes what `extract` returned, instead of images.
        """
        is_extracted = self.is_frozen and images.shape[1] == self.backbone.num_features
        features: Tensor = self.fit(images if is_extracted else self.backbone(images))  # (B, G, h, w)
        features = features.permute(0, 2, 3, 1)  # (B, h, w, G)
        positions = self.positions(_waves(features.shape[1], features.shape[2], features.device))  # (h, w, G)
        return (features + positions.to(features.dtype)).flatten(1, 2)  # (B, P, G)

    def extract(self, images: Tensor) -> Tensor:
        """Return the backbone's features (B, F, h, w) of images (B, C, H, W) with ink = 1."""
        features: Tensor = self.backbone(images)
        return features

    def train(self, mode: bool = True) -> "Encoder":
        """Switch to training; a frozen backbone stays in evaluation, else its running means would still move."""
        super().train(mode)
        if self.is_frozen:
            self.backbone.eval()
        return self


def _waves(num_rows: int, num_columns: int, device: torch.device) -> Tensor:
    """Return sines and cosines of the row and column of each position (h, w, 4 * wavelengths).

    They are defined for images larger than any in training; a learned table of positions is not.
    """
    turns = 2 * torch.pi / torch.tensor(WAVELENGTHS, device=device)
    rows = torch.arange(num_rows, device=device)[:, None] * turns  # (h, wavelengths)
    columns = torch.arange(num_columns, device=device)[:, None] * turns
    rows, columns = torch.cat((rows.sin(), rows.cos()), dim=1), torch.cat((columns.sin(), columns.cos()), dim=1)
    shape = (num_rows, num_columns, rows.shape[1])
    return torch.cat((rows[:, None].expand(shape), columns[None].expand(shape)), dim=2)


class InkNet(nn.Module):
    """A small network for line drawings; it has no convolutions at full and half size, as drawings have no texture.

    A 4 x 4 space-to-depth keeps every pixel and hands the first convolution a quarter of the height and width.
    """

    def __init__(self, num_channels: int, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features
        quarter, eighth = num_features // 4, num_features // 2
        self.layers = nn.Sequential(
            # No norm at the largest size, where it would cost as much as the convolution.
            nn.Conv2d(16 * num_channels, quarter, kernel_size=3, padding=1),  # (B, F/4, H/4, W/4)
            nn.ReLU(inplace=True),
            convolution(quarter, eighth, stride=2),  # (B, F/2, H/8, W/8)
            ResidualBlock(eighth),
            convolution(eighth, num_features, stride=2),  # (B, F, H/16, W/16)
            ResidualBlock(num_features),
            ResidualBlock(num_features),
            ResidualBlock(num_features),
        )

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.layers(space_to_depth(images))  # (B, F, h, w)
        return features


def space_to_depth(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) with each square of 4 x 4 pixels as channels, channels last in memory."""
    batch, channels, height, width = images.shape
    blocks = images.reshape(batch, channels, height // 4, 4, width // 4, 4)  # (B, C, H/4, 4, W/4, 4)
    blocks = blocks.permute(0, 2, 4, 1, 3, 5).flatten(3)  # (B, H/4, W/4, 16 C)
    return blocks.permute(0, 3, 1, 2)  # (B, 16 C, H/4, W/4)


class ResidualBlock(nn.Module):
    """A 3 x 3 convolution on half the channels, between two of 1 x 1, beside a shortcut (arXiv 1512.03385)."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        half = num_features // 2
        self.narrow = convolution(num_features, half, kernel_size=1)
        self.look = convolution(half, half)
        self.widen = nn.Conv2d(half, num_features, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(num_features)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(features + self.norm(self.widen(self.look(self.narrow(features)))))  # (B, F, h, w)


def convolution(num_inputs: int, num_outputs: int, kernel_size: int = 3, stride: int = 1) -> nn.Sequential:
    padding = kernel_size // 2
    return nn.Sequential(
        nn.Conv2d(num_inputs, num_outputs, kernel_size, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(num_outputs),
        nn.ReLU(inplace=True),
    )


class ResNet50(nn.Module):
    """torchvision's ResNet50 without its last two layers (pooling and classes), under torchvision's own names."""

    num_features = 2048
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        import torchvision  # takes a second to load, and other encoders do without

        resnet = torchvision.models.resnet50(weights=None)
        self.layers = nn.Sequential(OrderedDict(list(resnet.named_children())[:-2]))
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        # ImageNet's statistics are of light, not of ink; one channel serves as all three.
        light = (1 - images - self.mean) / self.deviation  # (B, 3, H, W)
        features: Tensor = self.layers(light.contiguous(memory_format=torch.channels_last))  # (B, 2048, h, w)
        return features


class EfficientNetLite(nn.Module):
    """timm's EfficientNet-Lite without pooling and classes, under timm's own names (arXiv 1905.11946)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            import timm  # takes a second to load, and drawings do without
        except ImportError as error:
            raise EncoderWeightsError(f"captioner.encoder {name} needs timm, of captionlake's extra photos") from error
        self.layers = timm.create_model(TIMM_NAMES[name], num_classes=0, global_pool="")
        self.num_features = int(self.layers.num_features)

    def forward(self, images: Tensor) -> Tensor:
        light = (1 - images - TIMM_MEAN) / TIMM_DEVIATION  # (B, 3, H, W)
        features: Tensor = self.layers.forward_features(light)  # (B, F, h, w)
        return features


def _backbone(name: str, num_channels: int, num_features: int) -> "InkNet | ResNet50 | EfficientNetLite":
    if name == "inknet":
        return InkNet(num_channels, num_features)
    return ResNet50() if name == "resnet50" else EfficientNetLite(name)


def load_encoder_weights(encoder: Encoder, encoder_weights: str) -> None:
    """Fill the backbone: 'random' leaves it as built, 'imagenet' is a package's or a download, else the path of a file.

    A file is a state dict of the backbone (.safetensors, or .pth as torchvision or the package publishes it), also one
    under WRAPPERS or of DataParallel. Raises EncoderWeightsError, naming the setting, if the weights are out of reach,
    are no state dict or belong to another network.
    """
    if encoder_weights == "random":
        return
    setting = f"captioner.encoder_weights is {encoder_weights!r}"
    way_out = "give the path of a weights file, or 'random' to start without"
    try:
        weights = _state_dict_in(_read_weights(encoder.name, encoder_weights))
    except Exception as error:  # torch.load alone raises five unrelated types
        raise EncoderWeightsError(f"{setting} but these weights could not be read ({error}); {way_out}") from error
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(CLASSIFIERS)}
    try:
        if encoder.name in ENCODER_PACKAGES and any(name.startswith(FIRST_OF_PACKAGE) for name in weights):
            weights = _renamed(weights, encoder.backbone.layers)
        encoder.backbone.layers.load_state_dict(weights)
    except RuntimeError as error:
        network = type(encoder.backbone).__name__
        fault = textwrap.shorten(str(error), 200)  # on one line: it names every weight
        raise EncoderWeightsError(f"{setting} but these weights do not fit {network} ({fault}); {way_out}") from error


def _state_dict_in(content: object) -> dict[str, Tensor]:
    """Return the state dict that a file holds, itself or under WRAPPERS. Raises TypeError if it holds none."""
    for wrapper in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise TypeError(f"a {type(content).__name__}, expected tensors by name")
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(f"a {type(tensor).__name__} under {name!r}, expected tensors by name")
    is_parallel = all(name.startswith(DATA_PARALLEL) for name in content)
    return {name.removeprefix(DATA_PARALLEL) if is_parallel else name: tensor for name, tensor in content.items()}


def _renamed(weights: dict[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return a package's weights under the network's names: both list the same layers in the same order."""
    counted = "num_batches_tracked"  # of norms, of no use without training
    names = [name for name in network.state_dict() if not name.endswith(counted)]
    tensors = [tensor for name, tensor in weights.items() if not name.endswith(counted)]
    counts = {name: tensor for name, tensor in network.state_dict().items() if name.endswith(counted)}
    if len(names) != len(tensors):
        raise RuntimeError(f"{len(tensors)} weights for {len(names)} of the network")
    return dict(zip(names, tensors, strict=True)) | counts


def frozen_encoder(config: CaptionerConfig) -> Encoder:
    """Return the encoder with the weights that its config names, to `extract` with. Raises EncoderWeightsError."""
    encoder = Encoder(config.encoder, config.num_channels, config.grid_width, is_frozen=True)
    load_encoder_weights(encoder, config.encoder_weights)
    return encoder.eval()


def _read_weights(name: str, encoder_weights: str) -> object:
    if encoder_weights == "imagenet" and name in ENCODER_PACKAGES:
        package, file = ENCODER_PACKAGES[name]
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"the package {package.replace('_', '-')} is not installed")
        encoder_weights = str(Path(spec.submodule_search_locations[0]) / file)
    if encoder_weights == "imagenet":
        import torchvision

        published = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
        return published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    if Path(encoder_weights).suffix == ".safetensors":
        return safetensors.torch.load_file(encoder_weights)
    return torch.load(encoder_weights, map_location="cpu", weights_only=True)
