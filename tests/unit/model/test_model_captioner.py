"""The captioner: one step at a time says what all at once says, and impossible networks are refused by name."""

import re

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

import model.captioner
from model.batches import as_ink
from model.captioner import Captioner
from model.checkpoint import PRETRAINED, load_captioner
from model.config import CaptionerConfig, CaptionerConfigError
from tests.unit.tiny_captioner import TINY, VOCABULARY, stroke_batch, tiny_captioner, tiny_config


@pytest.mark.parametrize("most_rows_of_cell", [0, 1000])
@torch.no_grad()
def test_stepwise_logits_are_those_of_the_whole_caption(
    most_rows_of_cell: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.captioner, "MAX_ROWS_OF_CELL", most_rows_of_cell)
    captioner, batch = tiny_captioner().eval(), stroke_batch(6)
    torch.nn.init.normal_(captioner.decoder.second_attention.key)  # which begin at 0
    torch.nn.init.normal_(captioner.decoder.second_attention.value)
    images = as_ink(batch.images)
    together = captioner(images, batch.inputs)
    grid = captioner.encode(images)
    state = captioner.start(grid, num_beams=1)
    for index in range(batch.inputs.shape[1]):
        logits, state = captioner.step(batch.inputs[:, index : index + 1], grid, state)
        torch.testing.assert_close(logits[:, 0], together[:, index], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_later_token_changes_no_earlier_logits() -> None:
    captioner, batch = tiny_captioner().eval(), stroke_batch(5)
    changed = batch.inputs.clone()
    changed[:, 3:] = 5
    before, after = (captioner(as_ink(batch.images), tokens) for tokens in (batch.inputs, changed))
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3:], after[:, 3:])


@torch.no_grad()
def test_explained_logits_are_the_same_and_attention_sums_to_one() -> None:
    captioner, batch = tiny_captioner().eval(), stroke_batch(5)
    images = as_ink(batch.images)
    explained = captioner.explain(images, batch.inputs)
    torch.testing.assert_close(explained.logits, captioner(images, batch.inputs))
    num_positions = 2 * 4
    assert explained.cells.shape == (5, num_positions, 3)
    for attention in (explained.first_attention, explained.second_attention):
        assert attention.shape == (5, 2, batch.inputs.shape[1], num_positions)
        torch.testing.assert_close(attention.sum(dim=3), torch.ones(attention.shape[:3]))


def test_the_parameter_counts_in_the_module_docstring_are_those_of_the_pretrained_model() -> None:
    network, _, _ = load_captioner(PRETRAINED / "molecules")
    decoder = network.decoder
    assert network.cells is not None
    parts = (
        (network,),
        (network.encoder,),
        (network.cells,),
        (decoder.keys, decoder.values),
        (decoder.embedding,),
        (decoder.first_lstm,),
        (decoder.is_naming,),
        (decoder.first_attention,),
        (decoder.second_lstm,),
        (decoder.second_attention,),
        (decoder.output,),
    )
    counted = [f"{sum(weight.numel() for one in part for weight in one.parameters()):,}" for part in parts]
    image = (model.captioner.__doc__ or "").split("\nB batch")[0]
    assert re.findall(r"\b\d[\d,]*\b", image) == counted


@torch.no_grad()
def test_attention_is_scaled_dot_product_attention() -> None:
    decoder = tiny_captioner().decoder
    features, outputs = 3 * torch.randn(2, 6, 32), 3 * torch.randn(2, 4, 32)
    contexts, _ = decoder.first_attention(outputs, decoder.project(features))
    queries, keys, values = (
        layer(inputs).unflatten(2, (2, 16)).transpose(1, 2)
        for layer, inputs in (
            (decoder.first_attention.query, outputs),
            (decoder.keys, features),
            (decoder.values, features),
        )
    )
    expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(contexts, expected.transpose(1, 2).flatten(2))


