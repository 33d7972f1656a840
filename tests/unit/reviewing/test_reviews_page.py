"""The newest reviews of all reviewers, and who may take them back."""

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path

import pytest

from lib.reviewing.review_log import Review
from tests.unit.reviewing.review_page import JSON, ReviewPage, RunnableParts, fields, new_id
from tests.unit.reviewing.reviewed_lake import fill

OUTSIDE = ("reviewing.host=0.0.0.0", "reviewing.proxy_header=X-Forwarded-User")
ROLES = "reviewing.roles={adele: admin, luke: look}"


def page_of(root: Path, name: str) -> ReviewPage:
    """The page as the proxy's user of that name sees it."""
    page = ReviewPage(root, *OUTSIDE, ROLES, address="lake.example.org")
    page.client.headers["X-Forwarded-User"] = name
    return page


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Two images that anna has reviewed, and one that bert has."""
    fill(tmp_path, 4)
    page_of(tmp_path, "anna").review("image-000", "accept")
    page_of(tmp_path, "anna").review("image-001", "wrong", rating="2")
    page_of(tmp_path, "bert").review("image-001", "accept")
    return tmp_path


def sent_by(root: Path, name: str, **changes: str) -> dict[str, str]:
    """The form that takes back bert's review, as `name` would send it."""
    page = page_of(root, name)
    token = re.search(r'name="token" value="(\w+)"', page.image("image-000").text)
    bert = next(row for row in page.parts.log.reviews() if row.reviewer == "bert")
    assert token
    return {"token": token.group(1), "review_id": new_id(), "undoes": bert.review_id, "back": "/reviews"} | changes


def test_everybody_sees_the_newest_reviews_first(lake: Path) -> None:
    for name in ("anna", "luke", "adele"):
        shown = page_of(lake, name).get("/reviews").text
        assert "3 reviews, the newest first" in shown
        assert shown.index("bert") < shown.index("rated 2") < shown.index("image-000")
        assert RunnableParts(shown).found == []
        assert ("Take back" in shown) == (name == "adele")
    of_bert = page_of(lake, "luke").get("/reviews", reviewer="bert").text
    assert "1 review, the newest first" in of_bert
    assert "image-000" not in of_bert
    assert "There is no review by this reviewer." in page_of(lake, "luke").get("/reviews", reviewer="<i>").text


def test_without_reviews_the_list_says_so(tmp_path: Path) -> None:
    assert "Nothing has been reviewed yet." in ReviewPage(tmp_path).get("/reviews").text


def test_pages_of_reviews_follow_one_another(lake: Path) -> None:
    page = page_of(lake, "luke")
    settings = page.parts.settings
    reviewing = settings.reviewing.model_copy(update={"images_per_page": 2})
    object.__setattr__(page.parts, "settings", settings.model_copy(update={"reviewing": reviewing}))
    first = page.get("/reviews").text
    following = re.search(r'rel="next" href="([^"]+)"', first)
    assert following
    second = page.client.get(unescape(following.group(1))).text
    assert ("image-000" in first, "image-000" in second) == (False, True)
    assert "Next page" not in second


def test_an_admin_takes_back_the_review_of_another_under_their_own_name(lake: Path) -> None:
    page = page_of(lake, "adele")
    form = fields(page.get("/reviews").text, "/undo")
    answer = page.client.post("/undo", data=form, headers=JSON)
    assert answer.json() == {"next": "/reviews"}
    assert page.rows()[-1] == ("image-001", "undo", "adele")
    assert page.parts.log.reviews()[-1].caption == "caption of image-001"
    standing = page.parts.log.standing()["image-001", "m1"]
    assert {name: review.verdict for name, review in standing.items()} == {"anna": "wrong"}
    shown = page.get("/reviews").text
    assert "taken back by adele" in shown
    assert shown.count("Take back<") == 2
    assert "2 reviews that stand" in page.get("/overview").text


def test_a_taking_back_that_is_sent_twice_is_one_row(lake: Path) -> None:
    page, form = page_of(lake, "adele"), sent_by(lake, "adele")
    for sent in (form, form, form | {"review_id": new_id()}):
        assert page.client.post("/undo", data=sent, headers=JSON).status_code == 200
    assert [verdict for _, verdict, _ in page.rows()].count("undo") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("anna", "anna may take back no reviews but their own: ask for the role admin"),
        ("luke", "luke may look, but not review: ask for the role review"),
    ],
)
def test_others_are_refused_in_one_sentence(lake: Path, name: str, said: str) -> None:
    page = page_of(lake, name)
    answer = page.client.post("/undo", data=sent_by(lake, name), headers=JSON)
    assert (answer.status_code, answer.json()) == (403, {"detail": said})
    assert [verdict for _, verdict, _ in page.rows()] == ["accept", "wrong", "accept"]


def test_an_admin_reviews_too_and_takes_back_neither_nothing_nor_an_undo(lake: Path) -> None:
    page = page_of(lake, "adele")
    page.review("image-002", "accept")
    assert page.rows()[-1] == ("image-002", "accept", "adele")
    page.client.post("/undo", data=sent_by(lake, "adele"), headers=JSON)
    undo = page.parts.log.reviews()[-1]
    for undoes in ("no-such-review", undo.review_id):
        answer = page.client.post("/undo", data=sent_by(lake, "adele", undoes=undoes), headers=JSON)
        assert (answer.status_code, answer.json()) == (422, {"detail": "there is no such review to take back"})


def test_taking_back_leads_to_no_other_site(lake: Path) -> None:
    sent = sent_by(lake, "adele", back="//evil.example")
    assert page_of(lake, "adele").client.post("/undo", data=sent, headers=JSON).json() == {"next": "/"}


def test_a_review_of_a_caption_that_is_gone_is_listed_without_a_link(lake: Path) -> None:
    page = page_of(lake, "luke")
    gone = Review("gone-0001", "gone", "m0", None, "skip", None, None, "anna", None, datetime.now(UTC))
    page.parts.log.append(gone)
    shown = page.get("/reviews").text
    assert "no caption" in shown
    assert "image_id=gone" not in shown
