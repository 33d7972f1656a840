"""What long work says, on a terminal and elsewhere: `pytest tests/unit/test_progress.py`."""

import io
import logging
import re
import threading

import pytest

from lib import progress
from lib.progress import polling, show_progress


def test_without_a_terminal_lines_show_share_rate_time_left_and_note(caplog, monkeypatch):
    clock = iter([0.0, 11.0, 11.0, 11.0, 20.0, 20.0, 20.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), show_progress("clean_images", 4000) as line:
        line.update(1100, "epoch 1")
    assert caplog.messages[0] == "clean_images 1,100/4,000 images, 100.0/s, 29 s left, epoch 1"


def test_quick_work_says_one_line_at_its_end(caplog):
    with caplog.at_level(logging.INFO), show_progress("draw_molecules", 3, "drawings") as line:
        line.advance()
        line.advance(2)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("draw_molecules 3/3 drawings, ")
    assert caplog.messages[0].endswith(", done")


def test_time_left_does_not_grow_while_nothing_is_done(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO), show_progress("predict_captions", 2000) as line:
        for seconds, done in ((10.0, 800), (60.0, 800), (120.0, 800), (130.0, 1600)):
            now[0] = seconds
            line.update(done)
    assert caplog.messages[:4] == [
        "predict_captions 800/2,000 images, 80.0/s, 15 s left",
        "predict_captions 800/2,000 images, 80.0/s, 15 s left",
        "predict_captions 800/2,000 images, 80.0/s, 15 s left",
        "predict_captions 1,600/2,000 images, 12.3/s, 32 s left",
    ]


def test_what_is_done_is_said_once_while_its_tables_are_written(caplog, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with caplog.at_level(logging.INFO), show_progress("ingest_images", 20) as line:
        for now[0] in (11.0, 22.0, 33.0):
            line.update(20)
    assert caplog.messages == ["ingest_images 20/20 images, 1.8/s, done"]


def test_progress_never_goes_back(caplog):
    with caplog.at_level(logging.INFO), show_progress("ingest_images", 10) as line:
        line.update(8)
        line.update(5)
    assert caplog.messages[-1].startswith("ingest_images 8/10 images")


def test_work_that_knows_its_own_speed_is_judged_by_it(caplog):
    with caplog.at_level(logging.INFO), show_progress("train_captioner", 1000) as line:
        line.update(400, rate=60.0)
    assert caplog.messages[-1] == "train_captioner 400/1,000 images, 60.0/s, 10 s left"


def test_slow_work_says_how_long_each_takes(caplog, monkeypatch):
    clock = iter([0.0, 1200.0, 1200.0, 1200.0, 1200.0, 1200.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO), show_progress("teach", 9, "lessons") as line:
        line.advance(3)
    assert caplog.messages[0] == "teach 3/9 lessons, 400 s each, 2,400 s left"


def test_work_that_ends_by_the_clock_has_no_more_time_left_than_that(caplog):
    with caplog.at_level(logging.INFO), show_progress("train_captioner", 1000) as line:
        line.update(400, rate=60.0, most_left_s=7.0)
        line.log()
        line.update(500, rate=60.0, most_left_s=-3.0)
    assert caplog.messages == [
        "train_captioner 400/1,000 images, 60.0/s, 7 s left",
        "train_captioner 500/1,000 images, 60.0/s, 0 s left",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_same_figures_in_one_live_line(monkeypatch, caplog):
    terminal = Terminal()
    monkeypatch.setattr(progress, "terminal", lambda: terminal)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO), show_progress("train_captioner", 1000) as line:
        line.update(400, "epoch 1/2, step 4, loss 0.512, distance 3.1", rate=60.0)
    shown = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "train_captioner" in shown
    assert "400/1000 images 60.0/s 10 s left epoch 1/2, step 4, loss 0.512, distance 3.1" in shown
    assert caplog.messages == []


def test_polling_looks_until_its_block_ends():
    seen = threading.Event()
    with polling(seen.set, every_s=0.01):
        assert seen.wait(10)
    assert not any(thread.name.startswith("polling") for thread in threading.enumerate())


def test_polling_ends_when_its_block_fails():
    with pytest.raises(KeyError), polling(lambda: None, every_s=0.01):
        raise KeyError
    assert not any(thread.name.startswith("polling") for thread in threading.enumerate())
