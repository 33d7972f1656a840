"""Encoders: a grid that knows its positions, weights from where the settings say, and frozen means frozen."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from model.checkpoint import load_captioner, new_captioner, save_checkpoint
from model.config import ENCODER_PACKAGES, CaptionerConfig
from model.encoders import Encoder, frozen_encoder, load_encoder_weights
from model.errors import EncoderWeightsError
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch
from tests.unit.tiny_captioner import VOCABULARY, quick_training, stroke_batch, tiny_captioner, tiny_config


def inknet(seed: int = 0) -> Encoder:
    torch.manual_seed(seed)
    return Encoder("inknet", 1, grid_width=32, is_frozen=False)


def resnet50(is_frozen: bool = False) -> Encoder:
    return Encoder("resnet50", 3, grid_width=16, is_frozen=is_frozen)


@torch.no_grad()
def test_the_grid_is_read_row_by_row() -> None:
    encoder = inknet().eval()
    image = torch.zeros(1, 1, 32, 48)
    blank = encoder(image)
    image[:, :, 17:31, 33:47] = 1  # lower right of 2 x 3 positions
    change = (encoder(image) - blank).abs().sum(dim=2)[0]
    assert change.shape == (6,)
    assert change.argmax() == 5


@torch.no_grad()
def test_blank_positions_differ_by_where_they_are() -> None:
    encoder = inknet().eval()
    encoder.backbone.layers = torch.nn.MaxPool2d(4)  # the same everywhere on blank paper
    encoder.fit = torch.nn.Conv2d(16, 32, 1)
    grid = encoder(torch.zeros(1, 1, 32, 48))[0]
    assert torch.pdist(grid).min() > 0.1


@torch.no_grad()
def test_a_position_has_the_same_place_in_a_larger_image() -> None:
    encoder = inknet().eval()
    encoder.backbone.layers = torch.nn.MaxPool2d(4)
    encoder.fit = torch.nn.Conv2d(16, 32, 1)
    small, large = encoder(torch.zeros(2, 1, 16, 32)), encoder(torch.zeros(2, 1, 640, 960))
    assert small.shape == (2, 2, 32)
    torch.testing.assert_close(small, large[:, :2])


@torch.no_grad()
def test_no_pixel_is_lost_before_the_first_convolution() -> None:
    encoder = inknet().eval()
    blank, seen = encoder(torch.zeros(1, 1, 32, 48)), 0
    for row in range(8, 12):
        for column in range(8, 12):
            image = torch.zeros(1, 1, 32, 48)
            image[0, 0, row, column] = 1
            seen += bool((encoder(image) - blank).abs().max() > 1e-4)
    assert seen == 16


@torch.no_grad()
def test_resnet50_sees_colours_and_takes_grey_as_all_three() -> None:
    encoder = resnet50().eval()
    grey = torch.rand(2, 1, 64, 64)
    colour = grey.repeat(1, 3, 1, 1)
    grid = encoder(colour)
    assert grid.shape == (2, 4, 16)
    torch.testing.assert_close(encoder(grey), grid)
    colour[:, 2] = 1 - colour[:, 2]
    assert (encoder(colour) - grid).abs().max() > 0.01


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_of_a_file_reach_the_backbone_without_the_classes(suffix: str, tmp_path: Path) -> None:
    weights = torchvision.models.resnet50(weights=None).state_dict()
    path = tmp_path / f"resnet50{suffix}"
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        safetensors.torch.save_file(weights, path)
    encoder = resnet50()
    load_encoder_weights(encoder, str(path))
    for name, tensor in encoder.backbone.layers.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.parametrize("wrap", [lambda weights: weights, lambda weights: {"epoch": 3, "state_dict": weights}])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_as_training_programs_save_them_are_read(
    tmp_path: Path, wrap: Callable[[dict], dict], prefix: str
) -> None:
    weights = inknet(seed=1).backbone.layers.state_dict()
    torch.save(wrap({prefix + name: tensor for name, tensor in weights.items()}), tmp_path / "weights.pth")
    encoder = inknet()
    load_encoder_weights(encoder, str(tmp_path / "weights.pth"))
    for name, tensor in encoder.backbone.layers.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([torch.zeros(2)], "a list, expected"),
        (torch.zeros(2), "a Tensor, expected"),
        ({1: torch.zeros(2)}, "a Tensor under 1, expected"),
        ({"conv1.weight": 5}, "a int under 'conv1.weight', expected"),
        ({"state_dict": [1]}, "a list under 'state_dict', expected"),
    ],
)
def test_a_file_without_tensors_by_name_is_refused_in_one_sentence(tmp_path: Path, content: object, what: str) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(EncoderWeightsError, match=rf"could not be read \({what} tensors by name\)"):
        load_encoder_weights(inknet(), str(tmp_path / "weights.pth"))


def test_random_leaves_the_weights_as_they_are() -> None:
    encoder = inknet()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    load_encoder_weights(encoder, "random")
    assert all(torch.equal(tensor, before[name]) for name, tensor in encoder.state_dict().items())


def test_a_missing_weights_file_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(EncoderWeightsError, match=r"captioner\.encoder_weights is '.*gone\.pth'.*'random'"):
        load_encoder_weights(inknet(), str(tmp_path / "gone.pth"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    safetensors.torch.save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(EncoderWeightsError, match=r"captioner\.encoder_weights is .* do not fit InkNet") as caught:
        load_encoder_weights(inknet(), str(tmp_path / "other.safetensors"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_imagenet_weights_out_of_reach_stop_with_the_setting_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # nothing was downloaded before
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")  # nobody listens there
    for exception in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(exception, raising=False)
    with pytest.raises(EncoderWeightsError, match=r"encoder_weights is 'imagenet' but .* refused.*'random'") as caught:
        load_encoder_weights(resnet50(), "imagenet")
    assert "\n" not in str(caught.value)


def test_a_frozen_backbone_keeps_its_weights_and_running_means_while_the_rest_learns() -> None:
    captioner, config = tiny_captioner(is_encoder_frozen=True), quick_training()
    before = {name: tensor.clone() for name, tensor in captioner.state_dict().items()}
    optimizer = make_optimizer(captioner, config)
    train_epoch(captioner, [stroke_batch(8)] * 2, optimizer, config, TrainingState(), 2, on_step=ignore_step)
    changed = {name for name, tensor in captioner.state_dict().items() if not torch.equal(tensor, before[name])}
    assert not any(name.startswith("encoder.backbone.") for name in changed)
    assert {"encoder.positions.weight", "decoder.output.weight"} <= changed


def test_a_backbone_that_is_not_frozen_learns() -> None:
    captioner, config = tiny_captioner(), quick_training()
    before = {name: tensor.clone() for name, tensor in captioner.encoder.backbone.state_dict().items()}
    optimizer = make_optimizer(captioner, config)
    train_epoch(captioner, [stroke_batch(8)] * 2, optimizer, config, TrainingState(), 2, on_step=ignore_step)
    after = captioner.encoder.backbone.state_dict()
    assert [name for name, tensor in before.items() if torch.equal(tensor, after[name])] == []


def photo_config(**changes: object) -> CaptionerConfig:
    return tiny_config(
        **{
            "encoder": "efficientnet_lite2",
            "encoder_weights": "imagenet",
            "is_encoder_frozen": True,
            "num_channels": 3,
            "num_cell_labels": 0,
            **changes,
        }
    )


@torch.no_grad()
def test_packaged_weights_fill_the_whole_backbone() -> None:
    config = photo_config()
    published, random = frozen_encoder(config), Encoder("efficientnet_lite2", 3, 32, is_frozen=True).eval()
    features = published.extract(torch.rand(2, 3, 64, 96))
    assert features.shape == (2, 1280, 2, 3)
    same = [
        name
        for name, tensor in published.backbone.state_dict().items()
        if tensor.is_floating_point() and torch.equal(tensor, random.backbone.state_dict()[name])
    ]
    assert same == []


def test_the_packages_own_file_is_read_by_its_path_too() -> None:
    package, file = ENCODER_PACKAGES["efficientnet_lite2"]
    path = Path(find_spec(package).submodule_search_locations[0]) / file
    by_name, by_path = frozen_encoder(photo_config()), frozen_encoder(photo_config(encoder_weights=str(path)))
    weights = by_name.backbone.state_dict()
    for name, tensor in by_path.backbone.state_dict().items():
        assert torch.equal(tensor, weights[name]), name


@torch.no_grad()
def test_a_frozen_encoder_takes_what_it_extracted() -> None:
    encoder = frozen_encoder(photo_config())
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(encoder(encoder.extract(images)), encoder(images))


def test_a_checkpoint_keeps_no_weights_that_a_package_has(tmp_path: Path) -> None:
    captioner = new_captioner(photo_config(), VOCABULARY).eval()
    save_checkpoint(tmp_path / "model", captioner, VOCABULARY, details={}, provenance={})
    stored = safetensors.torch.load_file(tmp_path / "model" / "weights.safetensors")
    assert stored
    assert not [name for name in stored if name.startswith("encoder.backbone")]
    loaded = load_captioner(tmp_path / "model")[0]
    images, tokens = torch.rand(1, 3, 64, 64), torch.tensor([[1, 5, 6]])
    torch.testing.assert_close(loaded(images, tokens), captioner(images, tokens))


def test_weights_of_an_encoder_that_learns_are_kept(tmp_path: Path) -> None:
    captioner = new_captioner(photo_config(is_encoder_frozen=False), VOCABULARY)
    save_checkpoint(tmp_path / "model", captioner, VOCABULARY, details={}, provenance={})
    stored = safetensors.torch.load_file(tmp_path / "model" / "weights.safetensors")
    assert [name for name in stored if name.startswith("encoder.backbone")]
