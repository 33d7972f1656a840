"""Where attention looked for each token of a caption.

T tokens, H W height and width of a cleaned image, h w of the encoder's grid, N attention heads.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lib.captioning.image_captioning import ImageCaptioner
from model.batches import as_ink, pad_captions, stack_images
from model.captioner import TAUGHT_HEAD
from model.config import STRIDES_PX


class AttentionMaps(NamedTuple):
    """A caption with where attention looked as each of its tokens was written."""

    pixels: np.ndarray  # (H, W) or (H, W, 3) uint8, the cleaned image
    caption: str  # in standard form if it is valid, else as it was written
    tokens: list[str]  # T, of the notation that the network writes
    maps: np.ndarray  # (T, h, w) float32; each sums to 1, less what fell on padding
    stride_px: int  # pixels of the image to a position of the grid


def attention_maps(captioner: ImageCaptioner, pixels: np.ndarray) -> AttentionMaps:
    """Decode a cleaned image once by beam search; return the second attention's map for each token of the best caption.

    The map is that of the head trained by the attention loss, if there is one, else the mean of all heads.
    """
    network = captioner.network
    images = as_ink(stack_images([pixels], network.config.num_channels))
    (candidates,) = captioner.search([pixels], captioner.settings.num_beams)
    best = candidates[0]
    text = captioner.notation.join(captioner.vocabulary.decode(best.token_ids))
    with torch.inference_mode():
        attention = network.explain(images, pad_captions([best.token_ids])[:, :-1]).second_attention[0]  # (N, T + 1, P)
    looked = attention[TAUGHT_HEAD] if network.config.num_cell_labels else attention.mean(dim=0)  # (T + 1, P)
    stride_px = STRIDES_PX[network.config.encoder]
    return AttentionMaps(
        pixels,
        captioner.asked.read(text) or text,
        captioner.vocabulary.decode(best.token_ids),
        _on_grid(looked[: len(best.token_ids)], images, stride_px),
        stride_px,
    )


def _on_grid(looked: Tensor, images: Tensor, stride_px: int) -> np.ndarray:
    """Attention (T, P) as maps (T, h, w), without the positions that lie on padding alone."""
    num_rows, num_columns = (-(-side // stride_px) for side in images.shape[2:])
    maps: np.ndarray = looked.float().unflatten(1, (num_rows, num_columns)).numpy()
    return maps
