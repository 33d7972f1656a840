"""What long work says where there is no terminal: `pytest tests/unit/test_progress.py`."""

import logging

from lib import progress
from lib.progress import show_progress


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


def test_progress_never_goes_back(caplog):
    with caplog.at_level(logging.INFO), show_progress("ingest_images", 10) as line:
        line.update(8)
        line.update(5)
    assert caplog.messages[-1].startswith("ingest_images 8/10 images")


def test_work_that_knows_its_own_speed_is_judged_by_it(caplog):
    with caplog.at_level(logging.INFO), show_progress("train_captioner", 1000) as line:
        line.update(400, rate=60.0)
    assert caplog.messages[-1] == "train_captioner 400/1,000 images, 60.0/s, 10 s left"
