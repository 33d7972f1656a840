"""The notations of molecules: InChI, and SMILES canonical or in the order of the drawing.

RDKit can end the process that asks it.
"""

import re
from collections.abc import Sequence
from functools import partial

import numpy as np
from rdkit import Chem, RDLogger

from lib.captions.notations import Columns, Notation, Writing, unchanged
from lib.errors import NotationError
from lib.molecules.drawing_marks import mark_labels, mark_positions
from lib.molecules.graph_assembly import assemble
from lib.molecules.layout import Layout
from lib.molecules.molfile import molfile_as_drawn
from lib.molecules.redrawn import DRAWERS, draw_unworn_ink, layout_as_drawn
from lib.molecules.smiles import inchi_of_smiles, inchi_of_typed, nearest_readable, write_smiles

READING = frozenset(
    {"read", "read_typed", "repair", "draw", "assemble", "molfile"}
)  # what asks RDKit in every notation
INCHI_PREFIX = "InChI=1S/"  # of every standard InChI, so the network need not write it

CAPTION_PREFIXES = (INCHI_PREFIX, "InChI=1/")  # captions are InChI in every notation here, standard or not
TYPED_AS = "a well-formed InChI or SMILES of a molecule, without blanks or a name"

# Layer marks such as /c, element symbols, whole numbers, and every other character on its own.
_INCHI_TOKEN = re.compile(r"/[a-z]|[A-Z][a-z]?|\d+|.", re.DOTALL)


def _write_inchi(caption: str, _layout: Columns | None = None, _rotation_deg: int = 0) -> Writing:
    if not caption.startswith(INCHI_PREFIX):
        raise NotationError(f"{caption[:40]!r} is no standard InChI: it does not begin with {INCHI_PREFIX}")
    tokens = _INCHI_TOKEN.findall(caption[len(INCHI_PREFIX) :])
    return Writing(tokens, _atoms_of_inchi(tokens))


def _atoms_of_inchi(tokens: Sequence[str]) -> list[int]:
    """The atom that each token names: the numbers of the connection layer /c count atoms from 1.

    In mixtures every part counts from 1 anew, so none is named there.
    """
    if "." in tokens:
        return [-1] * len(tokens)
    atoms, layer = [], ""
    for token in tokens:
        layer = token if token.startswith("/") else layer
        atoms.append(int(token) - 1 if layer == "/c" and token.isdecimal() else -1)
    return atoms


def _join_inchi(tokens: Sequence[str]) -> str:
    return INCHI_PREFIX + "".join(tokens)


# One molecule, or several: C3H9N.ClH, 2C2H4O2.Ca
_FORMULA = re.compile(r"InChI=1S/\d*(?:[A-Z][a-z]?\d*)+(?:\.\d*(?:[A-Z][a-z]?\d*)+)*(?:/|$)")


def _read_inchi(text: str) -> str | None:
    # RDKit can end the process on some malformed strings; without a formula it need not be asked.
    if not _FORMULA.match(text):
        return None
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    molecule = Chem.MolFromInchi(text)  # type: ignore[no-untyped-call]
    return (Chem.MolToInchi(molecule) or None) if molecule else None  # type: ignore[no-untyped-call]


def _write_smiles(
    caption: str, layout: Columns | None = None, rotation_deg: int = 0, *, is_kekule: bool, follows_drawing: bool
) -> Writing:
    laid_out = Layout(**layout) if layout else None
    if follows_drawing and laid_out is None:
        laid_out = layout_as_drawn(caption)
        # Cleaning turns what is higher than wide. If the drawer's layout is not, the image had arrived turned.
        if rotation_deg == 90 and np.ptp(laid_out.atom_y) > np.ptp(laid_out.atom_x):
            laid_out = laid_out._replace(atom_x=-laid_out.atom_y, atom_y=laid_out.atom_x)
    return write_smiles(caption, laid_out if follows_drawing else None, is_kekule)


def _mark(caption: str, layout: Columns) -> tuple[np.ndarray, np.ndarray]:
    laid_out = Layout(**layout)
    return mark_positions(laid_out), mark_labels(caption, laid_out)


def _inchi() -> Notation:
    return Notation(
        "inchi",
        CAPTION_PREFIXES,
        needs_isolation=READING,
        needs_every_token=True,
        drawers=DRAWERS,
        write=_write_inchi,
        join=_join_inchi,
        read=_read_inchi,
        read_typed=inchi_of_typed,
        typed_as=TYPED_AS,
        repair=unchanged,
        draw=draw_unworn_ink,
        mark=_mark,
        assemble=None,
        graph_reader=None,
        molfile=molfile_as_drawn,
    )


def _smiles(name: str, is_kekule: bool, follows_drawing: bool) -> Notation:
    return Notation(
        name,
        CAPTION_PREFIXES,
        needs_isolation=READING | {"write"},
        needs_every_token=True,
        drawers=DRAWERS,
        write=partial(_write_smiles, is_kekule=is_kekule, follows_drawing=follows_drawing),
        join="".join,
        # No drawing that was learned from shows a radical, and =[O+] looks like =O.
        read=partial(inchi_of_smiles, may_be_radical=not follows_drawing),
        read_typed=inchi_of_typed,
        typed_as=TYPED_AS,
        repair=nearest_readable,
        draw=draw_unworn_ink,
        mark=_mark,
        assemble=assemble,
        graph_reader="molecules",
        molfile=molfile_as_drawn,
    )


NOTATIONS = {
    notation.name: notation
    for notation in (
        _inchi(),
        _smiles("smiles", is_kekule=False, follows_drawing=False),
        _smiles("smiles_kekule", is_kekule=True, follows_drawing=False),
        _smiles("smiles_drawn", is_kekule=False, follows_drawing=True),
        _smiles("smiles_drawn_kekule", is_kekule=True, follows_drawing=True),
    )
}
