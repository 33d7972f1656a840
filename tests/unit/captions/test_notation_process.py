"""A notation asked through a process that survives what kills it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from rdkit import Chem

from lib.captions import notation_process
from lib.captions.notation_process import SafeNotation
from lib.errors import RuntimeMissingError
from lib.molecules.layout import Layout
from lib.molecules.notations import NOTATIONS
from tests.known_molecules import ETHANOL
from tests.unit.without_indigo import environment_without_indigo

METHANE, NONSENSE = "InChI=1S/CH4/h1H4", "InChI=1S/C99/c1"
PHENETHYLAMINE = "InChI=1S/C8H11N/c9-7-6-8-4-2-1-3-5-8/h1-5H,6-7,9H2"


def test_every_caption_gets_its_own_answer():
    with closing(SafeNotation(NOTATIONS["inchi"])) as asked:
        assert [asked.read(text) for text in (METHANE, NONSENSE, "", METHANE)] == [METHANE, None, None, METHANE]
        assert asked.repair(NONSENSE) == NONSENSE


def test_the_process_needs_no_torch():
    """It would take 0.6 GB more, for each worker of a batch."""
    loading = "import sys, lib.captions.notation_process as n; n.notation_named('inchi'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loading], capture_output=True, check=True).stdout == b"False\n"


def at(*x: float) -> dict[str, np.ndarray]:
    """The layout of atoms in a row, the first bonded to the second and that to the third."""
    atom_x = np.array(x)
    return Layout(atom_x, 0 * atom_x, *(np.array(ends) for ends in ([0, 1], [1, 2], [1, 1], [0, 0])))._asdict()


def test_writing_takes_layouts_along_and_refuses_what_is_no_molecule():
    with closing(SafeNotation(NOTATIONS["smiles_drawn"])) as asked:
        assert asked.write(ETHANOL, at(0, 1, 2), 0) == (["C", "C", "O"], [0, 1, 2])
        assert asked.write(ETHANOL, at(2, 1, 0), 0) == (["O", "C", "C"], [2, 1, 0])
        assert asked.write(ETHANOL, at(0, 1), 0) is None
        assert asked.write(NONSENSE, None, 0) is None
        assert asked.write(ETHANOL, at(2, 1, 0), 0) == (["O", "C", "C"], [2, 1, 0])


def test_what_cannot_crash_is_asked_in_this_process():
    asked = SafeNotation(NOTATIONS["inchi"])
    assert asked.write(ETHANOL, None, 0) == NOTATIONS["inchi"].write(ETHANOL, None, 0)
    assert asked.write("ethanol", None, 0) is None
    assert asked._process is None


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
    with closing(SafeNotation(NOTATIONS["inchi"])) as asked:
        answers = [asked.read(text) for text in (METHANE, "CRASH", METHANE, "CRASH", METHANE)]
        assert answers == [METHANE, None, METHANE, None, METHANE]
    assert len(started) == 3


STUMBLING = """
import os, sys, lib.molecules.notations as n
from lib.captions.notation_process import answer_lines
inner = n.NOTATIONS["inchi"].read
def read(caption):
    if caption == "stumbles":
        raise KeyError(caption)
    if caption == "no JSON":
        return {1, 2}
    if caption == "chatters":
        print('"a warning that looks like an answer"')
        os.write(1, b'"and another"\\n')
    return inner(caption)
