"""Features of an image as the bytes that a table holds, and back."""

import io

import numpy as np


def pack_features(features: np.ndarray) -> bytes:
    """Features (F, h, w) as the bytes of a .npy file, which name their shape and type."""
    file = io.BytesIO()
    np.save(file, features.astype(np.float16), allow_pickle=False)
    return file.getvalue()


def unpack_features(packed: bytes) -> np.ndarray:
    """Features (F, h, w) float16 of `pack_features`."""
    features: np.ndarray = np.load(io.BytesIO(packed), allow_pickle=False)
    return features
