"""Molecules as RDKit and Indigo draw them for anyone who sets their options: fonts, colours, widths, labels by lot.

What comes out is looked at as cleaning looks at an image: colours become grey, paper white, and what is dark is ink.
"""

from typing import Any

import cv2
import numpy as np
from rdkit import Chem
from rdkit.Chem import rdCoordGen, rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from lib.images.paper import darkest_channel, normalise
from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.free_sheet import CAPITAL
from lib.molecules.free_style import FONTS, FONTS_FOLDER, MIN_CAPITAL_PX
from lib.molecules.indigo_drawing import restyle_with_indigo
from lib.molecules.layout import Drawing
from lib.molecules.rdkit_drawing import COORDGEN_BOND_LENGTH, RDKIT_BOND_LENGTH, layout_of
from lib.molecules.smiles import read_inchi, with_amides

FONT_SIZES = (0.35, 1.1)  # in RDKit's unit, of which a bond has 1.5
RDKIT_FRACTION = 0.65  # the others are Indigo's
WAVY_FRACTION = 0.1  # of the drawings by RDKit, in which bonds of unnamed centres are wavy
MARGIN = 0.5  # of paper around the drawing, in lengths of a bond
RDKIT_FONTS = ("", "BuiltinRobotoRegular")  # inside RDKit; the first is its own choice


def draw_restyled(
    inchi: str, bond_length_px: float, rng: np.random.Generator, fonts: tuple[str, ...] = FONTS
) -> Drawing:
    """Draw a molecule without wear. Raises NotationError if the InChI or the molecule cannot be drawn."""
    molecule = read_inchi(inchi)
    if rng.random() < 0.85:
        molecule = with_amides(molecule)
    if rng.random() < RDKIT_FRACTION:
        drawing = _by_rdkit(molecule, bond_length_px, rng, fonts)
    else:
        drawing = _by_indigo(molecule, bond_length_px, rng)
    grey = normalise(darkest_channel(drawing.pixels))
    return drawing._replace(pixels=np.where(grey < rng.integers(100, 200), INK, PAPER).astype(np.uint8))


def _by_rdkit(molecule: Chem.Mol, bond_length_px: float, rng: np.random.Generator, fonts: tuple[str, ...]) -> Drawing:
    has_coordgen_layout = bool(rng.random() < 0.5)
    if has_coordgen_layout:
        rdCoordGen.AddCoords(molecule)
    else:
        rdDepictor.Compute2DCoords(molecule)
    if rng.random() < 0.3:  # mirrored; wedges follow the coordinates
        xyz = molecule.GetConformer().GetPositions()
        molecule.GetConformer().SetPositions(xyz * (-1, 1, 1))
    molecule = rdMolDraw2D.PrepareMolForDrawing(molecule, addChiralHs=bool(rng.random() < 0.7))
    if rng.random() < WAVY_FRACTION:
        _make_wavy(molecule, rng)
    canvas = rdMolDraw2D.MolDraw2DCairo(-1, -1)  # as large as the molecule needs
    options: Any = canvas.drawOptions()
    options.prepareMolsBeforeDrawing = False
    options.flagCloseContactsDist = -1
    options.scalingFactor = bond_length_px / (COORDGEN_BOND_LENGTH if has_coordgen_layout else RDKIT_BOND_LENGTH)
    options.padding = 0.05
    options.minFontSize = options.maxFontSize = -1
    least_font_size = MIN_CAPITAL_PX / CAPITAL * RDKIT_BOND_LENGTH / bond_length_px
    options.baseFontSize = float(rng.uniform(np.clip(least_font_size, *FONT_SIZES), FONT_SIZES[1]))
    choices = (*RDKIT_FONTS, *(str(FONTS_FOLDER / font) for font in fonts))
    options.fontFile = choices[rng.integers(len(choices))] if rng.random() < 0.6 else ""
    options.bondLineWidth = float(max(1.0, bond_length_px * np.exp(rng.uniform(*np.log((0.02, 0.09))))))
    options.multipleBondOffset = float(rng.uniform(0.1, 0.22))
    options.additionalAtomLabelPadding = float(rng.choice((0.0, rng.uniform(0, 0.15))))
    options.explicitMethyl = bool(rng.random() < 0.2)
    options.atomLabelDeuteriumTritium = bool(rng.random() < 0.5)
    options.addStereoAnnotation = bool(rng.random() < 0.06)
    options.addAtomIndices = bool(rng.random() < 0.03)
    options.singleColourWedgeBonds = bool(rng.random() < 0.3)
    options.comicMode = bool(rng.random() < 0.02)
    options.rotate = float(rng.choice((0, 0, 0, rng.uniform(0, 360))))
    palettes = (
        options.useDefaultAtomPalette,
        options.useBWAtomPalette,
        options.useCDKAtomPalette,
        options.useAvalonAtomPalette,
    )
    palettes[rng.choice(4, p=(0.4, 0.4, 0.1, 0.1))]()
    canvas.DrawMolecule(molecule)
    canvas.FinishDrawing()
    pixels, margin = _padded(canvas.GetDrawingText(), bond_length_px)
    points = [canvas.GetDrawCoords(index) for index in range(molecule.GetNumAtoms())]
    return Drawing(pixels, layout_of(molecule, np.array([(point.x + margin, point.y + margin) for point in points])))


def _make_wavy(molecule: Chem.Mol, rng: np.random.Generator) -> None:
    """Draw one bond of each unnamed stereocentre as a wave, which says that its configuration is not known."""
    for centre in Chem.FindPotentialStereo(Chem.Mol(molecule)):
        if centre.type != Chem.StereoType.Atom_Tetrahedral or centre.specified == Chem.StereoSpecified.Specified:
            continue
        atom = molecule.GetAtomWithIdx(centre.centeredOn)
        bonds = [bond for bond in atom.GetBonds() if bond.GetBondDir() == Chem.BondDir.NONE and not bond.IsInRing()]
        if bonds:
            bonds[rng.integers(len(bonds))].SetBondDir(Chem.BondDir.UNKNOWN)


def _by_indigo(molecule: Chem.Mol, bond_length_px: float, rng: np.random.Generator) -> Drawing:
    options = {
        "render-label-mode": str(rng.choice(("hetero", "terminal-hetero", "all"), p=(0.4, 0.56, 0.04))),
        "render-implicit-hydrogens-visible": bool(rng.random() < 0.97),
        "render-coloring": bool(rng.random() < 0.6),
        "render-bond-line-width": float(rng.uniform(0.7, 1.8)),
        "render-relative-thickness": float(rng.uniform(0.7, 1.6)),
        "render-stereo-style": str(rng.choice(("none", "old", "ext"), p=(0.5, 0.3, 0.2))),
        "render-atom-ids-visible": bool(rng.random() < 0.03),
    }
    margin, has_circles = round(MARGIN * bond_length_px), bool(rng.random() < 0.5)
    rdDepictor.Compute2DCoords(molecule)  # for the wedges that tell Indigo the stereo
    return restyle_with_indigo(Chem.MolToMolBlock(molecule), bond_length_px, margin, options, has_circles)


def _padded(png: bytes, bond_length_px: float) -> tuple[np.ndarray, int]:
    """An image (H, W, 3) RGB with a margin of white, and its width in pixels."""
    pixels: Any = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR_RGB)
    margin = round(MARGIN * bond_length_px)
    return np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), constant_values=PAPER), margin
