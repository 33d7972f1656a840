"""A validator that survives what kills it: `pytest tests/unit/test_caption_validation.py`."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

from lib import caption_validation
from lib.caption_validation import CaptionValidator

METHANE, NONSENSE = "InChI=1S/CH4/h1H4", "InChI=1S/C99/c1"


def test_every_caption_gets_its_own_answer():
    with closing(CaptionValidator("inchi")) as validator:
        assert validator.are_valid([METHANE, NONSENSE, "", METHANE]) == [True, False, False, True]
        assert validator.are_valid([]) == []


def test_a_crash_costs_the_one_caption_that_caused_it(monkeypatch):
    crashing = (
        "import os, sys, lib.notations as n; from lib.caption_validation import _answer_lines; "
        "inner = n.NOTATIONS['inchi'].is_valid; "
        "object.__setattr__(n.NOTATIONS['inchi'], 'is_valid', lambda c: os.abort() if 'CRASH' in c else inner(c)); "
        "_answer_lines('inchi')"
    )
    started, popen = [], subprocess.Popen

    def start_one_that_crashes(command, **options):
        started.append(command)
        return popen([sys.executable, "-c", crashing], **options)

    monkeypatch.setattr(caption_validation.subprocess, "Popen", start_one_that_crashes)
    with closing(CaptionValidator("inchi")) as validator:
        assert validator.are_valid([METHANE, "CRASH", METHANE, "CRASH", METHANE]) == [True, False, True, False, True]
    assert len(started) == 3


def test_a_caption_that_is_not_answered_in_time_is_invalid_and_the_next_is_asked_anew(monkeypatch):
    with closing(CaptionValidator("inchi")) as validator:
        assert validator.are_valid([METHANE]) == [True]
        os.kill(validator._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(caption_validation, "ANSWER_TIMEOUT_S", 0.2)
        assert validator.are_valid([METHANE]) == [False]
        monkeypatch.undo()
        assert validator.are_valid([METHANE]) == [True]


def test_the_process_ends_with_its_validator():
    with closing(CaptionValidator("inchi")) as validator:
        validator.are_valid([METHANE])
        process = validator._process
    assert process.poll() is not None


def test_the_process_ends_when_its_parent_is_killed():
    parent = (
        "import os; from lib.caption_validation import CaptionValidator; validator = CaptionValidator('inchi'); "
        "validator.are_valid(['x']); print(validator._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    child = int(subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True).stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} still lives")
