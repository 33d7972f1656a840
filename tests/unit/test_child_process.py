"""A child process never outlives the one that started it, whoever is told to stop and however."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lib import child_process
from lib.child_process import run_child
from lib.errors import TrainingFailedError

# Says that it runs, then ends as its argument says once it is told to.
CHILD = """
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def stop(*_):
    (folder / "told").write_text("SIGTERM")
    if sys.argv[2] == "obeys":
        sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(folder / "process_id").write_text(str(__import__("os").getpid()))
for _ in range(600):
    time.sleep(0.1)
"""


def test_a_child_that_ends_well_lets_the_pipeline_go_on() -> None:
    run_child("train_captioner", [sys.executable, "-c", ""])


def test_a_child_may_be_given_variables_of_its_own() -> None:
    check = "import os; raise SystemExit(os.environ.get('SPARK_HOME') != 'elsewhere')"
    run_child("train_captioner", [sys.executable, "-c", check], {"SPARK_HOME": "elsewhere"})


def test_a_child_that_fails_stops_the_pipeline_with_one_sentence() -> None:
    with pytest.raises(TrainingFailedError, match=r"^train_captioner ended with exit status 3: .* --from"):
        run_child("train_captioner", [sys.executable, "-c", "raise SystemExit(3)"])


@pytest.mark.parametrize("how_it_ends", ["obeys", "does not listen"])
@pytest.mark.parametrize(("sent", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)])
def test_the_child_ends_with_the_pipeline(
    how_it_ends: str, sent: signal.Signals, raised: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "END_WITHIN_S", 1.5)
    threading.Thread(target=signal_once_there, args=(tmp_path / "process_id", sent), daemon=True).start()
    before = signal.getsignal(signal.SIGTERM)
    child_process.end_in_order_on_sigterm()
    try:
        with pytest.raises(raised):
            run_child("train_captioner", [sys.executable, "-c", CHILD, str(tmp_path), how_it_ends])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "told").read_text() == "SIGTERM"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process_id").read_text()), 0)


def signal_once_there(path: Path, sent: signal.Signals) -> None:
    for _ in range(300):
        if path.is_file() and path.read_text():
            os.kill(os.getpid(), sent)
            return
        time.sleep(0.05)
