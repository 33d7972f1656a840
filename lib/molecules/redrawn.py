"""A caption drawn again as its image may have been: unworn, by a drawer whose name is asked for."""

import logging
from functools import cache

import numpy as np

from lib.errors import NotationError, RuntimeMissingError
from lib.images.geometry import is_sideways
from lib.molecules.drawing_noise import INK
from lib.molecules.indigo_drawing import indigo, ink_with_indigo, lay_out_with_indigo
from lib.molecules.layout import Layout
from lib.molecules.rdkit_drawing import draw_with_rdkit, lay_out_with_rdkit
from lib.molecules.smiles import read_inchi
from lib.sections.molecules import Pen

logger = logging.getLogger(__name__)

# In the order in which they are tried, those together that differ in size alone. The real collection has two sizes;
# at each of them other strokes are lost, the same ones whenever the molecule is drawn.
# RDKit draws differently what was read from an InChI and what from a SMILES.
DRAWERS = (("indigo", "indigo small"), ("rdkit", "rdkit smiles"), ("coordgen",))
INDIGO_BONDS_PX = {"indigo": 40.0, "indigo small": 25.0}
PEN = Pen(bond_length_px=40.0, margin_px=4, line_width_px=1, font="BuiltinTelexRegular")
MAX_IN_RING = 20  # atoms
COLLECTION_INK_BELOW = 120  # grey level under which Indigo's pixels become ink in the real collection, about


def draw_unworn_ink(inchi: str, drawer: str) -> np.ndarray:
    """A molecule as one of DRAWERS draws it, (H, W) True where there is ink, not higher than wide.

    Raises NotationError if it cannot be drawn, by this drawer or because the drawer is not installed.
    """
    if drawer in INDIGO_BONDS_PX:
        if not _has_indigo():
            raise NotationError("EPAM Indigo is not installed")
        return ink_with_indigo(inchi, INDIGO_BONDS_PX[drawer], PEN.margin_px, COLLECTION_INK_BELOW)
    if drawer == "coordgen" and _largest_ring(inchi) > MAX_IN_RING:
        raise NotationError(f"CoordGen takes seconds to lay out a ring of more than {MAX_IN_RING} atoms")
    pixels = draw_with_rdkit(inchi, PEN, drawer == "coordgen", drawer == "rdkit smiles").pixels
    return (np.rot90(pixels, -1) if is_sideways(pixels) else pixels) == INK


def layout_as_drawn(inchi: str) -> Layout:
    """Where the real collection's drawer puts the atoms, up to scale and shift; RDKit where there is no Indigo.

    Raises NotationError if the InChI is not one of a molecule that can be drawn.
    """
    return lay_out_with_indigo(inchi) if _has_indigo() else lay_out_with_rdkit(inchi)


def _largest_ring(inchi: str) -> int:
    molecule = read_inchi(inchi)  # which must outlive what RDKit knows of its rings
    return max(map(len, molecule.GetRingInfo().AtomRings()), default=0)


@cache
def _has_indigo() -> bool:
    try:
        indigo()
    except RuntimeMissingError as error:
        logger.warning("captions are drawn again by RDKit alone: %s", error)
        return False
    return True
