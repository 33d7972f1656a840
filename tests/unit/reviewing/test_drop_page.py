"""An image that is dropped on the page is captioned as make serve would, and nothing is stored."""

from pathlib import Path

import pytest

from tests.known_molecules import ASPIRIN
from tests.unit.reviewing.review_page import ReviewPage, RunnableParts, fields
from tests.unit.serving.served import QUICK, drawing


@pytest.fixture
def page(tmp_path: Path) -> ReviewPage:
    return ReviewPage(tmp_path, *QUICK, "serving.num_processes=1", "reviewing.deadline_s=240", dataset="molecules")


def test_a_dropped_drawing_is_captioned_and_drawn_again(page: ReviewPage, tmp_path: Path) -> None:
    with page.client as client:
        form = fields(client.get("/try").text, "/try")
        for content, status, said in (
            (b"", 422, "Choose an image first."),
            (b"GARBAGE", 422, "Not_an_image: begins with"),
            (b"x" * 9_000_000, 413, "The image has 9,000,000 bytes; at most 8,388,608 are read."),
        ):
            answer = client.post("/try", data=form, files={"image": ("<script>.png", content)})
            assert answer.status_code == status
            assert said in answer.text
        cut = client.build_request("POST", "/try", data=form, files={"image": ("aspirin.png", drawing(ASPIRIN))})
        answer = client.post("/try", content=cut.read()[:-5], headers={"content-type": cut.headers["content-type"]})
        assert answer.status_code == 400
        assert "The form is cut off: its last boundary is missing." in answer.text
        shown = client.post("/try", data=form, files={"image": ("aspirin.png", drawing(ASPIRIN))})
        assert shown.status_code == 200, shown.text
        assert ASPIRIN in shown.text
        assert shown.text.count("data:image/png;base64,") == 3  # as it arrived, cleaned, drawn again
        assert fields(shown.text, "/look").keys() == {"token", "model_version"}  # the script sends the image
        assert RunnableParts(shown.text).found == []
        page.parts.desk.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviewing"]  # the key that signs sessions


def test_a_dataset_without_a_model_is_said_in_one_sentence(tmp_path: Path) -> None:
    page = ReviewPage(tmp_path, "serving.models={molecules: lost}", dataset="molecules")
    with page.client as client:
        shown = client.get("/try")
        assert shown.status_code == 503
        assert 'role="alert"' in shown.text
        assert "serving.models.molecules" in shown.text
