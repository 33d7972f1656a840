"""The review page in a real browser, by keyboard alone, at the widths of a phone and of a desk, light and dark.

Needs Debian's chromium and chromium-driver, and the package selenium; CAPTIONLAKE_AXE may name the file axe.min.js of
the npm package axe-core, which then looks for faults of accessibility.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lib.reviewing.delta_rows import DeltaRows
from lib.reviewing.review_log import ReviewLog
from tests.unit.reviewing.reviewed_lake import fill, write

webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install selenium")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = os.environ.get("CAPTIONLAKE_AXE")
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Debian's packages chromium and chromium-driver"),
]


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    """Twelve images with captions, and some that were rejected."""
    fill(tmp_path / "lake", 12)
    write(tmp_path / "lake", "images_rejected", [{"image_id": "x", "stage": "clean", "reason": "blank_image"}])
    return tmp_path / "lake"


class RunningPage:
    """`python -m jobs.serve_reviews` on a free port, which can be killed and started again at the same one."""

    def __init__(self, lake: Path) -> None:
        self.lake, self.port = lake, 0
        self.faults = lake.parent / "stderr"
        self.start()

    def start(self) -> None:
        settings = (f"storage.root={self.lake}", f"reviewing.port={self.port}")
        command = [sys.executable, "-m", "jobs.serve_reviews", "--dataset", "photos"]
        with self.faults.open("w") as faults:
            self.process = subprocess.Popen(
                [*command, *(word for one in settings for word in ("--set", one))],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=faults,
            )
        found = wait_for(lambda: re.search(r"listens at (http://[\d.]+:(\d+))", self.faults.read_text()))
        self.url, self.port = found.group(1), int(found.group(2))

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def page(lake: Path) -> Iterator[RunningPage]:
    running = RunningPage(lake)
    yield running
    running.kill()


@pytest.fixture
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def wait_for(find: Callable[[], Any]) -> Any:
    """What is found, once it is."""
    until = time.monotonic() + WITHIN_S
    while not (found := find()):
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)
    return found


def heading(browser: Any) -> str:
    """The page's heading; empty while another page is being loaded."""
    return browser.execute_script(
        "return document.readyState === 'complete' ? document.querySelector('h1').textContent : ''"
    )


def press(browser: Any, *keys: str) -> None:
    webdriver.ActionChains(browser).send_keys(*keys).perform()


def faults_of(browser: Any) -> list[str]:
    """What the browser complained of: script refused by the policy, files that are not there."""
    return [entry["message"] for entry in browser.get_log("browser")]


def test_ten_images_are_reviewed_by_keyboard_alone(page: RunningPage, browser: Any) -> None:
    browser.get(page.url)
    assert heading(browser) == "Captions to review"
    press(browser, Keys.ENTER)
    sent = ["4a", "w", "s", "correct", "5a", "a", "w", "a", "correct", "2w"]
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
    browser.find_element(By.CSS_SELECTOR, "button[value=correct]").click()
    wait_for(lambda: heading(browser) == "image-001")
    (row,) = ReviewLog(DeltaRows(str(page.lake))).reviews()
    assert row.corrected_caption == "caption of image-000 and more"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_fit_and_are_accessible(page: RunningPage, browser: Any, width: int, scheme: str) -> None:
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for path in ("/", "/image?image_id=image-000&model_version=m1", "/overview", "/try", "/sign-in", "/nowhere"):
        browser.get(page.url + path)
        wait_for(lambda: heading(browser))
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert [fault for fault in faults_of(browser) if "404" not in fault] == []
        if AXE:
            browser.execute_script(Path(AXE).read_text())
            found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
