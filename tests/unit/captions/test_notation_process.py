"""A notation asked through a process that survives what kills it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest

from lib.captions import notation_process
from lib.captions.notation_process import NotationProcess
from lib.errors import RuntimeMissingError
from lib.molecules.notations import NOTATIONS

METHANE, NONSENSE = "InChI=1S/CH4/h1H4", "InChI=1S/C99/c1"


def test_every_caption_gets_its_own_answer():
    with closing(NotationProcess("inchi")) as asked:
        assert [asked.read(text) for text in (METHANE, NONSENSE, "", METHANE)] == [METHANE, None, None, METHANE]
        assert asked.repair(NONSENSE) == NONSENSE


def test_writing_takes_places_along_and_refuses_what_is_no_molecule():
    ethanol = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
    with closing(NotationProcess("smiles_drawn")) as asked:
        assert asked.write(ethanol, np.array([[0, 0], [1, 0], [2, 0]]), 0) == (["C", "C", "O"], [0, 1, 2])
        assert asked.write(ethanol, np.array([[2, 0], [1, 0], [0, 0]]), 0) == (["O", "C", "C"], [2, 1, 0])
        assert asked.write(ethanol, np.zeros((7, 2)), 0) is None
        assert asked.write(NONSENSE, None, 0) is None


def test_a_crash_costs_the_one_caption_that_caused_it(monkeypatch):
    crashing = (
        "import os, sys, lib.molecules.notations as n; from lib.captions.notation_process import answer_lines; "
        "inner = n.NOTATIONS['inchi'].read; "
        "object.__setattr__(n.NOTATIONS['inchi'], 'read', lambda c: os.abort() if 'CRASH' in c else inner(c)); "
        "answer_lines('inchi', sys.stdin)"
    )
    started, popen = [], subprocess.Popen

    def start_one_that_crashes(command, **options):
        started.append(command)
        return popen([sys.executable, "-c", crashing], **options)

    monkeypatch.setattr(notation_process.subprocess, "Popen", start_one_that_crashes)
    with closing(NotationProcess("inchi")) as asked:
        answers = [asked.read(text) for text in (METHANE, "CRASH", METHANE, "CRASH", METHANE)]
        assert answers == [METHANE, None, METHANE, None, METHANE]
    assert len(started) == 3


def test_a_caption_that_is_not_answered_in_time_is_invalid_and_the_next_is_asked_anew(monkeypatch):
    with closing(NotationProcess("inchi")) as asked:
        assert asked.read(METHANE) == METHANE
        os.kill(asked._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(notation_process, "ANSWER_TIMEOUT_S", 0.2)
        assert asked.read(METHANE) is None
        monkeypatch.undo()
        assert asked.read(METHANE) == METHANE


def test_a_process_that_cannot_start_is_named_with_the_cause():
    with pytest.raises(RuntimeMissingError, match=r"notation_process smoke\) cannot start: .* is 'smoke'; there are"):
        NotationProcess("smoke").read("x")


def test_the_process_ends_with_its_asker():
    with closing(NotationProcess("inchi")) as asked:
        asked.read(METHANE)
        process = asked._process
    assert process.poll() is not None


def test_the_process_ends_when_its_parent_is_killed():
    parent = (
        "import os; from lib.captions.notation_process import NotationProcess; asked = NotationProcess('inchi'); "
        "asked.read('x'); print(asked._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    child = int(subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True).stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} still lives")


def test_a_caption_is_drawn_as_rdkit_draws_it_and_what_is_none_is_not():
    with closing(NotationProcess("smiles_drawn")) as asked:
        ink = asked.draw("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3")
        assert ink.dtype == bool
        assert ink.shape[1] > ink.shape[0]  # as cleaning turns it
        assert np.array_equal(ink, NOTATIONS["smiles_drawn"].draw("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"))
        assert asked.draw(NONSENSE) is None
