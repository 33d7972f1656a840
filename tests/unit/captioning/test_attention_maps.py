"""Where attention looked: as the network says, and as the sheet shows it."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib.captioning.attention_glow import attention_glows
from lib.captioning.attention_maps import AttentionMaps, attention_maps
from lib.captioning.attention_sheet import attention_sheet
from lib.captioning.captioner import Captioner
from lib.captioning.image_captioning import ImageCaptioner
from lib.errors import CorruptImageError
from lib.settings import load_settings
from model.batches import as_ink, stack_images
from tests.unit.tiny_captioner import smiles_checkpoint, stroke_samples


def test_maps_are_those_of_the_network_on_its_grid_one_for_each_token(tmp_path: Path) -> None:
    prediction = load_settings("molecules", "local").prediction.model_copy(update={"num_beams": 2})
    captioner = ImageCaptioner(smiles_checkpoint(tmp_path / "m"), prediction)
    pixels = stroke_samples(1)[0]["pixels"]
    looked = attention_maps(captioner, pixels)
    images = as_ink(stack_images([pixels], 1))
    num_rows, num_columns = images.shape[2] // 16, images.shape[3] // 16
    assert looked.maps.shape == (len(looked.tokens), num_rows, num_columns)
    assert np.allclose(looked.maps.sum(axis=(1, 2)), 1, atol=1e-5)
    best = captioner.search([pixels], 2)[0][0]
    assert looked.tokens == captioner.vocabulary.decode(best.token_ids)
    tokens = torch.tensor([[1, *best.token_ids]])  # <start> first: what is looked at before a token is written
    explained = captioner.network.explain(images, tokens).second_attention[0, 0]
    assert np.allclose(looked.maps.reshape(len(looked.tokens), -1), explained[:-1].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("shape", [(64, 96), (64, 96, 3)], ids=["drawing", "photograph"])
def test_the_sheet_glows_where_attention_looked_and_nowhere_else(shape: tuple[int, ...]) -> None:
    maps = np.zeros((2, 4, 6), np.float32)
    maps[0, 0, 0] = 1  # of the first word: the upper left
    maps[1] = 1 / 24  # of the second: everywhere alike
    maps[1, 3, 5] += 0.025  # but for the lower right, a little
    pixels = np.full(shape, 200, np.uint8)
    sheet = attention_sheet(AttentionMaps(pixels, "two words", ["two", "w\u00f6rds"], maps, 16))
    seen = np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB")).astype(int)
    redness = seen[..., 0] - seen[..., 2]
    width, height = (round(side * (200 * 200 / (64 * 96)) ** 0.5) for side in (96, 64))
    is_tile = (np.abs(seen - 200).max(axis=2) < 3) | (redness > 30)
    top, left = (int(np.argmax(is_tile.any(axis=axis))) for axis in (1, 0))
    tiles = [redness[top : top + height, left + n * (width + 12) : left + n * (width + 12) + width] for n in range(3)]
    assert np.abs(tiles[0]).max() == 0
    assert tiles[1][5, 5] > 100
    assert np.abs(tiles[1][height // 2 :, width // 2 :]).max() == 0
    assert 30 < tiles[2][-5, -5] < tiles[1][5, 5] - 30
    assert np.abs(tiles[2][: height // 2, : width // 2]).max() == 0


def test_what_is_no_image_is_said(tmp_path: Path) -> None:
    captioner = Captioner(smiles_checkpoint(tmp_path / "m"), overrides=["prediction.is_redrawn=false"])
    with pytest.raises(CorruptImageError):
        captioner.look(b"no image")


def test_glows_are_transparent_but_where_attention_looked() -> None:
    maps = np.full((2, 4, 6), 1 / 24, np.float32)
    maps[0] = 0
    maps[0, 0, 0] = 1
    first, even = attention_glows(AttentionMaps(np.full((64, 96), 255, np.uint8), "ab", ["a", "b"], maps, 16))
    seen = np.asarray(Image.open(io.BytesIO(first)))
    assert seen.shape == (64, 96, 4)
    assert seen[4, 4, :3].tolist() == [234, 88, 12]
    assert seen[4, 4, 3] > 150
    assert seen[32:, 48:, 3].max() == 0
    assert np.asarray(Image.open(io.BytesIO(even)))[..., 3].max() == 0
