"""Drawings read by Debian's `osra`, where it is installed: what one would use without a trained model."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.images.cleaning import encode_png

TIMEOUT_S = 60.0


def has_osra() -> bool:
    """Whether osra can be run."""
    return shutil.which("osra") is not None


def read_with_osra(images: Sequence[np.ndarray]) -> list[str]:
    """The InChI that osra reads from each image, '' where it reads none that RDKit accepts."""
    smiles = SafeNotation(notation_named("smiles"))
    captions = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drawing.png"
        for pixels in images:
            path.write_bytes(encode_png(pixels))
            try:
                answer = subprocess.run(
                    ["osra", "-f", "can", str(path)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
                ).stdout
            except subprocess.TimeoutExpired:
                answer = ""
            # One line for each structure that it sees: a drawing in two pieces is a mixture to it.
            captions.append(smiles.read(".".join(answer.split())) or "")
    smiles.close()
    return captions
