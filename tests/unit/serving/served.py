"""A real server in a process of its own, and drawings to send to it."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import httpx
import numpy as np
import psutil

from lib.images.cleaning import clean_image, encode_png
from lib.molecules.drawing import draw_molecule
from lib.settings import load_settings

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("prediction.num_beams=2", "prediction.scales=[1.0]")
START_WITHIN_S = 240  # a few seconds on a quiet machine


@cache
def drawing(inchi: str) -> bytes:
    """A worn drawing as the bytes of a PNG file."""
    drawn = draw_molecule(inchi, load_settings("molecules", "local").drawing, np.random.default_rng(1))
    return encode_png(drawn.pixels)


def cleaned(inchi: str) -> bytes:
    """The same drawing, cleaned."""
    return encode_png(clean_image(drawing(inchi), load_settings("molecules", "local").cleaning).pixels)


class Server:
    """`python -m jobs.serve_captions` on a free port."""

    def __init__(self, root: Path, *overrides: str) -> None:
        self.root, self.lake = root, root / "lake"
        self.output, self.faults = root / "stdout", root / "stderr"
        settings = (f"storage.root={self.lake}", "serving.port=0", *QUICK, *overrides)
        command = [sys.executable, "-m", "jobs.serve_captions", *(word for one in settings for word in ("--set", one))]
        with self.output.open("w") as output, self.faults.open("w") as faults:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=faults)
        self.url = ""

    def wait_until_it_listens(self) -> None:
        """Find out its address."""
        self._wait(lambda: re.search(r"listens at (\S+),", self.faults.read_text()), "does not listen")
        found = re.search(r"listens at (\S+),", self.faults.read_text())
        assert found
        self.url = found.group(1)

    def wait_until_ready(self) -> None:
        self._wait(lambda: httpx.get(f"{self.url}/readyz").status_code == 200, "is not ready")

    def _wait(self, is_done: object, what: str) -> None:
        until = time.monotonic() + START_WITHIN_S
        while not is_done():  # type: ignore[operator]
            assert self.process.poll() is None, self.faults.read_text()
            assert time.monotonic() < until, f"the server {what}: {self.faults.read_text()}"
            time.sleep(0.05)

    def captioning_processes(self) -> list[int]:
        """Ids of the processes that caption; Python's own helpers of multiprocessing are no such."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile, or waits to be buried
                found += [child.pid] if "spawn_main" in " ".join(child.cmdline()) else []
        return found

    def metric(self, name: str) -> float:
        """A metric's value, its label sets added up."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}[{{ ]", line))

    def kill(self) -> None:
        for process in self.captioning_processes() if self.process.poll() is None else []:
            os.kill(process, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
