"""The review page in a real browser, by keyboard alone, at the widths of a phone and of a desk, light and dark.

Needs Debian's chromium and chromium-driver, and the package selenium; CAPTIONLAKE_AXE may name the file axe.min.js of
the npm package axe-core, which then looks for faults of accessibility.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lib.lake.delta_rows import DeltaRows
from lib.lake.models import pretrained_model
from lib.reviewing.review_log import ReviewLog
from tests.known_molecules import ASPIRIN
from tests.slow.review_browser import RunningPage, faults_of, heading, press, show_at, wait_for
from tests.unit.reviewing.reviewed_lake import NIGHT, fill, prediction, write
from tests.unit.serving.served import cleaned, drawing

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

AXE = os.environ.get("CAPTIONLAKE_AXE")

pytestmark = pytest.mark.slow


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Twelve images with captions, two that were rejected, one of them shown, a training and its evaluation."""
    lake = tmp_path / "lake"
    fill(lake, 12)
    rejected = [
        {"image_id": name, "stage": "clean", "reason": "blank_image", "rejected_at": NIGHT}
        for name in ("image-000", "x")
    ]
    write(lake, "images_rejected", rejected)
    losses = [{"run_id": "m1", "epoch": 0, "step": step, "train_loss": 1 / step} for step in range(1, 9)]
    validated = {"run_id": "m1", "epoch": 1, "step": 8, "validation_loss": 0.5, "validation_edit_distance": 3.0}
    write(lake, "training_metrics", [*losses, validated])
    write(lake, "evaluations", [{"model_version": "m1", "split": "test", "predictor": "model", "num_images": 12}])
    return lake


@pytest.fixture
def reviewed_lake(lake: Path) -> Path:
    """The same with captions that have references, and reviews, one of them taken back."""
    scored = {"reference": "C" * 30, "edit_distance": 2, "similarity": 0.9}
    rows = [
        prediction(
            f"{split} {number}", number / 9, split=split, predicted_at=NIGHT + timedelta(days=number % 3), **scored
        )
        for split in ("test", "validation")
        for number in range(10)
    ]
    write(lake, "caption_predictions", rows)
    given = {"model_version": "m1", "caption": "a dog", "image_id": "image-000", "reviewed_at": NIGHT}
    reviews = [
        given | {"review_id": f"r{number}", "verdict": verdict, "reviewer": reviewer, "undoes": undoes}
        for number, (verdict, reviewer, undoes) in enumerate(
            [("accept", "anna", None), ("wrong", "bert", None), ("skip", "bert", None), ("undo", "adele", "r2")]
        )
    ]
    write(lake, "caption_reviews", reviews)
    return lake


@pytest.fixture
def page(lake: Path) -> Iterator[RunningPage]:
    running = RunningPage(lake)
    yield running
    running.kill()


