"""Who may look and who may review, and that nothing that is sent is run, lost or taken from another site."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from fastapi import FastAPI

from lib.errors import SettingsError, StorageError
from lib.reviewing.access import COOKIE
from lib.reviewing.server import make_parts
from lib.reviewing.sessions import Session, Sessions
from lib.serving.api_keys import ApiKeys
from lib.settings import load_settings
from tests.unit.reviewing.review_page import JSON, ReviewPage, RunnableParts
from tests.unit.reviewing.reviewed_lake import fill, image, prediction, write
from tests.unit.serving.odd_forms import ODD_CHARSETS, odd_form

OUTSIDE = "reviewing.host=0.0.0.0"
SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def signed_in(root: Path, *overrides: str, name: str = "anna") -> ReviewPage:
    """A page on every address of the machine, and someone who has signed in with a key."""
    page = ReviewPage(root, OUTSIDE, *overrides, address="lake.example.org")
    answer = page.client.post("/sign-in", data={"key": ApiKeys(str(root)).add(name)}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    return page


def test_strangers_are_led_to_the_sign_in_page_and_back(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path, OUTSIDE, address="lake.example.org")
    answer = page.client.get("/image?image_id=image-000&model_version=m1", follow_redirects=False)
    assert answer.headers["location"] == "/sign-in?next=%2Fimage%3Fimage_id%3Dimage-000%26model_version%3Dm1"
    sign_in = page.client.get(answer.headers["location"]).text
    assert 'value="/image?image_id=image-000&amp;model_version=m1"' in sign_in
    wrong = page.client.post("/sign-in", data={"key": "cl_wrong", "next": "/"})
    assert wrong.status_code == 401
    assert "This API key is unknown or was revoked: ask for another one." in wrong.text
    for path in (
        "/",
        "/image?image_id=image-000&model_version=m1",
        "/files/raw?image_id=image-000",
        "/try",
        "/overview",
        "/reviews",
        "/files/thumbnail?image_id=image-000",
    ):
        assert page.client.get(path, headers=JSON).status_code == 401


@pytest.mark.parametrize(
    "address", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_signing_in_leads_to_no_other_site(tmp_path: Path, address: str) -> None:
    page = ReviewPage(tmp_path, OUTSIDE, address="lake.example.org")
    key = ApiKeys(str(tmp_path)).add("anna")
    answer = page.client.post("/sign-in", data={"key": key, "next": address}, follow_redirects=False)
    assert answer.headers["location"] == "/"


def test_a_reviewer_is_the_name_of_the_key(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = signed_in(tmp_path)
    page.review("image-000", "accept")
    assert page.rows() == [("image-000", "accept", "anna")]


def test_a_session_ends_by_signing_out_by_time_and_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 2)
    page = signed_in(tmp_path)
    assert page.client.get("/", headers=JSON).status_code == 200
    sent = page.form("image-000") | {"verdict": "accept"}
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 13 * 3600)
    late = page.client.post("/review", data=sent, headers=JSON)
    assert late.status_code == 401
    assert late.json()["detail"].startswith("your session has ended: sign in again in another tab")
    monkeypatch.undo()
    assert page.client.post("/review", data=sent, headers=JSON).status_code == 200  # as after signing in again
    ApiKeys(str(tmp_path)).revoke("anna")
    assert page.client.get("/", headers=JSON).status_code == 401
    ApiKeys(str(tmp_path)).add("anna")  # of another person, perhaps
    assert page.client.get("/", headers=JSON).status_code == 401
    other = signed_in(tmp_path, name="bert")
    other.client.post("/sign-out", data={"token": other.form("image-001")["token"]})
    assert other.client.get("/", headers=JSON).status_code == 401


def test_a_cookie_that_was_changed_or_made_elsewhere_is_no_session(tmp_path: Path) -> None:
    mine, other = Sessions(str(tmp_path / "mine"), 1), Sessions(str(tmp_path / "other"), 1)
    anna = Session("anna", "0123")
    cookie = mine.begin(anna)
    assert mine.session_in(cookie) == anna
    assert Sessions(str(tmp_path / "mine"), 1).session_in(cookie) == anna  # after a restart
    for wrong in (other.begin(anna), cookie[:-1], "x" + cookie, "", ".", "é.é"):
        assert mine.session_in(wrong) is None
    assert (tmp_path / "mine/reviewing/session_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("path", ["/sign-in", "/review"])
def test_strangers_whose_forms_never_end_do_not_keep_reviewers_from_sending_theirs(tmp_path: Path, path: str) -> None:
    fill(tmp_path, 2)
    page = signed_in(tmp_path, "reviewing.max_request_bytes=1000000", "reviewing.max_bytes_at_once=1000000")
    sent = page.form("image-000") | {"verdict": "accept"}
    is_over = asyncio.Event()
    num_waiting = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal num_waiting
        yield b"x" * 60_000
        num_waiting += 1
        await is_over.wait()

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(page.client.app)
        form = {"content-type": "application/x-www-form-urlencoded"}
        async with httpx.AsyncClient(transport=transport, base_url="http://lake.example.org:8001") as client:
            strangers = [asyncio.create_task(client.post(path, content=endless(), headers=form)) for _ in range(20)]
            while num_waiting < len(strangers):
                await asyncio.sleep(0.001)
            headers = JSON | {"cookie": f"{COOKIE}={page.client.cookies[COOKIE]}"}
            reviewed = await client.post("/review", data=sent, headers=headers)
            is_over.set()
            return [reviewed.status_code, *{(await one).status_code for one in strangers}]

    assert asyncio.run(ask()) == [200, {"/sign-in": 422, "/review": 401}[path]]
    assert page.rows() == [("image-000", "accept", "anna")]


def test_strangers_send_short_forms_alone(tmp_path: Path) -> None:
    page = ReviewPage(tmp_path, OUTSIDE, address="lake.example.org")
    long = {"key": "x" * 70_000, "image": "x" * 70_000}
    refused = page.client.post("/sign-in", data=long, headers=JSON)
    assert refused.json() == {"detail": "the request has 140,011 bytes or more; at most 65,536 are read"}
    assert page.client.post("/look", data=long, headers=JSON).status_code == 401


def test_who_may_look_sees_and_cannot_review(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = signed_in(tmp_path, "reviewing.roles={anna: look}")
    shown = page.image("image-000").text
    assert "caption of image-000" in shown
    assert 'action="/review"' not in shown
    token = re.search(r'name="token" value="(\w+)"', shown)
    assert token
    sent = {
        "token": token.group(1),
        "review_id": "r" * 8,
        "image_id": "image-000",
        "model_version": "m1",
        "verdict": "accept",
    }
    answer = page.client.post("/review", data=sent, headers=JSON)
    assert (answer.status_code, page.rows()) == (403, [])
    assert answer.json()["detail"] == "anna may look, but not review: ask for the role review"


def test_behind_a_proxy_its_header_says_who_reviews_and_nobody_else_can(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path, OUTSIDE, "reviewing.proxy_header=X-Forwarded-User", address="lake.example.org")
    assert page.client.get("/").status_code == 401
    page.client.headers["X-Forwarded-User"] = "carla@example.org"
    page.review("image-000", "wrong")
    assert page.rows() == [("image-000", "wrong", "carla@example.org")]
    elsewhere = ReviewPage(
        tmp_path,
        OUTSIDE,
        "reviewing.proxy_header=X-Forwarded-User",
        "reviewing.proxy_addresses=[10.0.0.1]",
        address="lake.example.org",
    )
    elsewhere.client.headers["X-Forwarded-User"] = "carla@example.org"
    answer = elsewhere.client.get("/")
    assert answer.status_code == 401
    assert "The proxy before this page does not say who you are: go through it." in answer.text


def test_behind_a_proxy_of_this_machine_the_header_counts_too(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path, "reviewing.proxy_header=X-Forwarded-User")
    assert page.client.get("/").status_code == 401
    page.client.headers["X-Forwarded-User"] = "carla@example.org"
    page.review("image-000", "wrong")
    assert page.rows() == [("image-000", "wrong", "carla@example.org")]


@pytest.mark.parametrize(
    ("addresses", "status"), [("[127.0.0.0/8]", 200), ("['10.0.0.0/8', '0.0.0.0/0']", 200), ("['::1']", 401)]
)
def test_a_proxy_may_have_a_network_of_addresses(tmp_path: Path, addresses: str, status: int) -> None:
    behind = ("reviewing.proxy_header=X-Forwarded-Email", f"reviewing.proxy_addresses={addresses}")
    page = ReviewPage(tmp_path, OUTSIDE, *behind, address="lake.example.org")
    page.client.headers["X-Forwarded-Email"] = "carla@example.org"
    assert page.client.get("/").status_code == status


@pytest.mark.parametrize("address", ["proxy.example.org", "10.0.0.1/8", ""])
def test_what_is_no_address_of_a_proxy_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match=r"reviewing\.proxy_addresses"):
        load_settings("photos", "local", [f"reviewing.proxy_addresses=['{address}']"])


def test_a_form_without_the_token_or_from_another_site_is_not_taken(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    sent = page.form("image-000") | {"verdict": "accept"}
    for path in ("/review", "/undo", "/check", "/try"):
        forged = page.client.post(path, data=sent | {"token": "0" * 64, "undoes": "r"}, headers=JSON)
        assert forged.status_code == 403, path
    crossed = page.client.post("/review", data=sent, headers=JSON | {"Sec-Fetch-Site": "cross-site"})
    assert (crossed.status_code, crossed.text) == (403, "forms of other sites are not taken")
    shown_elsewhere = page.client.get("/files/raw?image_id=image-000", headers={"Sec-Fetch-Site": "cross-site"})
    assert shown_elsewhere.status_code == 403
    assert page.rows() == []


@pytest.mark.parametrize("charset", ODD_CHARSETS)
@pytest.mark.parametrize("path", ["/review", "/undo", "/check", "/try", "/look", "/sign-in", "/sign-out"])
def test_a_form_in_another_encoding_is_refused_in_one_sentence(tmp_path: Path, path: str, charset: str) -> None:
    kind = JSON | {"content-type": f"multipart/form-data; boundary=b; charset={charset}"}
    answer = ReviewPage(tmp_path).client.post(path, content=odd_form("token"), headers=kind)
    said = {"detail": "the form is not in UTF-8: send it without a charset"}
    assert (answer.status_code, answer.json()) == (400, said)


def test_on_this_machine_the_page_answers_to_no_other_name(tmp_path: Path) -> None:
    assert ReviewPage(tmp_path, address="evil.example").client.get("/").status_code == 403
    assert ReviewPage(tmp_path, address="localhost").client.get("/").status_code == 200


def test_script_in_captions_ids_and_file_names_is_shown_and_not_run(tmp_path: Path) -> None:
    alternatives = [{"caption": SCRIPT, "score": -1.0}]
    row = prediction(
        SCRIPT,
        0.5,
        model_version=SCRIPT,
        caption=SCRIPT,
        reference=SCRIPT + "x",
        alternatives=alternatives,
        split=SCRIPT,
    )
    write(tmp_path, "caption_predictions", [row])
    write(tmp_path, "images_raw", [{"image_id": SCRIPT, "image": b"<svg onload=alert(1)>"}])
    write(tmp_path, "images_rejected", [{"image_id": SCRIPT, "reason": SCRIPT, "source": SCRIPT, "detail": SCRIPT}])
    page = ReviewPage(tmp_path)
    sent = page.form(SCRIPT, SCRIPT) | {"verdict": "correct", "corrected_caption": SCRIPT + "y"}
    assert page.client.post("/review", data=sent, headers=JSON).status_code == 200
    pages = [page.get("/", state="all", text="<script>"), page.image(SCRIPT, SCRIPT)]
    pages += [page.get("/overview"), page.get("/reviews"), page.get("/reviews", reviewer=SCRIPT)]
    pages += [page.get("/image", image_id=SCRIPT, model_version="m"), page.get("/", reason=SCRIPT)]
    for shown in pages:
        assert RunnableParts(shown.text).found == []
        assert "alert(1)" in shown.text or "must be one of" in shown.text
        assert "script-src 'self';" in shown.headers["content-security-policy"]
        assert "unsafe" not in shown.headers["content-security-policy"]
    file = page.get("/files/raw", image_id=SCRIPT)
    assert file.status_code == 422  # no image, whatever it is to a browser
    assert file.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("changes", "status", "said"),
    [
        ({"verdict": "praise"}, 422, "the verdict must be one of accept, wrong, correct, skip"),
        ({"rating": "6"}, 422, "the rating must be a number from 1 to 5, or none"),
        ({"verdict": "correct", "corrected_caption": " "}, 422, "type the right caption first"),
        (
            {"verdict": "correct", "corrected_caption": "caption of image-000"},
            422,
            "the correction is the caption itself: change it, or accept the caption",
        ),
        (
            {"verdict": "correct", "corrected_caption": "x" * 1_000_000},
            422,
            "the correction has 1,000,000 characters; at most 4,000 are stored",
        ),
        (
            {"verdict": "correct", "corrected_caption": "x" * 1_100_000},
            413,
            "a field of the form is too large: a correction may have 4,000 characters",
        ),
        ({"image_id": "gone"}, 404, "there is no caption of image 'gone' by model 'm1' any more"),
        ({"seen": "another caption"}, 409, "the image has a new caption since this page was loaded: review that one"),
        ({"review_id": "../.."}, 422, "the form has no id of its own: load the page again"),
        ({"corrected_caption": "x" * 20_000_000}, 413, "the request has 2"),
    ],
)
def test_a_review_that_cannot_be_taken_is_refused_in_one_sentence(
    tmp_path: Path, changes: dict[str, str], status: int, said: str
) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    answer = page.review("image-000", "accept", **changes)
    assert (answer.status_code, page.rows()) == (status, [])
    assert answer.json()["detail"].startswith(said)


@pytest.mark.parametrize(
    ("caption", "is_valid", "said"),
    [
        (None, None, "a missing caption cannot be accepted"),
        ("", False, "a missing caption cannot be accepted"),
        ("InChI=1S/C7H8/c1-7(", False, "a malformed caption cannot be accepted"),
    ],
)
def test_a_caption_that_cannot_be_right_is_not_accepted(
    tmp_path: Path, caption: str | None, is_valid: bool | None, said: str
) -> None:
    write(tmp_path, "caption_predictions", [prediction("a", 0.5, caption=caption, is_valid=is_valid)])
    page = ReviewPage(tmp_path)
    refused = page.review("a", "accept")
    assert (refused.status_code, page.rows()) == (422, [])
    assert refused.json()["detail"] == f"{said}: type the right one, or press Wrong or Skip"
    assert page.review("a", "wrong").status_code == 200


def test_a_part_of_a_form_that_is_too_large_is_said_in_the_same_sentence(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    sent = {name: (None, value) for name, value in page.form("image-000").items()}
    answer = page.client.post("/review", files=sent | {"corrected_caption": (None, "x" * 1_100_000)})
    assert answer.status_code == 413
    assert "A field of the form is too large: a correction may have 4,000 characters." in answer.text


def test_a_correction_that_is_too_long_is_refused_and_not_cut(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    assert "maxlength" not in page.image("image-000").text
    sent = page.form("image-000") | {"verdict": "correct", "corrected_caption": "a dog " * 700, "rating": "4"}
    answer = page.client.post("/review", data=sent)
    assert answer.status_code == 422
    assert "The correction has 4,199 characters; at most 4,000 are stored." in answer.text
    assert re.findall(r'value="(\d)"[^>]* checked>', answer.text) == ["4"]


def test_enter_in_a_plain_form_accepts_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    shown = ReviewPage(tmp_path).image("image-000").text
    buttons = re.findall(r"<button [^>]*>", shown[shown.index('<form id="review"') :])
    assert 'value="correct"' in buttons[0]
    assert 'value="accept"' in buttons[1]


def test_a_missing_caption_cannot_be_accepted(tmp_path: Path) -> None:
    write(tmp_path, "caption_predictions", [prediction("a", 0.5, caption=None)])
    page = ReviewPage(tmp_path)
    assert 'value="accept"' not in page.image("a").text
    assert page.review("a", "accept").status_code == 422


def test_what_was_typed_is_still_there_when_a_plain_form_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    sent = page.form("image-000") | {"verdict": "correct", "corrected_caption": "a dog", "rating": "9"}
    answer = page.client.post("/review", data=sent)
    assert answer.status_code == 422
    assert "The rating must be a number from 1 to 5, or none." in answer.text
    assert ">a dog</textarea>" in answer.text


def test_an_image_that_is_gone_is_said_and_its_caption_can_still_be_reviewed(tmp_path: Path) -> None:
    write(tmp_path, "caption_predictions", [prediction("a", 0.5)])
    write(tmp_path, "images_raw", [{"image_id": "b", "image": image("b")}])
    page = ReviewPage(tmp_path)
    shown = page.image("a").text
    for name in ("images_raw", "images_clean"):
        assert f"{name} does not have this image any more, or cannot be read." in shown
    missing = page.client.get("/files/raw?image_id=a", headers=JSON)
    assert (missing.status_code, missing.json()) == (404, {"detail": "image 'a' is not in images_raw any more"})
    assert page.review("a", "skip").status_code == 200


def test_a_table_of_images_that_cannot_be_read_costs_its_image_alone(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    for file in (tmp_path / "images_raw").glob("*.parquet"):
        file.unlink()
    page = ReviewPage(tmp_path)
    shown = page.image("image-000")
    assert (shown.status_code, "images_raw does not have this image any more" in shown.text) == (200, True)
    assert page.client.get("/files/raw?image_id=image-000", headers=JSON).status_code == 503
    assert page.review("image-000", "accept").status_code == 200


def test_tables_of_other_types_and_null_alternatives_are_no_page_that_fails(tmp_path: Path) -> None:
    alternatives = [None, {"caption": "a cat", "score": 0.1}]
    write(tmp_path, "caption_predictions", [prediction("1", 0.5, alternatives=alternatives)])
    write_deltalake(str(tmp_path / "captions"), pa.table({"image_id": [1], "caption": ["a dog"]}))
    shown = ReviewPage(tmp_path).image("1")
    assert (shown.status_code, "a cat" in shown.text, "a dog" in shown.text) == (200, True, True)


def test_what_was_typed_is_on_the_page_that_says_why_it_was_not_stored(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path)
    sent = page.form("image-000") | {"verdict": "correct", "corrected_caption": "a dog", "image_id": "gone"}
    answer = page.client.post("/review", data=sent)
    assert (answer.status_code, ">a dog</textarea>" in answer.text) == (404, True)
    stranger = ReviewPage(tmp_path, "reviewing.requires_key=always")
    answer = stranger.client.post("/review", data=sent)
    assert (answer.status_code, ">a dog</textarea>" in answer.text) == (401, True)


def test_a_plain_form_that_is_too_large_or_fails_is_a_page_of_one_sentence(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    page = ReviewPage(tmp_path, "reviewing.max_request_bytes=10000")
    sent = page.form("image-000") | {"verdict": "correct"}
    answer = page.client.post("/review", data=sent | {"corrected_caption": "x" * 20_000})
    assert (answer.status_code, "at most 10,000 are read" in answer.text) == (413, True)
    (tmp_path / "caption_reviews").write_text("no folder")
    answer = page.client.post("/review", data=sent | {"corrected_caption": "a dog"})
    assert (answer.status_code, ">a dog</textarea>" in answer.text) == (503, True)


@pytest.mark.parametrize("content", [b"", b"GARBAGE", b"II*\x00garbage"])
def test_a_damaged_image_is_no_page_of_its_own(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, "images_raw", [{"image_id": "a", "image": content}])
    assert ReviewPage(tmp_path).get("/files/raw", image_id="a").status_code == 422


def test_a_page_that_fails_is_guarded_like_every_other(tmp_path: Path) -> None:
    page = ReviewPage(tmp_path)

    def fail() -> None:
        raise RuntimeError("of a kind that nobody expects")

    app = page.client.app
    assert isinstance(app, FastAPI)
    app.add_api_route("/fails", fail)
    failed, usual = page.get("/fails"), page.get("/healthz")
    assert failed.status_code == 500
    assert "its log says why" in failed.text
    for name in ("content-security-policy", "x-content-type-options", "cross-origin-resource-policy"):
        assert failed.headers[name] == usual.headers[name]


def test_a_lake_without_tables_is_said_to_have_no_captions_yet(tmp_path: Path) -> None:
    page = ReviewPage(tmp_path / "nothing")
    for path in ("/", "/?end=1", "/overview"):
        assert page.client.get(path).status_code == 200
    assert "There are no captions yet: run predict_captions" in page.client.get("/").text
    write(tmp_path / "nothing", "caption_predictions", [])
    assert "There are no captions yet" in page.client.get("/").text


@pytest.mark.parametrize(
    "newer",
    [
        {"minReaderVersion": 99, "minWriterVersion": 99},
        *(
            {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [feature], "writerFeatures": [feature]}
            for feature in ("deletionVectors", "notInventedYet")
        ),
    ],
)
def test_a_table_of_a_newer_delta_is_named_in_one_sentence(tmp_path: Path, newer: dict[str, object]) -> None:
    fill(tmp_path, 1)
    log = tmp_path / "caption_predictions/_delta_log/00000000000000000000.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    changed = [action | {"protocol": newer} if "protocol" in action else action for action in actions]
    log.write_text("".join(json.dumps(action) + "\n" for action in changed))
    answer = ReviewPage(tmp_path).client.get("/", headers=JSON)
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith(
        "table caption_predictions was written by a newer Delta than is read here"
    )
    assert "\n" not in answer.json()["detail"]


def test_an_older_table_without_some_columns_is_shown(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    older = DeltaTable(tmp_path / "caption_predictions").to_pyarrow_table().drop_columns(["alternatives", "similarity"])
    write_deltalake(str(tmp_path / "older" / "caption_predictions"), older)
    page = ReviewPage(tmp_path / "older")
    assert "image-000" in page.get("/").text
    assert page.image("image-000").status_code == 200


def test_tables_in_a_catalog_are_refused() -> None:
    settings = load_settings("photos", "local", ["storage.catalog=main", "storage.schema_name=captionlake"])
    with pytest.raises(SettingsError, match=r"storage\.catalog is set"):
        make_parts(settings)


def test_a_root_that_cannot_be_written_to_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"storage\.root .*/file/lake cannot be written to") as refused:
        make_parts(load_settings("photos", "local", [f"storage.root={tmp_path}/file/lake"]))
    assert "\n" not in str(refused.value)


def test_the_log_names_the_path_and_neither_keys_nor_queries(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    page = signed_in(tmp_path)
    page.image("image-000")
    assert page.log
    said = "".join(page.log)
    assert '"key": "anna"' in said
    assert "image-000" not in said
    assert "cl_" not in said
    assert COOKIE not in said
