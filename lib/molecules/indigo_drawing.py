"""Molecules as EPAM Indigo lays them out and draws them from their InChI: the drawer of the real collection.

Indigo's PNG is rendered with grey edges; pixels darker than a threshold become ink, as in the collection. Thin strokes
between two rows of pixels vanish that way: most of the bonds that the collection lacks.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import cv2
import numpy as np

from lib.errors import NotationError, RuntimeMissingError
from lib.molecules.drawing_noise import INK, PAPER
from lib.molecules.layout import Drawing, Layout, mean_bond_length

OPTIONS = {
    "render-coloring": False,
    "render-label-mode": "hetero",
    "render-stereo-style": "none",
    "render-relative-thickness": 1.0,
}
# Indigo asks fontconfig for Arial, which is another font on each machine. Rescanned, the file would be gone.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{fonts}</dir>
  <cachedir>{cache}</cachedir>
  <match target="pattern"><edit name="family" mode="assign" binding="strong"><string>DejaVu Sans</string></edit></match>
  <match target="pattern"><edit name="hintstyle" mode="append"><const>hintslight</const></edit></match>
  <match target="pattern"><edit name="lcdfilter" mode="append"><const>lcddefault</const></edit></match>
  <config><rescan><int>0</int></rescan></config>
</fontconfig>
"""
_MATRIX = re.compile(rb"matrix\(([\d.]+), 0, 0, [\d.]+, (-?[\d.]+), (-?[\d.]+)\)")
MAX_ATOMS = 999  # of a molfile as it is read here
_HYDROGENS = {"H", "D", "T"}
_WEDGES = {1: 1, 6: 2}  # bond stereo of a molfile: 1 up, 6 down, 4 either


class Indigo(NamedTuple):
    """The parts of Indigo in this process, which keep their options."""

    session: Any
    inchi: Any
    renderer: Any
    error: type[Exception]


@cache
def indigo() -> Indigo:
    """Indigo, loaded once per process, whose letters are the same whatever fonts the machine has.

    Raises RuntimeMissingError if the package epam.indigo cannot be used here.
    """
    with _letters_in_dejavu():
        return _load()


@cache
def _restyling() -> Indigo:
    """Indigo once more, with options of its own: those of the collection's drawings stay as they are."""
    indigo()  # has asked for the letters
    parts = _load()
    parts.session.setOption("molfile-saving-mode", "2000")  # which _layout_of reads
    return parts


@contextmanager
def _letters_in_dejavu() -> Iterator[None]:
    """While the block runs, a library that asks fontconfig for the first time gets the font that matplotlib brings."""
    origin = getattr(find_spec("matplotlib"), "origin", None)
    if origin is None:
        raise RuntimeMissingError("the package matplotlib, whose font drawings have, is not installed")
    fonts = Path(origin).parent / "mpl-data" / "fonts" / "ttf"
    before = os.environ.get("FONTCONFIG_FILE")
    with tempfile.TemporaryDirectory(prefix="captionlake-fonts-") as folder:
        file = Path(folder) / "fonts.conf"
        file.write_text(FONTS.format(fonts=escape(str(fonts)), cache=escape(folder)), encoding="utf-8")
        os.environ["FONTCONFIG_FILE"] = str(file)
        try:
            yield
        finally:
            del os.environ["FONTCONFIG_FILE"]
            if before is not None:
                os.environ["FONTCONFIG_FILE"] = before


def _load() -> Indigo:
    try:
        from indigo import Indigo as Session
        from indigo import IndigoException
        from indigo.inchi import IndigoInchi
        from indigo.renderer import IndigoRenderer

        session = Session()
        renderer = IndigoRenderer(session)  # before any option of rendering is set
        reader = IndigoInchi(session)
    except (ImportError, OSError) as error:
        raise RuntimeMissingError(
            f"EPAM Indigo cannot draw here ({error}): install epam.indigo and the system library fontconfig, or set "
            "drawing.drawers without indigo"
        ) from None
    for option, value in OPTIONS.items():
        session.setOption(option, value)
    session.setOption("render-background-color", 1.0, 1.0, 1.0)
    session.setOption("render-output-format", "png")
    # Strokes of all later drawings lie otherwise by parts of a pixel where the first one of a process has no letter.
    with_letter = session.loadMolecule("CO")
    with_letter.layout()
    renderer.renderToBuffer(with_letter)
    return Indigo(session, reader, renderer, IndigoException)


def draw_with_indigo(inchi: str, bond_length_px: float, margin_px: int, ink_below: int) -> Drawing:
    """Draw a molecule without wear; grey levels under `ink_below` are ink.

    Raises NotationError if Indigo cannot read the InChI, RuntimeMissingError if there is no Indigo.
    """
    molecule = _lay_out(inchi)
    grey = _rastered(indigo(), molecule, bond_length_px, margin_px, cv2.IMREAD_GRAYSCALE)
    pixels = np.where(grey < ink_below, INK, PAPER).astype(np.uint8)
    return Drawing(pixels, _in_pixels(indigo(), molecule, _layout_of(molecule)))


