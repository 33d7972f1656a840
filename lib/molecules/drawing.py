"""Draws a molecule as the real collection does: RDKit's black and white drawing of its InChI, worn like an old page.

RDKit lays the molecule out and writes its strokes and letters as SVG paths; OpenCV puts those on paper without grey.
RDKit's own raster (Cairo) takes longer than all of that, has grey edges and cannot leave a bond out.
"""

import re
from collections.abc import Collection
from typing import Any, NamedTuple

import cv2
import numpy as np
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D

from lib.molecules.drawing_noise import INK, PAPER, add_specks, drop_at_random, remove_stroke_pixels
from lib.molecules.smiles import read_inchi
from lib.sections.molecules import DrawingSettings, Pen

RDKIT_BOND_LENGTH = 1.5  # of RDKit's layouts, in Angstrom
SUBPIXEL_BITS = 4  # OpenCV takes coordinates in sixteenths of a pixel
FINE = 4  # shapes are filled on a grid this many times finer, or the stems of letters would be two pixels wide
INK_COVERAGE = 0.45  # a pixel is ink if a shape covers more of it than this
WEDGES = {Chem.BondDir.BEGINWEDGE: 1, Chem.BondDir.BEGINDASH: 2}

_PATH = re.compile(r"<path class='([^']*)' d='([^']*)' (style='fill:none|style|fill)")
_SEGMENT = re.compile(r"([MLQ])([^MLQZ]*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


class Layout(NamedTuple):
    """Where a molecule lies in its picture: atoms in the InChI's order, then heavy hydrogen; lost bonds included.

    The fields are the columns of image_layouts, lib/lake/layout_columns.py.
    """

    atom_x: np.ndarray  # (A,) float32, pixels from the left edge
    atom_y: np.ndarray  # (A,) float32, pixels from the top edge
    bond_begin: np.ndarray  # (B,) int32, index of an atom
    bond_end: np.ndarray  # (B,) int32
    bond_order: np.ndarray  # (B,) float32: 1, 2 or 3, as drawn
    bond_wedge: np.ndarray  # (B,) int32: 0 plain, 1 wedge, 2 hashed wedge; narrow at bond_begin


class Drawing(NamedTuple):
    """A picture of a molecule."""

    pixels: np.ndarray  # (H, W) uint8, 0 ink, 255 paper, nothing between
    layout: Layout


def draw_molecule(inchi: str, settings: DrawingSettings, rng: np.random.Generator) -> Drawing:
    """Draw one molecule, with the wear that the settings ask for. Raises NotationError if RDKit cannot read the InChI.

    Settings that differ in the amounts of wear alone give the same drawing of the same rng, more or less worn.
    """
    molecule = prepare_molecule(inchi)
    scale = settings.reduced_scale if rng.random() < settings.reduced_share else 1.0
    dropped = drop_at_random(molecule.GetNumBonds(), settings.noise * settings.dropped_bond_share, rng)
    missing_share, speck_density = (
        settings.noise * rng.uniform(*bounds) for bounds in (settings.missing_pixel_share, settings.speck_density)
    )
    is_sideways = rng.random() < settings.sideways_share
    is_clockwise = rng.random() < 0.5

    pixels, layout = draw_clean(molecule, settings.pen, scale, dropped)
    pixels = remove_stroke_pixels(pixels, missing_share, rng)
    pixels = add_specks(pixels, speck_density, rng)
    drawing = Drawing(pixels, layout)
    return turn(drawing, is_clockwise) if is_sideways else drawing


def prepare_molecule(inchi: str) -> Chem.Mol:
    """The molecule as it is drawn: laid out, double bonds in place, hydrogens at the stereocentres that rings share."""
    return rdMolDraw2D.PrepareMolForDrawing(read_inchi(inchi))


def places_as_drawn(inchi: str) -> np.ndarray:
    """Where `draw_molecule` would put the atoms (A, 2), in the InChI's order, up to scale and shift."""
    molecule = prepare_molecule(inchi)
    positions = molecule.GetConformer().GetPositions()
    return positions[_atoms_of_inchi(molecule), :2] * (1, -1)  # a picture's rows are counted downwards


def draw_clean(
    molecule: Chem.Mol, pen: Pen, scale: float = 1.0, dropped_bonds: Collection[int] = ()
) -> Drawing:
    """Draw a prepared molecule without wear, `scale` times the usual size, leaving out the bonds of those indices."""
    canvas = rdMolDraw2D.MolDraw2DSVG(-1, -1)  # as large as the molecule needs
    options: Any = canvas.drawOptions()
    options.useBWAtomPalette()
    options.prepareMolsBeforeDrawing = False
    options.includeMetadata = False
    options.flagCloseContactsDist = -1
    options.padding = 0
    options.scalingFactor = pen.bond_length_px * scale / RDKIT_BOND_LENGTH
    options.fontFile = pen.font
    canvas.DrawMolecule(molecule)
    canvas.FinishDrawing()

    margin = round(pen.margin_px * scale)
    pixels = np.full((canvas.Height() + 2 * margin, canvas.Width() + 2 * margin), PAPER, np.uint8)
    _put_paths(pixels, canvas.GetDrawingText(), margin, pen.line_width_px, dropped_bonds)
    return Drawing(pixels, _layout_of(molecule, canvas, margin))


def turn(drawing: Drawing, is_clockwise: bool) -> Drawing:
    """The drawing turned by 90 degrees, its layout with it."""
    height, width = drawing.pixels.shape
    x, y = drawing.layout.atom_x, drawing.layout.atom_y
    new_x, new_y = (height - 1 - y, x) if is_clockwise else (y, width - 1 - x)
    pixels = np.ascontiguousarray(np.rot90(drawing.pixels, -1 if is_clockwise else 1))
    return Drawing(pixels, drawing.layout._replace(atom_x=new_x, atom_y=new_y))


def _layout_of(molecule: Chem.Mol, canvas: rdMolDraw2D.MolDraw2DSVG, margin: int) -> Layout:
    index_of = {index: place for place, index in enumerate(_atoms_of_inchi(molecule))}
    points = [canvas.GetDrawCoords(index) for index in index_of]
    bonds = [
        (index_of[begin], index_of[end], bond.GetBondTypeAsDouble(), WEDGES.get(bond.GetBondDir(), 0))
        for bond in molecule.GetBonds()
        if (begin := bond.GetBeginAtomIdx()) in index_of and (end := bond.GetEndAtomIdx()) in index_of
    ]
    begins, ends, orders, wedges = zip(*bonds, strict=True) if bonds else ((), (), (), ())
    return Layout(
        np.array([point.x + margin for point in points], np.float32),
        np.array([point.y + margin for point in points], np.float32),
        np.array(begins, np.int32), np.array(ends, np.int32), np.array(orders, np.float32), np.array(wedges, np.int32),
    )


def _atoms_of_inchi(molecule: Chem.Mol) -> list[int]:
    """RDKit's indices of the atoms that MolFromInchi makes, in its order: not the hydrogens that drawing has added."""
    return [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() > 1 or atom.GetIsotope()]


def _put_paths(pixels: np.ndarray, svg: str, margin: int, line_width: int, dropped_bonds: Collection[int]) -> None:
    """Draw RDKit's paths: lines of bonds, filled wedges and letters. (Those without a class only round off corners.)"""
    is_dropped = {f"bond-{index}" for index in dropped_bonds}
    lines = []
    for owner, path, style in _PATH.findall(svg):
        if owner.partition(" ")[0] in is_dropped:
            continue
        if style == "style='fill:none":
            numbers = np.array(_NUMBER.findall(path), np.float64)
            lines.append(_fixed_point(numbers.reshape(-1, 2) + margin))
        else:
            _fill(pixels, _contours(path), margin)
    cv2.polylines(pixels, lines, False, INK, line_width, cv2.LINE_8, SUBPIXEL_BITS)


def _fill(pixels: np.ndarray, contours: list[np.ndarray], margin: int) -> None:
    points = np.concatenate(contours) + margin
    left, top = (int(low) - 1 for low in points.min(axis=0))
    right, bottom = (int(high) + 2 for high in points.max(axis=0))
    patch = np.zeros(((bottom - top) * FINE, (right - left) * FINE), np.uint8)
    # A fine pixel's centre lies half a fine pixel, and a pixel's centre half a pixel, from its corner.
    fine = [_fixed_point((contour + margin - (left, top) + 0.5) * FINE - 0.5) for contour in contours]
    cv2.fillPoly(patch, fine, 255, cv2.LINE_8, SUBPIXEL_BITS)
    coverage = cv2.resize(patch, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    pixels[top:bottom, left:right][coverage > 255 * INK_COVERAGE] = INK


def _contours(path: str) -> list[np.ndarray]:
    """The closed curves of an SVG path as polygons, each (P, 2); a quadratic curve becomes two lines."""
    contours: list[list[tuple[float, float]]] = []
    for command, text in _SEGMENT.findall(path):
        numbers = [float(number) for number in _NUMBER.findall(text)]
        if command == "M":
            contours.append([])
        elif command == "Q":
            (x0, y0), (x1, y1, x2, y2) = contours[-1][-1], numbers
            contours[-1].append(((x0 + 2 * x1 + x2) / 4, (y0 + 2 * y1 + y2) / 4))
        contours[-1].append((numbers[-2], numbers[-1]))
    return [np.array(contour) for contour in contours]


def _fixed_point(points: np.ndarray) -> np.ndarray:
    fixed: np.ndarray = np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
    return fixed
