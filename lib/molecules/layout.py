"""A drawing of a molecule: its pixels, and where its atoms and bonds lie in them."""

from typing import NamedTuple

import numpy as np


class Layout(NamedTuple):
    """Where a molecule lies in its image: atoms in the InChI's order (D and T last), lost bonds included.

    After these come the hydrogens that the drawer made explicit, each with its bond. The fields are the columns of
    image_layouts, lib/lake/layout_columns.py.
    """

    atom_x: np.ndarray  # (A,) float32, pixels from the left edge
    atom_y: np.ndarray  # (A,) float32, pixels from the top edge
    bond_begin: np.ndarray  # (B,) int32, index of an atom
    bond_end: np.ndarray  # (B,) int32
    bond_order: np.ndarray  # (B,) float32: 1, 2 or 3, as drawn
    bond_wedge: np.ndarray  # (B,) int32: 0 plain, 1 wedge, 2 hashed wedge; narrow at bond_begin


class Drawing(NamedTuple):
    """An image of a molecule."""

    pixels: np.ndarray  # (H, W) uint8, 0 ink, 255 paper, nothing between
    layout: Layout


def mean_bond_length(layout: Layout) -> float:
    """The mean length of bonds, in the unit of the positions; NaN without bonds."""
    across, down = (axis[layout.bond_begin] - axis[layout.bond_end] for axis in (layout.atom_x, layout.atom_y))
    return float(np.hypot(across, down).mean())


def turn(drawing: Drawing, is_clockwise: bool) -> Drawing:
    """The drawing turned by 90 degrees, its layout with it."""
    height, width = drawing.pixels.shape
    x, y = drawing.layout.atom_x, drawing.layout.atom_y
    new_x, new_y = (height - 1 - y, x) if is_clockwise else (y, width - 1 - x)
    pixels = np.ascontiguousarray(np.rot90(drawing.pixels, -1 if is_clockwise else 1))
    return Drawing(pixels, drawing.layout._replace(atom_x=new_x, atom_y=new_y))
