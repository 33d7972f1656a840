"""The scoring script, as a platform calls it: `pytest tests/unit/serving/test_score.py`."""

import base64
import json
import shutil
from pathlib import Path

import pytest
import torch

from lib.errors import MissingInputError
from lib.serving import score
from lib.serving.example_drawing import example_png
from model.checkpoint import PRETRAINED

torch.set_num_threads(1)  # threads would wait for each other longer than they compute


def test_the_script_answers_rows_and_refuses_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZUREML_MODEL_DIR", "CAPTIONLAKE_MODEL", "CAPTIONLAKE_DATASET"):
        monkeypatch.delenv(name, raising=False)
    score.init()
    rows = [{"image": base64.b64encode(image).decode()} for image in (example_png(), b"no image")]
    read, unread = json.loads(score.run(json.dumps({"dataframe_records": rows})))["predictions"]
    assert read["caption"] == "InChI=1S/C7H8/c1-7-5-3-2-4-6-7/h2-6H,1H3"
    assert read["model_version"].startswith("pretrained-")
    assert (unread["caption"], unread["reason"][:12]) == (None, "not_an_image")
    assert json.loads(score.run("{}"))["detail"].startswith("send exactly one of dataframe_split")
    unread = base64.b64encode(b"no image").decode()
    for params in ({"dataset": "molecules"}, {"dataset": ""}, {}):
        assert "predictions" in json.loads(score.run(json.dumps({"instances": [unread], "params": params})))
    refused = {
        json.dumps(
            {"instances": [unread], "params": {"dataset": "photos"}}
        ): "no model for dataset 'photos' here; there are",
        '{"instances": []}': "there is no row in the request: send an image in the column 'image'",
        '{"dataframe_split": {"columns": ["image"], "data": []}}': "there is no row in the request",
        '{"instances": ["\ud800"]}': "the body: Invalid JSON: ",
        b'{"instances": ["\xff"]}': "the body: Invalid JSON: ",
        None: "send JSON as text or bytes, not NoneType",
        (): "send JSON as text or bytes, not tuple",
    }
    for raw, said in refused.items():
        answer = json.loads(score.run(raw))  # type: ignore[arg-type]
        assert (answer.keys(), answer["detail"][: len(said)]) == ({"detail"}, said)


def test_a_registered_model_is_called_as_its_training_called_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "model" / "checkpoint"
    shutil.copytree(PRETRAINED / "molecules", folder)
    provenance = json.loads((folder / "provenance.json").read_text())
    (folder / "provenance.json").write_text(json.dumps(provenance | {"model_version": "molecules-0123"}))
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    score.init()
    (answer,) = json.loads(score.run(json.dumps({"instances": [base64.b64encode(b"no image").decode()]})))[
        "predictions"
    ]
    assert answer["model_version"] == "molecules-0123"


def test_a_folder_without_a_checkpoint_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(MissingInputError, match="holds 0 checkpoints: name the folder of one"):
        score.init()
