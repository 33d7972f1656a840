"""Draws a molecule with one of several drawers, first among them Indigo as the real collection, and wears it out."""

from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lib.molecules.drawing_noise import add_specks, drop_at_random, erase_line, remove_stroke_pixels
from lib.molecules.indigo_drawing import draw_with_indigo
from lib.molecules.layout import Drawing, turn
from lib.molecules.rdkit_drawing import Pen, draw_with_rdkit

Drawer = Literal["indigo", "rdkit", "coordgen"]
INDIGO_INK_BELOW = (110, 130)  # grey levels under which the real collection's pixels became ink, about


def _in_order(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"the lower bound {bounds[0]} is above the upper bound {bounds[1]}")
    return bounds


Share = Annotated[float, Field(ge=0, le=1)]
ShareRange = Annotated[tuple[Share, Share], AfterValidator(_in_order)]


class DrawingSettings(BaseModel):
    """What is drawn and how it looks; conf/base.yaml says what each means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_drawings: int = Field(ge=1)
    seed: int = Field(ge=0)
    num_processes: int | None = Field(ge=1)

    smiles_file: str | None
    only_unseen: bool
    recombined_share: Share
    stereo_share: Share
    isotope_share: Share
    min_heavy_atoms: int = Field(ge=2)
    max_heavy_atoms: int = Field(ge=2, le=200)

    drawers: dict[Drawer, float] = Field(min_length=1)
    bond_length_px: float = Field(ge=8, le=200)
    margin_px: int = Field(ge=4)
    reduced_share: Share
    reduced_scale: float = Field(gt=0.2, le=1)
    line_width_px: int = Field(ge=1)
    font: Literal["BuiltinTelexRegular", "BuiltinRobotoRegular"]

    noise: float = Field(ge=0, le=5)
    missing_pixel_share: ShareRange
    reduced_missing_pixel_share: ShareRange
    speck_density: ShareRange
    dropped_bond_share: Share
    sideways_share: Share

    @model_validator(mode="after")
    def _check_heavy_atoms(self) -> Self:
        if self.min_heavy_atoms > self.max_heavy_atoms:
            raise ValueError(f"min_heavy_atoms {self.min_heavy_atoms} is above max_heavy_atoms {self.max_heavy_atoms}")
        return self

    @model_validator(mode="after")
    def _check_drawers(self) -> Self:
        if min(self.drawers.values()) < 0 or not sum(self.drawers.values()):
            raise ValueError(f"drawers {self.drawers}: shares must not be negative, and one must be above 0")
        return self


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
    dropped = drop_at_random(len(layout.bond_begin), settings.noise * settings.dropped_bond_share, rng)
    missing = settings.reduced_missing_pixel_share if is_reduced else settings.missing_pixel_share
    missing_share, speck_density = (
        settings.noise * rng.uniform(*bounds) for bounds in (missing, settings.speck_density)
    )
    is_sideways = rng.random() < settings.sideways_share
    is_clockwise = rng.random() < 0.5

    places = np.stack((layout.atom_x, layout.atom_y), axis=1)
    for bond in dropped:
        pixels = erase_line(pixels, places[layout.bond_begin[bond]], places[layout.bond_end[bond]])
    pixels = remove_stroke_pixels(pixels, missing_share, rng)
    pixels = add_specks(pixels, speck_density, rng)
    drawing = Drawing(pixels, layout)
    return turn(drawing, is_clockwise) if is_sideways else drawing


def choose_drawer(settings: DrawingSettings, rng: np.random.Generator) -> Drawer:
    """One of the settings' drawers, by lot."""
    weights = np.array(list(settings.drawers.values()))
    return list(settings.drawers)[rng.choice(len(weights), p=weights / weights.sum())]


def draw_unworn(inchi: str, drawer: Drawer, settings: DrawingSettings, rng: np.random.Generator) -> UnwornDrawing:
    """Draw one molecule at one of the two sizes, by lot. Raises NotationError if the drawer cannot."""
    is_reduced = rng.random() < settings.reduced_share
    scale = settings.reduced_scale if is_reduced else 1.0
    bond_length_px, margin_px = settings.bond_length_px * scale, round(settings.margin_px * scale)
    ink_below = int(rng.integers(*INDIGO_INK_BELOW, endpoint=True))
    if drawer == "indigo":
        drawing = draw_with_indigo(inchi, bond_length_px, margin_px, ink_below)
    else:
        pen = Pen(bond_length_px, margin_px, settings.line_width_px, settings.font)
        drawing = draw_with_rdkit(inchi, pen, has_coordgen_layout=drawer == "coordgen")
    return UnwornDrawing(drawing, bond_length_px, is_reduced)
