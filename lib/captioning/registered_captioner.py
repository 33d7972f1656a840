"""A model of the registry as MLflow loads it: images as they arrive in, captions out. Knows nothing of tables.

mlflow.pyfunc.load_model("models:/main.captionlake.captioner@champion").predict(pd.DataFrame({"image": [png]}))
"""

import json
import shutil
from pathlib import Path

import pandas as pd

from lib.captioning.captioner import caption_images
from lib.captioning.image_captioning import ImageCaptioner
from lib.captions.checkpoint_fit import learned_cleaning
from lib.lake.registered_models import CHECKPOINT
from lib.sections.captioning import PredictionSettings
from model.checkpoint import load_provenance

PREDICTION = "prediction.json"  # beside the checkpoint in the model's folder: the settings
GONE = ("length_penalty", "is_traced")  # settings that models registered before may have
# Settings that these lack, as they were read then.
NEW: dict[str, object] = {"is_read_as_graph": False}


def write_model(folder: Path, checkpoint: Path, settings: PredictionSettings) -> str:
    """Fill a folder with what RegisteredCaptioner reads, and return the module that MLflow is to load it with."""
    shutil.copytree(checkpoint, folder / CHECKPOINT)
    (folder / PREDICTION).write_text(settings.model_dump_json())
    return __name__


class RegisteredCaptioner:
    """A checkpoint, the cleaning that it was trained on and settings of prediction. Raises CheckpointError.

    It has no settings of the lake: what is rejected is what was rejected for its training.
    """

    def __init__(self, folder: Path) -> None:
        values = json.loads((folder / PREDICTION).read_text())
        settings = PredictionSettings(**NEW | {name: value for name, value in values.items() if name not in GONE})
        self.captioner = ImageCaptioner(folder / CHECKPOINT, settings)
        cleaning = learned_cleaning(load_provenance(folder / CHECKPOINT))
        assert cleaning is not None, folder  # every checkpoint that training registers says so
        self.cleaning = cleaning

    def predict(self, images: pd.DataFrame) -> pd.DataFrame:
        """Rows (image: a file's bytes) in; rows (caption, confidence, is_valid, alternatives) out, one for one.

        Alternatives are objects with caption and score, best first. What is no image gets nulls and an empty list.
        """
        captioned = caption_images(self.captioner, self.cleaning, list(images["image"]))
        rows = [
            (one.caption, one.confidence, one.is_valid, [{"caption": c, "score": s} for c, s in one.alternatives])
            for one in captioned
        ]
        return pd.DataFrame(rows, columns=["caption", "confidence", "is_valid", "alternatives"])


def _load_pyfunc(path: str) -> RegisteredCaptioner:
    """What MLflow calls."""
    return RegisteredCaptioner(Path(path))
