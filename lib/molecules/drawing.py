"""Draws a molecule with one of several drawers, first among them Indigo as the real collection, and wears it out."""

from typing import NamedTuple

import numpy as np

from lib.molecules.drawing_noise import add_specks, drop_at_random, erase_line, remove_stroke_pixels
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import fonts_of, free_style, printed
from lib.molecules.indigo_drawing import draw_with_indigo
from lib.molecules.layout import Drawing, turn
from lib.molecules.rdkit_drawing import draw_with_rdkit
from lib.molecules.restyled_drawing import draw_restyled
from lib.sections.molecules import Drawer, DrawingSettings, Pen

INDIGO_INK_BELOW = (110, 130)  # grey levels under which the real collection's pixels became ink, about


class UnwornDrawing(NamedTuple):
    """A drawing as its drawer made it, and how large."""

    drawing: Drawing
    bond_length_px: float
    is_reduced: bool  # drawn at the smaller of the two sizes


def draw_molecule(inchi: str, settings: DrawingSettings, rng: np.random.Generator) -> Drawing:
    """Draw one molecule, with the wear that the settings ask for. Raises NotationError if it cannot be drawn.

    Settings that differ in the amounts of wear alone give the same drawing of the same rng, more or less worn.
    """
    (pixels, layout), _, is_reduced = draw_unworn(inchi, choose_drawer(settings, rng), settings, rng)
    dropped = drop_at_random(len(layout.bond_begin), settings.noise * settings.dropped_bond_fraction, rng)
    missing = settings.reduced_missing_pixel_fraction if is_reduced else settings.missing_pixel_fraction
    missing_fraction, speck_density = (
        settings.noise * rng.uniform(*bounds) for bounds in (missing, settings.speck_density)
    )
    is_sideways = rng.random() < settings.sideways_fraction
    is_clockwise = rng.random() < 0.5

    positions_xy = np.stack((layout.atom_x, layout.atom_y), axis=1)
    for bond in dropped:
        pixels = erase_line(pixels, positions_xy[layout.bond_begin[bond]], positions_xy[layout.bond_end[bond]])
    pixels = remove_stroke_pixels(pixels, missing_fraction, rng)
    pixels = add_specks(pixels, speck_density, rng)
    drawing = Drawing(pixels, layout)
    return turn(drawing, is_clockwise) if is_sideways else drawing


def choose_drawer(settings: DrawingSettings, rng: np.random.Generator) -> Drawer:
    """One of the settings' drawers, by lot."""
    weights = np.array(list(settings.drawers.values()))
    return list(settings.drawers)[rng.choice(len(weights), p=weights / weights.sum())]


def draw_unworn(inchi: str, drawer: Drawer, settings: DrawingSettings, rng: np.random.Generator) -> UnwornDrawing:
    """Draw one molecule at one of the two sizes, by lot. Raises NotationError if the drawer cannot."""
    is_reduced = rng.random() < settings.reduced_fraction
    if drawer in ("free", "printed"):
        style = free_style(settings.free_bond_length_px, rng, fonts_of(settings.fonts_folder))
        style = printed(style, rng) if drawer == "printed" else style
        return UnwornDrawing(draw_freely(inchi, style, rng), style.bond_length_px, is_reduced)
    if drawer == "restyled":
        length = float(np.exp(rng.uniform(*np.log(settings.free_bond_length_px))))
        fonts = fonts_of(settings.fonts_folder)
        return UnwornDrawing(draw_restyled(inchi, length, rng, fonts), length, is_reduced)
    scale = settings.reduced_scale if is_reduced else 1.0
    bond_length_px, margin_px = settings.bond_length_px * scale, round(settings.margin_px * scale)
    ink_below = int(rng.integers(*INDIGO_INK_BELOW, endpoint=True))
    if drawer == "indigo":
        drawing = draw_with_indigo(inchi, bond_length_px, margin_px, ink_below)
    else:
        pen = Pen(bond_length_px, margin_px, settings.line_width_px, settings.font)
        drawing = draw_with_rdkit(inchi, pen, has_coordgen_layout=drawer == "coordgen")
    return UnwornDrawing(drawing, bond_length_px, is_reduced)
