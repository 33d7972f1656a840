"""The review page as a process, and Debian's chromium driven by selenium, for tests in a real browser."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ROOT = Path(__file__).resolve().parents[2]
WITHIN_S = 60


class RunningPage:
    """`python -m jobs.serve_reviews` on a free port, which can be killed and started again at the same one."""

    def __init__(self, lake: Path, dataset: str = "photos", *overrides: str) -> None:
        self.lake, self.dataset, self.overrides, self.port = lake, dataset, overrides, 0
        self.faults = lake.parent / "stderr"
        self.start()

    def start(self) -> None:
        settings = (f"storage.root={self.lake}", f"reviewing.port={self.port}", *self.overrides)
        command = [sys.executable, "-m", "jobs.serve_reviews", "--dataset", self.dataset]
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


def start_browser() -> Any:
    """Chromium without a window. Skips the test if it cannot be driven here."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium: pip install selenium")
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def show_at(browser: Any, width: int, scheme: str) -> None:
    """As a phone or a desk shows pages, light or dark."""
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


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
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def faults_of(browser: Any) -> list[str]:
    """What the browser complained of: script refused by the policy, files that are not there."""
    return [entry["message"] for entry in browser.get_log("browser")]