object.__setattr__(n.NOTATIONS["inchi"], "read", read)
answer_lines("inchi", sys.stdin)
"""


def test_whatever_a_library_stumbles_over_or_says_costs_one_caption(monkeypatch):
    popen = subprocess.Popen
    monkeypatch.setattr(
        notation_process.subprocess, "Popen", lambda _, **options: popen([sys.executable, "-c", STUMBLING], **options)
    )
    with closing(SafeNotation(NOTATIONS["inchi"])) as asked:
        assert asked.read(METHANE) == METHANE
        process = asked._process
        assert [asked.read(text) for text in ("stumbles", "no JSON", METHANE)] == [None, None, METHANE]
        assert asked._process is process  # it lives on
        assert [asked.read(text) for text in ("chatters", METHANE)] == [None, METHANE]


def test_a_caption_that_is_not_answered_in_time_is_invalid_and_the_next_is_asked_anew(monkeypatch):
    with closing(SafeNotation(NOTATIONS["inchi"])) as asked:
        assert asked.read(METHANE) == METHANE
        os.kill(asked._process.pid, signal.SIGSTOP)
        monkeypatch.setattr(notation_process, "ANSWER_TIMEOUT_S", 0.2)
        assert asked.read(METHANE) is None
        monkeypatch.undo()
        assert asked.read(METHANE) == METHANE


def test_a_process_that_cannot_start_is_named_with_the_cause():
    with pytest.raises(RuntimeMissingError, match=r"notation_process smoke\) cannot start: .* is 'smoke'; there are"):
        SafeNotation(replace(NOTATIONS["inchi"], name="smoke")).read("x")


def test_the_process_ends_with_its_asker():
    with closing(SafeNotation(NOTATIONS["inchi"])) as asked:
        asked.read(METHANE)
        process = asked._process
    assert process.poll() is not None


def test_the_process_ends_when_its_parent_is_killed():
    parent = (
        "import os; from lib.captions.notation_process import SafeNotation; "
        "from lib.molecules.notations import NOTATIONS; asked = SafeNotation(NOTATIONS['inchi']); asked.read('x'); "
        "print(asked._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    child = int(subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True).stdout)
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError(f"process {child} still lives")


def test_a_caption_is_drawn_by_the_drawer_asked_for_and_what_is_none_is_not():
    with closing(SafeNotation(NOTATIONS["smiles_drawn"])) as asked:
        notation = NOTATIONS["smiles_drawn"]
        drawers = [drawer for group in notation.drawers for drawer in group]
        drawn = [asked.draw(PHENETHYLAMINE, drawer) for drawer in drawers]
        for ink, drawer in zip(drawn, drawers, strict=True):
            assert ink.dtype == bool
            assert ink.shape[1] > ink.shape[0]  # as cleaning turns it
            assert np.array_equal(ink, notation.draw(PHENETHYLAMINE, drawer))
        assert len({ink.tobytes() for ink in drawn}) == len(drawers)
        assert [asked.draw(NONSENSE, drawer) for drawer in drawers] == [None] * len(drawers)


def test_what_one_drawer_cannot_draw_another_does_and_the_process_lives_on():
    """Indigo leaves single atoms to RDKit; neither ends on what is malformed, or on a salt or a long chain."""
    with closing(SafeNotation(NOTATIONS["smiles_drawn"])) as asked:
        asked.read("C")
        process = asked._process
        for atom in (METHANE, "InChI=1S/H2O/h1H2", "InChI=1S/ClH.Na/h1H;/q;+1/p-1"):
            assert asked.draw(atom, "indigo") is None
            assert asked.draw(atom, "rdkit").any()
        chain = Chem.MolToInchi(Chem.MolFromSmiles("C" * 200))
        for drawn in ("InChI=1S/C2H6/c1-2/h1-2H3", "InChI=1S/C6H7N.ClH/c7-6-4-2-1-3-5-6;/h1-5H,7H2;1H", chain):
            assert asked.draw(drawn, "indigo").any()
        absent_atom = "InChI=1S/C2H6O/c1-2-9/h3H,2H2,1H3"
        for malformed in ("", "InChI=1S/", NONSENSE, absent_atom, "\0", "InChI=1S/C\u00dc"):
            assert asked.draw(malformed, "indigo") is None
        too_large = Chem.MolToInchi(Chem.MolFromSmiles("C" * 1000))
        assert asked.draw(too_large, "indigo") is None
        assert asked.write(too_large, None, 0) is None
        assert asked._process is process
        assert process.poll() is None


WITHOUT_INDIGO = """
from contextlib import closing
from lib.captions.notation_process import SafeNotation
from lib.molecules.notations import NOTATIONS
from lib.molecules.redrawn import layout_as_drawn
from lib.molecules.rdkit_drawing import lay_out_with_rdkit
ethanol = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
with closing(SafeNotation(NOTATIONS["smiles_drawn"])) as asked:
    print([asked.draw(ethanol, drawer) is not None for group in NOTATIONS["smiles_drawn"].drawers for drawer in group])
    print(asked.write(ethanol, None, 0).tokens)
print((layout_as_drawn(ethanol).atom_x == lay_out_with_rdkit(ethanol).atom_x).all())
"""


def test_without_indigo_captions_are_drawn_and_laid_out_by_rdkit(tmp_path):
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_INDIGO], capture_output=True, text=True, env=environment_without_indigo(tmp_path)
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == ["[False, False, True, True, True]", "['C', 'C', 'O']", "True"]
    assert "captions are drawn again by RDKit alone: EPAM Indigo cannot draw here" in found.stderr
    assert "Traceback" not in found.stderr
