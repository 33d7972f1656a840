"""Where the network looked, asked for a caption of the lake and for an image that was dropped on the page."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from httpx import Response
from PIL import Image

from lib.images.cleaning import encode_png
from lib.lake.models import pretrained_model
from tests.known_molecules import ASPIRIN
from tests.unit.reviewing.review_page import JSON, ReviewPage, RunnableParts, fields
from tests.unit.reviewing.reviewed_lake import prediction, write
from tests.unit.serving.served import QUICK, cleaned


@pytest.fixture
def page(tmp_path: Path) -> ReviewPage:
    """Captions of a model that is here, of one that is gone, and one whose image is gone."""
    here = pretrained_model("molecules", "the test").version
    keys = [("a", here), ("a", "gone"), ("lost", here)]
    rows = [prediction(name, 0.5, caption=ASPIRIN, model_version=version) for name, version in keys]
    write(tmp_path, "caption_predictions", rows)
    write(tmp_path, "images_clean", [{"image_id": "a", "image": cleaned(ASPIRIN)}])
    return ReviewPage(tmp_path, *QUICK, "reviewing.deadline_s=240", dataset="molecules")


def look(page: ReviewPage, form: dict[str, str]) -> Response:
    return page.client.post("/look", data=form, headers=JSON)


def test_each_token_of_a_caption_lights_up_a_part_of_its_image(page: ReviewPage) -> None:
    version = pretrained_model("molecules", "the test").version
    shown = page.image("a", version).text
    assert RunnableParts(shown).found == []
    form = fields(shown, "/look")
    with page.client:
        answer = look(page, form).json()
        assert answer["caption"] == ASPIRIN
        texts = [token["text"] for token in answer["tokens"]]
        assert sorted(set("".join(texts))) == sorted(set("CO=()12") & set("".join(texts)))  # SMILES
        strengths = []
        for token in answer["tokens"]:
            content = base64.b64decode(token["glow"].removeprefix("data:image/png;base64,"))
            strengths.append(np.asarray(Image.open(io.BytesIO(content)))[..., 3].astype(int))
        assert min(strength.max() for strength in strengths) > 20
        assert np.ptp(np.stack(strengths), axis=0).max() > 100  # not the same for all
        dropped = {"token": form["token"], "model_version": version}
        sent = dropped | {"image": "data:image/png;base64," + base64.b64encode(cleaned(ASPIRIN)).decode()}
        assert look(page, sent).json() == answer
        large = base64.b64encode(encode_png(np.full((2000, 2000), 255, np.uint8))).decode()
        for image in ("R0FSQkFHRQ==", "?", "", large):
            answer = look(page, dropped | {"image": f"data:image/png;base64,{image}"})
            assert answer.json() == {"detail": "the image that was sent is damaged: choose it again"}


@pytest.mark.parametrize(
    ("changed", "status", "said"),
    [
        ({"model_version": "gone"}, 404, "the checkpoint of model 'gone' is not here"),
        ({"model_version": "../elsewhere"}, 404, "the checkpoint of model '../elsewhere' is not here"),
        ({"image_id": "lost"}, 404, "image 'lost' is not in images_clean any more"),
        ({"token": "of another site"}, 403, "this form is not of this page"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(page: ReviewPage, changed: dict[str, str], status: int, said: str) -> None:
    form = fields(page.image("a", "gone").text, "/look")
    answer = look(page, form | changed)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_a_caption_whose_image_is_gone_has_no_button(page: ReviewPage) -> None:
    shown = page.image("lost", pretrained_model("molecules", "the test").version)
    assert shown.status_code == 200
    assert "/look" not in shown.text
