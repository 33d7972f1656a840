"""The review page as reviewers use it: a queue, one image, verdicts that are stored once, undo, and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.reviewing.review_page import JSON, ReviewPage, fields, new_id
from tests.unit.reviewing.reviewed_lake import fill, image, prediction, write

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def page(tmp_path: Path) -> ReviewPage:
    fill(tmp_path, 4)
    return ReviewPage(tmp_path)


def test_the_queue_shows_the_most_doubtful_caption_first_and_leads_to_it(page: ReviewPage) -> None:
    text = page.get("/").text
    assert "4 captions, the most doubtful first" in text
    assert text.index("image-000") < text.index("image-001") < text.index("image-003")
    assert page.client.get("/image?image_id=image-000&amp;model_version=m1".replace("&amp;", "&")).status_code == 200


def test_an_image_is_shown_with_its_caption_and_neighbours(page: ReviewPage) -> None:
    shown = page.image("image-001").text
    assert "caption of image-001" in shown
    assert 'src="/files/raw?image_id=image-001"' in shown
    assert "image_id=image-002" in shown  # next
    assert "image_id=image-000" in shown  # previous
    for kind in ("raw", "clean"):
        file = page.get(f"/files/{kind}", image_id="image-001")
        assert (file.content, file.headers["content-type"]) == (image("001"), "image/png")
        again = page.client.get(file.url, headers={"If-None-Match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("verdict", ["accept", "wrong", "skip"])
def test_a_verdict_is_stored_and_leads_to_the_next_caption(page: ReviewPage, verdict: str) -> None:
    answer = page.review("image-000", verdict, rating="4")
    assert answer.json() == {"next": "/image?image_id=image-001&model_version=m1"}
    (row,) = page.parts.log.reviews()
    assert (row.verdict, row.rating, row.caption, row.reviewer) == (verdict, 4, "caption of image-000", "local")
    assert "3 captions" in page.get("/").text


def test_a_correction_is_stored_in_standard_form(page: ReviewPage) -> None:
    page.review("image-000", "correct", corrected_caption="  a dog\r\n in the snow ")
    (row,) = page.parts.log.reviews()
    assert (row.verdict, row.corrected_caption) == ("correct", "a dog in the snow")


def test_without_the_script_a_form_is_a_form(page: ReviewPage) -> None:
    sent = page.form("image-000") | {"verdict": "accept"}
    answer = page.client.post("/review", data=sent, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/image?image_id=image-001&model_version=m1")


def test_the_last_review_leads_back_to_the_queue(page: ReviewPage) -> None:
    answer = page.review("image-003", "accept")
    assert "That was the last one of this queue" in page.client.get(answer.json()["next"]).text


def test_a_review_that_is_sent_again_after_a_lost_connection_is_one_row(page: ReviewPage) -> None:
    sent = page.form("image-000") | {"verdict": "accept"}
    answers = [page.client.post("/review", data=sent, headers=JSON) for _ in range(3)]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert page.rows() == [("image-000", "accept", "local")]


def test_a_form_that_was_changed_after_a_lost_answer_is_another_review(page: ReviewPage) -> None:
    form = page.form("image-000")
    first, second = (form | {"verdict": verdict, "corrected_caption": "a dog"} for verdict in ("accept", "correct"))
    for sent in (first, second, second):
        assert page.client.post("/review", data=sent, headers=JSON).status_code == 200
    assert page.rows() == [("image-000", "accept", "local"), ("image-000", "correct", "local")]
    page.client.post("/review", data=first, headers=JSON)  # from the browser's memory
    standing = page.parts.log.standing()["image-000", "m1"]["local"]
    assert (len(page.rows()), standing.verdict) == (3, "accept")


def test_a_review_that_was_taken_back_can_be_sent_again(page: ReviewPage) -> None:
    sent = page.form("image-000") | {"verdict": "accept"}
    page.client.post("/review", data=sent, headers=JSON)
    page.client.post("/undo", data=fields(page.image("image-001").text, "/undo"), headers=JSON)
    assert page.parts.log.standing() == {}
    page.client.post("/review", data=sent, headers=JSON)
    assert page.parts.log.standing()["image-000", "m1"]["local"].verdict == "accept"


def test_the_last_review_can_be_taken_back_too(page: ReviewPage) -> None:
    end = page.client.get(page.review("image-003", "accept").json()["next"])
    page.client.post("/undo", data=fields(end.text, "/undo"), headers=JSON)
    assert [verdict for _, verdict, _ in page.rows()] == ["accept", "undo"]


def test_an_image_that_was_replaced_is_shown_at_once(page: ReviewPage) -> None:
    shown = page.get("/files/raw", image_id="image-001")
    assert shown.headers["cache-control"] == "private, no-cache"
    write(page.root, "images_raw", [{"image_id": "image-001", "image": image("new")}], mode="overwrite")
    again = page.client.get(shown.url, headers={"If-None-Match": shown.headers["etag"]})
    assert (again.status_code, again.content) == (200, image("new"))


def test_undo_takes_back_the_newest_review_and_shows_its_image(page: ReviewPage) -> None:
    page.review("image-000", "accept")
    page.review("image-001", "wrong")
    sent = fields(page.image("image-002").text, "/undo")
    answer = page.client.post("/undo", data=sent, headers=JSON)
    assert answer.json() == {"next": "/image?image_id=image-001&model_version=m1"}
    assert [verdict for _, verdict, _ in page.rows()] == ["accept", "wrong", "undo"]
    assert "3 captions" in page.get("/").text
    assert "accept, image-000" in page.image("image-002").text  # what undo would take back now


def test_filters_are_kept_from_the_queue_to_an_image_and_on(page: ReviewPage) -> None:
    assert "image-003" in page.get("/", text="003").text
    assert "text=00" in page.get("/", text="00").text
    sent = page.form("image-000", text="image-00", confidence_to="0.5") | {"verdict": "accept"}
    following = page.client.post("/review", data=sent, headers=JSON).json()["next"]
    assert following == "/image?confidence_to=0.5&text=image-00&image_id=image-001&model_version=m1"


def test_two_tabs_with_one_image_lose_nothing_and_the_newest_verdict_counts(page: ReviewPage) -> None:
    first, second = page.form("image-000"), page.form("image-000")
    page.client.post("/review", data=first | {"verdict": "accept"}, headers=JSON)
    page.client.post("/review", data=second | {"verdict": "wrong"}, headers=JSON)
    assert [verdict for _, verdict, _ in page.rows()] == ["accept", "wrong"]
    assert page.parts.log.standing()["image-000", "m1"]["local"].verdict == "wrong"


def test_references_and_alternatives_are_shown_with_what_differs_marked(tmp_path: Path) -> None:
    alternatives = [{"caption": "a cat", "score": -0.5}]
    write(
        tmp_path,
        "caption_predictions",
        [prediction("a", 0.5, caption="a dog runs", reference="a red dog runs", alternatives=alternatives)],
    )
    others = ["a red dog runs", "one dog", "two dogs", "three dogs", "dogs"]
    write(
        tmp_path,
        "captions",
        [{"image_id": "a", "caption_index": index, "caption": text} for index, text in enumerate(others)],
    )
    text = ReviewPage(tmp_path).image("a").text
    assert "a<ins> red</ins> dog runs" in text
    assert text.count('<li class="text">') == 5
    assert 'data-caption="a cat"' in text
    assert "probability 0.607<" in text


def test_a_molecule_is_drawn_again_over_its_image_and_its_correction_is_checked(tmp_path: Path) -> None:
    ethanol, ether = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", "InChI=1S/C2H6O/c1-3-2/h1-2H3"
    write(tmp_path, "caption_predictions", [prediction("a", 0.5, caption=ethanol)])
    write(tmp_path, "images_clean", [{"image_id": "a", "image": image("OH")}])
    page = ReviewPage(tmp_path, dataset="molecules")
    try:
        assert 'id="overlay"' in page.image("a").text
        drawn = page.get("/files/overlay", image_id="a", caption=ethanol)
        assert (drawn.status_code, drawn.content[:4]) == (200, b"\x89PNG")
        assert page.get("/files/overlay", image_id="a", caption="no molecule").status_code == 404
        token = page.form("a")["token"]
        checked = page.client.post("/check", data={"token": token, "corrected_caption": f" {ether} "}, headers=JSON)
        assert checked.json() == {"caption": ether}
        for typed, said in {
            "C1CC": "this is not a well-formed InChI or SMILES of a molecule",
            "InChI=1S/C99/c1": "this is not a well-formed InChI or SMILES of a molecule",
            "": "type the right caption first",
        }.items():
            answer = page.client.post("/check", data={"token": token, "corrected_caption": typed}, headers=JSON)
            assert answer.status_code == 422
            assert said in answer.json()["detail"]
            assert page.review("a", "correct", corrected_caption=typed).status_code == 422
        assert page.rows() == []
        page.review("a", "correct", corrected_caption="COC")  # in SMILES
        assert page.parts.log.reviews()[0].corrected_caption == ether
    finally:
        page.parts.desk.close()


def test_an_id_of_many_kinds_of_characters_is_found_again(tmp_path: Path) -> None:
    name = "2026/ä&b=c d+e%20?#'\"<i>"
    write(tmp_path, "caption_predictions", [prediction(name, 0.5)])
    write(tmp_path, "images_raw", [{"image_id": name, "image": image("x")}])
    page = ReviewPage(tmp_path)
    assert page.form(name)["image_id"] == name
    assert page.get("/files/raw", image_id=name).status_code == 200
    page.review(name, "accept")
    assert page.rows() == [(name, "accept", "local")]


def test_the_page_starts_without_spark() -> None:
    asked = "import sys, lib.reviewing.server; print({'pyspark', 'delta', 'py4j'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_an_id_of_the_client_is_kept(page: ReviewPage) -> None:
    chosen = new_id()
    page.review("image-000", "accept", review_id=chosen)
    assert page.parts.log.reviews()[0].review_id == chosen


def test_the_page_counts_its_requests_for_prometheus(tmp_path: Path) -> None:
    page = ReviewPage(tmp_path)
    page.get("/")
    said = page.get("/metrics").text
    assert 'captionlake_requests_total{endpoint="other",status="200"} 1.0' in said