def restyle_with_indigo(
    molfile: str, bond_length_px: float, margin_px: int, options: Mapping[str, object], has_circles: bool
) -> Drawing:
    """Draw a molecule in colours (H, W, 3) RGB, with options of Indigo's renderer, and circles in aromatic rings.

    The options stay for the next drawing. Raises as draw_with_indigo.
    """
    parts = _restyling()
    try:
        molecule = parts.session.loadMolecule(molfile)
        molecule.layout()
        layout = _layout_of(molecule)  # in Kekule form
        if has_circles:
            molecule.aromatize()
    except parts.error as error:
        raise NotationError(f"Indigo cannot read a molecule: {error}") from None
    for option, value in options.items():
        parts.session.setOption(option, value)
    pixels = _rastered(parts, molecule, bond_length_px, margin_px, cv2.IMREAD_COLOR_RGB)
    return Drawing(pixels, _in_pixels(parts, molecule, layout))


def _in_pixels(parts: Indigo, molecule: Any, layout: Layout) -> Layout:
    """The layout of a molecule that has just been rastered; the PNG does not say where atoms lie, the SVG does."""
    matrix = _MATRIX.search(_render(parts, molecule, "svg"))
    assert matrix is not None
    scale, left, top = map(float, matrix.groups())
    scale /= mean_bond_length(layout)  # which Indigo draws as long as asked for
    return layout._replace(  # a pixel's centre lies half a pixel from its corner
        atom_x=left + scale * (layout.atom_x - layout.atom_x.min()) - 0.5,
        atom_y=top + scale * (layout.atom_y - layout.atom_y.min()) - 0.5,
    )


def ink_with_indigo(inchi: str, bond_length_px: float, margin_px: int, ink_below: int) -> np.ndarray:
    """The pixels of draw_with_indigo alone, (H, W) True where there is ink, in two thirds of the time."""
    grey = _rastered(indigo(), _lay_out(inchi), bond_length_px, margin_px, cv2.IMREAD_GRAYSCALE)
    ink: np.ndarray = grey < ink_below
    return ink


def lay_out_with_indigo(inchi: str) -> Layout:
    """Where Indigo puts the atoms, y counted downwards, in lengths of a bond. Raises as draw_with_indigo."""
    return _layout_of(_lay_out(inchi))


def _lay_out(inchi: str) -> Any:
    parts = indigo()
    try:
        molecule = parts.inchi.loadMolecule(inchi)
        if molecule.countAtoms() > MAX_ATOMS:
            raise NotationError(f"{inchi[:80]!r} has {molecule.countAtoms()} atoms, more than {MAX_ATOMS}")
        molecule.layout()
    except parts.error as error:
        raise NotationError(f"{inchi[:80]!r} is no InChI of a molecule that Indigo can draw: {error}") from None
    return molecule


def _rastered(parts: Indigo, molecule: Any, bond_length_px: float, margin_px: int, mode: int) -> np.ndarray:
    if not molecule.countBonds():
        raise NotationError("a molecule without bonds is not drawn by Indigo")  # its letters would have no size
    parts.session.setOption("render-bond-length", bond_length_px)
    parts.session.setOption("render-margins", margin_px, margin_px)
    pixels: Any = cv2.imdecode(np.frombuffer(_render(parts, molecule, "png"), np.uint8), mode)
    return np.asarray(pixels)


def _render(parts: Indigo, molecule: Any, file_format: str) -> bytes:
    parts.session.setOption("render-output-format", file_format)
    try:
        return bytes(parts.renderer.renderToBuffer(molecule))
    except parts.error as error:
        raise NotationError(f"a molecule cannot be drawn by Indigo: {error}") from None


def _layout_of(molecule: Any) -> Layout:
    """Of a molecule that is laid out; its molfile says in one call what atoms and bonds say in hundreds."""
    lines = molecule.molfile().splitlines()
    num_atoms, num_bonds = int(lines[3][:3]), int(lines[3][3:6])
    atoms, bonds = lines[4 : 4 + num_atoms], lines[4 + num_atoms : 4 + num_atoms + num_bonds]
    xy = np.array([(float(line[:10]), -float(line[10:20])) for line in atoms], np.float32).reshape(-1, 2)
    # Heavy atoms come in the InChI's order, then D and T, which are atoms of the InChI too, and hydrogens mixed.
    symbols = [line[31:34].strip() for line in atoms]
    order = sorted(range(num_atoms), key=lambda index: (symbols[index] in _HYDROGENS) + (symbols[index] == "H"))
    position_of = np.argsort(order)
    ends = np.array([(int(line[:3]) - 1, int(line[3:6]) - 1) for line in bonds], int).reshape(-1, 2)
    return Layout(
        xy[order, 0],
        xy[order, 1],
        position_of[ends[:, 0]].astype(np.int32),
        position_of[ends[:, 1]].astype(np.int32),
        np.array([int(line[6:9]) for line in bonds], np.float32),
        np.array([_WEDGES.get(int(line[9:12]), 0) for line in bonds], np.int32),
    )
