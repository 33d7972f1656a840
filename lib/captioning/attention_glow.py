"""Attention maps as transparent images to be laid over the image: a glow where attention looked, one for each token."""

import io

import cv2
import numpy as np
from PIL import Image

from lib.captioning.attention_maps import AttentionMaps
from lib.captioning.attention_sheet import GLOW, STRONGEST, spread

LONGER_SIDE_PX = 240  # of a glow, which has no fine parts


def attention_glows(looked: AttentionMaps) -> list[bytes]:
    """A PNG for each token, shaped as the image or smaller."""
    height, width = looked.pixels.shape[:2]
    scale = min(1.0, LONGER_SIDE_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    glows = []
    for attention in looked.maps:
        strength = cv2.resize(spread(attention, height, width, looked.stride_px), size, interpolation=cv2.INTER_AREA)
        glow = np.empty((*strength.shape, 4), np.uint8)
        glow[..., :3] = GLOW
        glow[..., 3] = np.rint(255 * STRONGEST * strength.clip(0, 1))
        file = io.BytesIO()
        Image.fromarray(glow).save(file, "PNG")
        glows.append(file.getvalue())
    return glows
