"""init() and run(raw), for platforms that load a scoring script instead of starting a server.

The model is the checkpoint below AZUREML_MODEL_DIR or at CAPTIONLAKE_MODEL, else the pretrained one of
CAPTIONLAKE_DATASET (molecules). CAPTIONLAKE_SECOND_CAPTIONER names a captioner beside it, as serving.second_captioners
does; nearest neighbours are those of the lake at CAPTIONLAKE_STORAGE_ROOT.
"""

import json
import os
import time
from concurrent.futures import wait
from pathlib import Path

from lib.captioning.captioner import Captioner
from lib.captioning.second_captioner import shown_name
from lib.errors import MissingInputError
from lib.lake.models import pretrained_model
from lib.serving.answers import InvocationsAnswer, as_answer, parse_invocation, with_second
from lib.serving.refusals import RefusedRequestError, check_dataset
from lib.serving.second_captions import SecondCaptions
from lib.serving.second_source import SecondSource
from lib.settings import load_settings
from model.checkpoint import load_provenance

SECOND_CAPTIONER, STORAGE_ROOT = "CAPTIONLAKE_SECOND_CAPTIONER", "CAPTIONLAKE_STORAGE_ROOT"

_captioner: Captioner | None = None
_dataset = ""
_model_version = ""
_second: SecondCaptions | None = None


def init() -> None:
    """Load the model, once for each process. Raises MissingInputError if the folder that is named has none.

    Raises SettingsError, RuntimeMissingError if there is no second captioner of the name that is given.
    """
    global _captioner, _dataset, _model_version, _second
    dataset = os.environ.get("CAPTIONLAKE_DATASET", "molecules")
    folder = os.environ.get("AZUREML_MODEL_DIR") or os.environ.get("CAPTIONLAKE_MODEL")
    if folder:
        found = sorted(Path(folder).rglob("weights.safetensors"))
        if len(found) != 1:
            raise MissingInputError(f"{folder} holds {len(found)} checkpoints: name the folder of one")
        directory = found[0].parent
        _model_version = load_provenance(directory).get("model_version", directory.name)
    else:
        _model_version, directory = pretrained_model(dataset, "CAPTIONLAKE_DATASET")
    _captioner, _dataset = Captioner(directory, dataset), dataset
    if _second is not None:
        _second.close()
    _second = _second_captions(dataset, directory)


def run(raw: str | bytes) -> str:
    """Answer JSON in a form of MLflow's scoring protocol with JSON, as POST /invocations does.

    A request that cannot be answered is answered with `{"detail": "one sentence"}`.
    """
    assert _captioner is not None, "init() comes first"
    try:
        if not isinstance(raw, str | bytes):
            raise RefusedRequestError(422, f"send JSON as text or bytes, not {type(raw).__name__}")
        images, dataset = parse_invocation(raw)
        check_dataset(dataset or _dataset, [_dataset])
    except RefusedRequestError as error:
        return json.dumps({"detail": str(error)})
    asked = _second.ask(images) if _second else []
    asked_at = time.monotonic()
    answers = [as_answer(one, _model_version) for one in _captioner.caption(images)]
    if _second is not None:
        left_s = asked_at + _second.settings.second_deadline_s - time.monotonic()
        wait(asked, timeout=max(0.0, left_s))
        name = shown_name(os.environ[SECOND_CAPTIONER])
        answers = [with_second(*both, name) for both in zip(answers, _second.answered(asked), strict=True)]
    return InvocationsAnswer(predictions=answers).model_dump_json()


def _second_captions(dataset: str, checkpoint: Path) -> SecondCaptions | None:
    """The second captioner that the environment names, loaded; None if it names none."""
    name = os.environ.get(SECOND_CAPTIONER)
    if not name:
        return None
    root = os.environ.get(STORAGE_ROOT)
    settings = load_settings(dataset, "local", [f"storage.root={root}"] if root else [])
    num_threads = settings.prediction.threads_per_worker
    source = SecondSource(dataset, name, SECOND_CAPTIONER, checkpoint, settings.cleaning, settings.storage, num_threads)
    second = SecondCaptions(dataset, source, settings.serving)
    second.start()
    return second
