"""A small model of others that MLflow loads by this module: what it does stands in a file in its folder."""

import time
from pathlib import Path

import pandas as pd


class TinyPyfunc:
    """Names an image by the number of its bytes, stumbles over empty ones, or never answers."""

    def __init__(self, manner: str) -> None:
        self.manner = manner

    def predict(self, images: pd.DataFrame) -> object:
        if self.manner == "hangs":
            time.sleep(3600)
        if not all(len(image) > 10 for image in images["image"]):
            raise ValueError("not even ten bytes")
        captions = [f"{len(image)} bytes" for image in images["image"]]
        return captions if self.manner == "strings" else pd.DataFrame({"caption": captions})


def _load_pyfunc(path: str) -> TinyPyfunc:
    """What MLflow calls."""
    manner = Path(path).read_text()
    if manner == "breaks":
        raise ImportError("no module named blip\nat line 7")
    return TinyPyfunc(manner)
