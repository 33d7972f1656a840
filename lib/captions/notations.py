"""What stands between a caption and the tokens the network writes: how to cut one, join one, and tell a valid one.

Chemistry is here, never in model/.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from rdkit import Chem, RDLogger

from lib.errors import NotationError
from lib.images.geometry import is_sideways
from lib.molecules.drawing import Pen, draw_clean, places_as_drawn, prepare_molecule
from lib.molecules.drawing_noise import INK
from lib.molecules.smiles import Writing, inchi_of_smiles, nearest_readable, write_smiles

INCHI_PREFIX = "InChI=1S/"  # of every standard InChI, so the network need not write it

# As RDKit draws unless told otherwise, at the larger of the real collection's two sizes.
PEN = Pen(bond_length_px=40.0, margin_px=4, line_width_px=1, font="BuiltinTelexRegular")

# Layer marks such as /c, element symbols, whole numbers, and every other character on its own.
_INCHI_TOKEN = re.compile(r"/[a-z]|[A-Z][a-z]?|\d+|.", re.DOTALL)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")


@dataclass(frozen=True)
class Notation:
    """How captions of one kind are written as tokens. RDKit can end the process that calls it."""

    name: str
    is_written_by_rdkit: bool  # then `write` is to be asked for through lib.captions.notation_process
    is_read_by_rdkit: bool  # then `read` and `repair` are
    is_drawn_by_rdkit: bool  # then `draw` is; otherwise nobody can draw a caption
    follows_drawing: bool  # the tokens depend on where the atoms lie
    # Caption, places of atoms (A, 2) if known, and by how much cleaning turned the picture clockwise (0 or 90); raises
    # NotationError.
    write: Callable[[str, np.ndarray | None, int], Writing]
    join: Callable[[Sequence[str]], str]
    read: Callable[[str], str | None]  # joined tokens to the caption in standard form, None if it is not valid
    repair: Callable[[str], str]  # joined tokens that are not valid to a caption all the same
    draw: Callable[[str], np.ndarray]  # a caption to its picture, (H, W) True where there is ink; raises NotationError


def notation_named(name: str) -> Notation:
    """The notation of that name. Raises NotationError naming the setting and those there are."""
    if name not in NOTATIONS:
        raise NotationError(f"captions.notation is {name!r}; there are: {', '.join(sorted(NOTATIONS))}")
    return NOTATIONS[name]


def _write_inchi(caption: str, _places: np.ndarray | None = None, _rotation_deg: int = 0) -> Writing:
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
    caption: str, places: np.ndarray | None = None, rotation_deg: int = 0, *, is_kekule: bool, follows_drawing: bool
) -> Writing:
    if follows_drawing and places is None:
        places = places_as_drawn(caption)
        # Cleaning turns what is higher than wide. If the drawer's layout is not, the picture had arrived turned.
        if rotation_deg == 90 and np.ptp(places[:, 1]) > np.ptp(places[:, 0]):
            places = np.stack((-places[:, 1], places[:, 0]), axis=1)
    return write_smiles(caption, places if follows_drawing else None, is_kekule)


def _draw_molecule(caption: str) -> np.ndarray:
    pixels = draw_clean(prepare_molecule(caption), PEN).pixels
    return (np.rot90(pixels, -1) if is_sideways(pixels) else pixels) == INK


def _refuse_to_draw(caption: str) -> np.ndarray:
    raise NotationError(f"caption {caption!r} is in words, which nobody can draw")


def _write_words(caption: str, _places: np.ndarray | None = None, _rotation_deg: int = 0) -> Writing:
    words = _WORD.findall(caption.lower())
    if not words:
        raise NotationError(f"caption {caption!r} has no word")
    return Writing(words, [-1] * len(words))


def _as_it_is(text: str) -> str:
    return text


def _smiles(name: str, is_kekule: bool, follows_drawing: bool) -> Notation:
    write = partial(_write_smiles, is_kekule=is_kekule, follows_drawing=follows_drawing)
    return Notation(
        name, True, True, True, follows_drawing, write, "".join, inchi_of_smiles, nearest_readable, _draw_molecule
    )


NOTATIONS = {
    notation.name: notation
    for notation in (
        Notation("inchi", False, True, True, False, _write_inchi, _join_inchi, _read_inchi, _as_it_is, _draw_molecule),
        _smiles("smiles", is_kekule=False, follows_drawing=False),
        _smiles("smiles_kekule", is_kekule=True, follows_drawing=False),
        _smiles("smiles_drawn", is_kekule=False, follows_drawing=True),
        _smiles("smiles_drawn_kekule", is_kekule=True, follows_drawing=True),
        Notation(
            "words", False, False, False, False, _write_words, " ".join, lambda text: text.strip() or None, _as_it_is,
            _refuse_to_draw,
        ),
    )
}
