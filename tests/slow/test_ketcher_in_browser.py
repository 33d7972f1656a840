"""A caption corrected by drawing, in a real browser.

Needs what test_review_in_browser.py needs, and Ketcher: `make ketcher`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.lake.delta_rows import DeltaRows
from lib.reviewing.review_log import ReviewLog
from lib.reviewing.structure_editor import editor_folder
from tests.slow.review_browser import RunningPage, faults_of, heading, press, show_at, wait_for
from tests.unit.reviewing.reviewed_lake import image, prediction, write

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install selenium")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

LACTIC_ACID = "InChI=1S/C3H6O3/c1-2(4)3(5)6/h2,4H,1H3,(H,5,6)/t2-/m0/s1"
ALANINE = "InChI=1S/C3H7NO2/c1-2(4)3(5)6/h2H,4H2,1H3,(H,5,6)/t2-/m0/s1"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(editor_folder() is None, reason="needs Ketcher: make ketcher")]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[RunningPage]:
    """One caption that names the right atoms but one, and one that is no caption."""
    lake = tmp_path / "lake"
    rows = [prediction("a", 0.5, caption=LACTIC_ACID), prediction("b", 0.6, caption="no molecule")]
    write(lake, "caption_predictions", rows)
    for name in ("images_raw", "images_clean"):
        write(lake, name, [{"image_id": one, "image": image("NH2")} for one in "ab"])
    running = RunningPage(lake, "molecules")
    yield running
    running.kill()


def in_editor(browser: Any, tag: str, text: str) -> Any:
    """The leftmost element of that text in Ketcher's frame, once it is shown; the browser is in that frame then.

    Ketcher keeps the letters of its templates beside those of what is drawn, without a size.
    """
    browser.switch_to.default_content()
    browser.switch_to.frame(wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, "dialog[open] iframe"))[0])
    shown = """const left = (one) => one.getBoundingClientRect().x;
        return [...document.querySelectorAll(arguments[0])]
            .filter((one) => one.textContent === arguments[1] && one.getBoundingClientRect().width && !one.disabled)
            .sort((one, other) => left(one) - left(other))[0]"""
    return wait_for(lambda: browser.execute_script(shown, tag, text))


def apply(browser: Any) -> None:
    in_editor(browser, "button", "Apply").click()
    browser.switch_to.default_content()


def open_caption(page: RunningPage, browser: Any, image_id: str) -> None:
    browser.get(f"{page.url}/image?image_id={image_id}&model_version=m1")
    wait_for(lambda: heading(browser) == image_id)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_atom_that_is_replaced_in_ketcher_is_a_stored_correction(
    page: RunningPage, browser: Any, width: int, scheme: str
) -> None:
    show_at(browser, width, scheme)
    open_caption(page, browser, "a")
    press(browser, "d")
    hydroxyl = in_editor(browser, "svg text", "O")
    press(browser, "n")  # the tool that sets nitrogen, also where its button is scrolled out of sight
    webdriver.ActionChains(browser).move_to_element(hydroxyl).click().perform()
    in_editor(browser, "svg text", "N")
    apply(browser)
    corrected = browser.find_element(By.ID, "corrected")
    wait_for(lambda: corrected.get_attribute("value") == ALANINE)
    wait_for(lambda: browser.find_element(By.ID, "checked").text == "Well formed.")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    press(browser, Keys.ENTER)
    wait_for(lambda: heading(browser) == "b")
    (row,) = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert (row.image_id, row.verdict, row.corrected_caption) == ("a", "correct", ALANINE)
    assert [fault for fault in faults_of(browser) if "404" not in fault] == []  # what b says cannot be drawn


def test_what_is_drawn_and_no_molecule_stays_in_ketcher_with_a_sentence(page: RunningPage, browser: Any) -> None:
    open_caption(page, browser, "b")
    press(browser, "d")
    drawn = browser.find_element(By.ID, "drawn")
    wait_for(lambda: drawn.text == "The caption cannot be drawn: the sheet is empty.")
    apply(browser)
    wait_for(lambda: drawn.text == "Nothing is drawn.")
    press(browser, "a")  # keys of the page wait until the editor is closed
    browser.find_element(By.CSS_SELECTOR, "dialog button").click()
    assert browser.find_elements(By.CSS_SELECTOR, "dialog[open], iframe") == []
    assert ReviewLog(DeltaRows(str(page.lake))).reviews() == []


def test_ketcher_reaches_nothing_of_the_page(page: RunningPage, browser: Any) -> None:
    open_caption(page, browser, "a")
    press(browser, "d")
    in_editor(browser, "button", "Apply")
    reached = browser.execute_script("try { return parent.document.title } catch (error) { return error.name }")
    assert reached == "SecurityError"
    asked = "fetch('/image?image_id=a&model_version=m1').then(() => 'read', () => 'refused').then(arguments[0])"
    assert browser.execute_async_script(asked) == "refused"
