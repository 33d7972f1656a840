"""Nearest neighbours of images by the cosine of their mean features. Knows no tables and no Spark."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from rapidfuzz.distance import Levenshtein

NUM_CANDIDATES = 20_000  # train images that are compared, at most, in hash order: 100 MB of 1,280 features


class Candidates(NamedTuple):
    """Train images with their features."""

    image_ids: np.ndarray  # (N,)
    directions: np.ndarray  # (N, F) float32, each of length 1


def nearest(directions: np.ndarray, image_ids: np.ndarray, candidates: Candidates) -> list[str | None]:
    """The id of each image's nearest candidate (rows of length 1, (M, F)), None if there is none but itself."""
    cosines = directions @ candidates.directions.T  # (M, N)
    cosines[image_ids[:, None] == candidates.image_ids[None]] = -np.inf
    best = cosines.argmax(axis=1)
    is_other = np.isfinite(cosines[np.arange(len(best)), best])
    return [str(candidates.image_ids[index]) if other else None for index, other in zip(best, is_other, strict=True)]


def direction_of(features: np.ndarray) -> np.ndarray:
    """Features (F, h, w) averaged over the grid and scaled to length 1: float32 (F,); zeros stay zeros."""
    mean = features.astype(np.float32).mean(axis=(1, 2))
    scaled: np.ndarray = mean / max(float(np.linalg.norm(mean)), np.finfo(np.float32).tiny)
    return scaled


def central_caption(captions: Sequence[str]) -> str:
    """The caption of an image with the fewest edits to its other captions; the first of equals."""
    return min(captions, key=lambda caption: sum(Levenshtein.distance(caption, other) for other in captions))