def test_ten_images_are_reviewed_by_keyboard_alone(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    assert heading(browser) == "Captions to review"
    press(browser, Keys.ENTER)
    sent = ["4a", "W", "s", "correct", "5a", "A", "w", "a", "correct", "2w"]  # capitals as with Caps Lock
    for number, keys in enumerate(sent):
        wait_for(lambda number=number: heading(browser) == f"image-{number:03}")
        if keys == "correct":
            press(browser, "c")
            corrected = browser.find_element(By.ID, "corrected")
            assert browser.switch_to.active_element == corrected
            replacing = webdriver.ActionChains(browser).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
            replacing.send_keys(f"a dog, w s u {number}").perform()
            wait_for(lambda: browser.find_element(By.ID, "checked").text == "Well formed.")
            press(browser, Keys.ENTER)
        else:
            press(browser, *keys)
    wait_for(lambda: heading(browser) == "image-010")
    press(browser, "u")  # takes back the last one and shows it
    wait_for(lambda: heading(browser) == "image-009")
    press(browser, "j")
    wait_for(lambda: heading(browser) == "image-010")
    press(browser, "k")
    wait_for(lambda: heading(browser) == "image-009")
    press(browser, "a")
    wait_for(lambda: heading(browser) == "image-010")
    press(browser, "q")
    wait_for(lambda: heading(browser) == "Captions to review")
    rows = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert [(row.image_id[-1], row.verdict, row.rating) for row in rows] == [
        ("0", "accept", 4),
        ("1", "wrong", None),
        ("2", "skip", None),
        ("3", "correct", None),
        ("4", "accept", 5),
        ("5", "accept", None),
        ("6", "wrong", None),
        ("7", "accept", None),
        ("8", "correct", None),
        ("9", "wrong", 2),
        ("9", "undo", None),
        ("9", "accept", None),
    ]
    assert [row.corrected_caption for row in rows if row.verdict == "correct"] == ["a dog, w s u 3", "a dog, w s u 8"]
    assert faults_of(browser) == []


def test_enter_in_the_ratings_stores_the_correction_that_was_typed(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    press(browser, "C")
    press(browser, " and more")
    browser.find_element(By.CSS_SELECTOR, "[name=rating][value='2']").click()
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-001")
    (row,) = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert (row.verdict, row.rating, row.corrected_caption) == ("correct", 2, "caption of image-000 and more")


def test_without_the_script_enter_in_the_ratings_accepts_nothing(page: RunningPage, browser: Any) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(f"{page.url}/image?image_id=image-000&model_version=m1")
        scripted = browser.find_elements(By.CLASS_NAME, "needs-script")
        assert scripted
        assert not any(one.is_displayed() for one in scripted)
        rating = browser.find_element(By.CSS_SELECTOR, "[name=rating][value='2']")
        rating.click()
        rating.send_keys(Keys.ENTER)
        wait_for(lambda: "The correction is the caption itself" in browser.page_source)
        assert browser.find_element(By.CSS_SELECTOR, "[name=rating][value='2']").is_selected()
        browser.find_element(By.CSS_SELECTOR, "[value=skip]").click()
        wait_for(lambda: heading(browser) == "image-001")
        assert [row.verdict for row in ReviewLog(DeltaRows(str(page.lake))).reviews()] == ["skip"]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_what_was_typed_is_there_again_after_another_image_until_it_is_stored(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    press(browser, "C")
    press(browser, " and more", Keys.ESCAPE, "j")
    wait_for(lambda: heading(browser) == "image-001")
    assert browser.find_element(By.ID, "corrected").get_property("value") == "caption of image-001"
    press(browser, "k")
    wait_for(lambda: heading(browser) == "image-000")
    address = browser.current_url
    assert browser.find_element(By.ID, "corrected").get_property("value") == "caption of image-000 and more"
    wait_for(lambda: browser.find_element(By.ID, "checked").text == "Well formed.")
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    wait_for(lambda: heading(browser) == "image-001")
    browser.get(address)
    wait_for(lambda: heading(browser) == "image-000")
    assert browser.find_element(By.ID, "corrected").get_property("value") == "caption of image-000"


def test_what_was_typed_is_there_again_after_another_verdict_was_taken_back(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    press(browser, "c")
    press(browser, " and more", Keys.ESCAPE, "a")
    wait_for(lambda: heading(browser) == "image-001")
    press(browser, "u")
    wait_for(lambda: heading(browser) == "image-000")
    assert browser.find_element(By.ID, "corrected").get_property("value") == "caption of image-000 and more"


def test_single_letters_do_nothing_once_they_are_switched_off(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    browser.find_element(By.ID, "keys").click()
    browser.refresh()
    wait_for(lambda: not browser.find_element(By.ID, "keys").is_selected())
    press(browser, "a", "w", "j")
    browser.find_element(By.ID, "keys").click()
    press(browser, "s")
    wait_for(lambda: heading(browser) == "image-001")
    assert [row.verdict for row in ReviewLog(DeltaRows(str(page.lake))).reviews()] == ["skip"]


def test_a_rating_that_is_pressed_again_is_taken_back(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    press(browser, "3", "2", "2", "w")
    wait_for(lambda: heading(browser) == "image-001")
    press(browser, "5", "4", "a")
    wait_for(lambda: heading(browser) == "image-002")
    rows = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert [(row.verdict, row.rating) for row in rows] == [("wrong", None), ("accept", 4)]


def test_a_review_is_sent_again_until_a_server_that_was_away_is_back(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "image-000")
    page.kill()
    press(browser, "c")
    press(browser, " and more", Keys.ENTER)
    wait_for(lambda: "nothing is lost" in browser.find_element(By.ID, "sent").text)
    assert browser.find_element(By.ID, "corrected").get_attribute("value") == "caption of image-000 and more"
    page.start()
    browser.find_element(By.CSS_SELECTOR, "button.main").click()
    wait_for(lambda: heading(browser) == "image-001")
    (row,) = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert row.corrected_caption == "caption of image-000 and more"


def test_where_the_network_looked_is_walked_through_by_keyboard(tmp_path: Path, browser: Any) -> None:
    version = pretrained_model("molecules", "the test").version
    write(tmp_path / "lake", "caption_predictions", [prediction("a", 0.5, caption=ASPIRIN, model_version=version)])
    write(tmp_path / "lake", "images_raw", [{"image_id": "a", "image": drawing(ASPIRIN)}])
    write(tmp_path / "lake", "images_clean", [{"image_id": "a", "image": cleaned(ASPIRIN)}])
    running = RunningPage(tmp_path / "lake", "molecules")
    try:
        browser.get(f"{running.url}/image?image_id=a&model_version={version}")
        wait_for(lambda: heading(browser) == "a")
        press(browser, "c")
        press(browser, " and more", Keys.ESCAPE)
        wait_for(lambda: not browser.find_element(By.ID, "overlay").is_displayed())
        press(browser, "l")
        tokens = wait_for(lambda: browser.find_elements(By.CLASS_NAME, "token"))
        assert browser.find_element(By.ID, "corrected").get_property("value") == f"{ASPIRIN} and more"
        glow, drawn_again = (browser.find_element(By.CSS_SELECTOR, css) for css in ("img.glow", "#overlay"))
        first = glow.get_attribute("src")
        assert browser.switch_to.active_element == tokens[0]
        assert (glow.is_displayed(), drawn_again.is_displayed()) == (True, False)
        press(browser, Keys.ARROW_RIGHT)
        assert browser.switch_to.active_element == tokens[1]
        assert glow.get_attribute("src") != first
        assert browser.execute_script("return arguments[0].naturalWidth", glow) > 100
        tokens[2].click()
        assert browser.switch_to.active_element == tokens[2]
        press(browser, Keys.ESCAPE)
        assert not glow.is_displayed()
        browser.find_element(By.ID, "corrected").clear()
        press(browser, "c")
        press(browser, ASPIRIN, Keys.ESCAPE)
        wait_for(drawn_again.is_displayed)
        browser.get(f"{running.url}/try")
        (tmp_path / "aspirin.png").write_bytes(drawing(ASPIRIN))
        browser.find_element(By.ID, "image").send_keys(str(tmp_path / "aspirin.png"))
        wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "form.looked"))
        press(browser, "l")
        assert len(wait_for(lambda: browser.find_elements(By.CLASS_NAME, "token"))) == len(tokens)
        assert [fault for fault in faults_of(browser) if "422" not in fault] == []  # of what was typed
    finally:
        running.kill()


def test_an_admin_takes_back_a_review_in_the_list(reviewed_lake: Path, browser: Any) -> None:
    running = RunningPage(reviewed_lake, "photos", "reviewing.roles={local: admin}")
    try:
        browser.get(f"{running.url}/reviews")
        buttons = wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "form[action='/undo'] button"))
        assert len(buttons) == 2
        buttons[0].click()
        wait_for(lambda: len(browser.find_elements(By.CSS_SELECTOR, "form[action='/undo'] button")) == 1)
        assert heading(browser) == "Newest reviews"
        rows = ReviewLog(DeltaRows(str(reviewed_lake))).reviews()
        assert [(row.verdict, row.reviewer) for row in rows if row.undoes == "r1"] == [("undo", "local")]
        assert faults_of(browser) == []
    finally:
        running.kill()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_are_accessible(
    reviewed_lake: Path, page: RunningPage, browser: Any, width: int, scheme: str
) -> None:
    assert page.lake == reviewed_lake
    show_at(browser, width, scheme)
    image = "/image?image_id=image-000&model_version=m1"
    for path in ("/", image, "/overview", "/reviews", "/try", "/sign-in", "/nowhere"):
        browser.get(page.url + path)
        wait_for(lambda: heading(browser))
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert [fault for fault in faults_of(browser) if "404" not in fault] == []
        if AXE:
            browser.execute_script(Path(AXE).read_text())
            found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
