"""init() and run(raw), for platforms that load a scoring script instead of starting a server.

The model is the checkpoint below AZUREML_MODEL_DIR or at CAPTIONLAKE_MODEL, else the pretrained one of
CAPTIONLAKE_DATASET (molecules).
"""

import json
import os
from pathlib import Path

from lib.captioning.captioner import Captioner
from lib.errors import MissingInputError
from lib.lake.models import pretrained_model
from lib.serving.answers import InvocationsAnswer, as_answer, parse_invocation
from lib.serving.refusals import RefusedRequestError

_captioner: Captioner | None = None
_model_version = ""


def init() -> None:
    """Load the model, once for each process. Raises MissingInputError if the folder that is named has none."""
    global _captioner, _model_version
    dataset = os.environ.get("CAPTIONLAKE_DATASET", "molecules")
    folder = os.environ.get("AZUREML_MODEL_DIR") or os.environ.get("CAPTIONLAKE_MODEL")
    if folder:
        found = sorted(Path(folder).rglob("weights.safetensors"))
        if len(found) != 1:
            raise MissingInputError(f"{folder} holds {len(found)} checkpoints: name the folder of one")
        directory = found[0].parent
        _model_version = directory.name
    else:
        _model_version, directory = pretrained_model(dataset, "CAPTIONLAKE_DATASET")
    _captioner = Captioner(directory, dataset)


def run(raw: str | bytes) -> str:
    """Answer JSON in a form of MLflow's scoring protocol with JSON, as POST /invocations does.

    A request that cannot be answered is answered with `{"detail": "one sentence"}`.
    """
    assert _captioner is not None, "init() comes first"
    try:
        images, _ = parse_invocation(raw)
    except RefusedRequestError as error:
        return json.dumps({"detail": str(error)})
    captioned = _captioner.caption(images)
    return InvocationsAnswer(predictions=[as_answer(one, _model_version) for one in captioned]).model_dump_json()