@torch.no_grad()
def test_coverage_adds_to_keys_and_values_as_often_as_a_position_was_named() -> None:
    decoder = tiny_captioner().decoder
    looked = decoder.second_attention
    torch.nn.init.normal_(looked.key)
    torch.nn.init.normal_(looked.value)
    features, outputs, coverage = 3 * torch.randn(2, 6, 32), 3 * torch.randn(2, 4, 32), 2 * torch.rand(2, 4, 6)
    contexts, _ = looked(outputs, decoder.project(features), coverage)
    for step in range(4):  # each step has a grid of its own
        queries, keys, values = (
            layer(inputs).unflatten(2, (2, 16)).transpose(1, 2)
            for layer, inputs in (
                (looked.attention.query, outputs[:, step : step + 1]),
                (decoder.keys, features),
                (decoder.values, features),
            )
        )
        times = coverage[:, step][:, None, :, None]  # (B, 1, P, 1)
        keys, values = keys + 16**0.5 * times * looked.key, values + times * looked.value  # the query is not scaled
        expected = torch.nn.functional.scaled_dot_product_attention(queries, keys, values)
        torch.testing.assert_close(contexts[:, step], expected[:, :, 0].flatten(1))


def test_both_attentions_reach_the_loss() -> None:
    captioner, batch = tiny_captioner(num_cell_labels=0), stroke_batch(5)
    torch.nn.init.ones_(captioner.decoder.second_attention.key)  # at 0 no coverage would pass
    captioner(as_ink(batch.images), batch.inputs).square().sum().backward()
    unused = [name for name, parameter in captioner.named_parameters() if not parameter.grad.abs().sum() > 0]
    assert unused == []


def test_dropout_drops_in_training_only_and_the_same_features_of_every_token() -> None:
    decoder = tiny_captioner(dropout=0.5).decoder
    ones = torch.ones(3, 4, 16)
    dropped = decoder._drop(ones)
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert (dropped == dropped[:, :1]).all()
    assert decoder.eval()._drop(ones) is ones


def test_the_default_network_has_a_position_every_16_pixels_and_some_millions_of_weights() -> None:
    config = tiny_config(grid_width=256, width=512, embedding_width=128, num_attention_heads=8)
    captioner = Captioner(config, num_tokens=200).eval()
    assert captioner.encode(torch.zeros(1, 1, 160, 256)).keys.shape == (1, 8, 32, 160)
    assert 3e6 < sum(parameter.numel() for parameter in captioner.parameters()) < 8e6


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"encoder": "alexnet"}, "encoder is 'alexnet'"),
        ({"encoder_weights": "imagenet"}, "encoder_weights is 'imagenet'"),
        ({"num_channels": 2}, "num_channels is 2"),
        ({"num_cell_labels": -1}, "num_cell_labels is -1"),
        ({"num_attention_heads": 3}, "grid_width is 32, expected a multiple of 4 and of num_attention_heads"),
        ({"width": 0}, "width is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_a_network_that_cannot_be_is_refused_by_field(changes: dict, seen: str) -> None:
    with pytest.raises(CaptionerConfigError, match=seen):
        tiny_config(**changes)


def test_settings_refuse_unknown_and_missing_fields_and_name_wrong_ones() -> None:
    settings = TypeAdapter(CaptionerConfig)
    assert settings.validate_python(TINY) == tiny_config()
    for faulty, field in ((TINY | {"depth": 3}, "depth"), (TINY | {"dropout": 2}, "dropout is 2")):
        with pytest.raises(ValidationError, match=field):
            settings.validate_python(faulty)
    with pytest.raises(ValidationError, match="width"):
        settings.validate_python({name: value for name, value in TINY.items() if name != "width"})


def test_every_vocabulary_size_gets_its_own_output() -> None:
    batch = stroke_batch(2)
    assert tiny_captioner()(as_ink(batch.images), batch.inputs).shape == (*batch.inputs.shape, len(VOCABULARY))
