"""Molecules as RDKit draws them, laid out by its own depictor or by CoordGen.

RDKit writes strokes and letters as SVG paths; OpenCV puts those on paper without grey. RDKit's own raster (Cairo) takes
longer than all of that and has grey edges.
"""

import re
from typing import Any

import cv2
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdCoordGen
from rdkit.Chem.Draw import rdMolDraw2D

from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.layout import Drawing, Layout
from lib.molecules.smiles import read_inchi
from lib.sections.molecules import Pen

RDKIT_BOND_LENGTH, COORDGEN_BOND_LENGTH = 1.5, 1.0  # of their layouts, in the units in which RDKit draws
SUBPIXEL_BITS = 4  # OpenCV takes coordinates in sixteenths of a pixel
FINE = 4  # shapes are filled on a grid this many times finer, or the stems of letters would be two pixels wide
INK_COVERAGE = 0.45  # a pixel is ink if a shape covers more of it than this
WEDGES = {Chem.BondDir.BEGINWEDGE: 1, Chem.BondDir.BEGINDASH: 2}

_PATH = re.compile(r"<path class='[^']*' d='([^']*)' (style='fill:none|style|fill)")
_SEGMENT = re.compile(r"([MLQ])([^MLQZ]*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def draw_with_rdkit(
    inchi: str, pen: Pen, has_coordgen_layout: bool = False, is_in_smiles_order: bool = False
) -> Drawing:
    """Draw a molecule without wear. Raises NotationError if RDKit cannot read the InChI."""
    molecule = prepare_molecule(inchi, has_coordgen_layout, is_in_smiles_order)
    canvas = rdMolDraw2D.MolDraw2DSVG(-1, -1)  # as large as the molecule needs
    options: Any = canvas.drawOptions()
    options.useBWAtomPalette()
    options.prepareMolsBeforeDrawing = False
    options.includeMetadata = False
    options.flagCloseContactsDist = -1
    options.padding = 0
    options.scalingFactor = pen.bond_length_px / (COORDGEN_BOND_LENGTH if has_coordgen_layout else RDKIT_BOND_LENGTH)
    options.fontFile = pen.font
    canvas.DrawMolecule(molecule)
    canvas.FinishDrawing()

    margin = pen.margin_px
    pixels = np.full((canvas.Height() + 2 * margin, canvas.Width() + 2 * margin), PAPER, np.uint8)
    _put_paths(pixels, canvas.GetDrawingText(), margin, pen.line_width_px)
    points = [canvas.GetDrawCoords(index) for index in range(molecule.GetNumAtoms())]
    return Drawing(pixels, layout_of(molecule, np.array([(point.x + margin, point.y + margin) for point in points])))


def prepare_molecule(inchi: str, has_coordgen_layout: bool = False, is_in_smiles_order: bool = False) -> Chem.Mol:
    """The molecule as it is drawn: laid out, double bonds in place, hydrogens at the stereocentres that rings share.

    The atoms that MolFromInchi makes come first, in its order or that of the canonical SMILES, then these hydrogens.
    Where two positions are alike, as those of an acid's oxygens, their order decides which atom gets which.
    """
    molecule = read_inchi(inchi)
    if is_in_smiles_order:
        molecule = Chem.MolFromSmiles(Chem.MolToSmiles(molecule)) or molecule
    if has_coordgen_layout:
        rdCoordGen.AddCoords(molecule)
    return rdMolDraw2D.PrepareMolForDrawing(molecule)


def lay_out_with_rdkit(inchi: str, has_coordgen_layout: bool = False) -> Layout:
    """Where RDKit or CoordGen puts the atoms, y counted downwards, in lengths of a bond. Raises NotationError."""
    molecule = prepare_molecule(inchi, has_coordgen_layout)
    length = COORDGEN_BOND_LENGTH if has_coordgen_layout else RDKIT_BOND_LENGTH
    return layout_of(molecule, molecule.GetConformer().GetPositions()[:, :2] * (1, -1) / length)


def layout_of(molecule: Chem.Mol, positions_xy: np.ndarray) -> Layout:
    """The layout of a molecule in Kekule form whose atoms lie at positions_xy (A, 2)."""
    bonds = [
        (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondTypeAsDouble(), WEDGES.get(bond.GetBondDir(), 0))
        for bond in molecule.GetBonds()
    ]
    begins, ends, orders, wedges = zip(*bonds, strict=True) if bonds else ((), (), (), ())
    return Layout(
        positions_xy[:, 0].astype(np.float32),
        positions_xy[:, 1].astype(np.float32),
        np.array(begins, np.int32),
        np.array(ends, np.int32),
        np.array(orders, np.float32),
        np.array(wedges, np.int32),
    )


def _put_paths(pixels: np.ndarray, svg: str, margin: int, line_width: int) -> None:
    """Draw RDKit's paths: lines of bonds, filled wedges and letters. (Those without a class only round off corners.)"""
    lines = []
    for path, style in _PATH.findall(svg):
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
