"""Styles in which people and programs draw molecules, drawn by lot: what the collection's own look does not teach."""

import math
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np

from lib.errors import SettingsError

# Fonts that come with matplotlib, under licences that allow it (beside them in its folder).
FONTS_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSerif.ttf",
    "STIXGeneral.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
    "DejaVuSansMono.ttf",
    "cmtt10.ttf",
)
MORE_OFTEN = 2  # times as many drawings have a font of the user's as have one of FONTS
MIN_CAPITAL_PX = 5.0  # height of capitals below which nobody can read them
LAYOUTS = ("indigo", "rdkit", "coordgen")
SLANTED = ("italic", "oblique")  # in names of fonts that no label is written in


class FreeStyle(NamedTuple):
    """How one molecule is drawn; lengths are parts of a bond's unless they say px."""

    layout: str  # who laid it out
    bond_length_px: float
    stroke_px: float
    turn_deg: float
    is_mirrored: bool
    font: str
    letter_height: float  # of a capital
    letter_width: float  # times the font's: there are narrow fonts
    small_letters: float  # height of counts and charges, as a part of capitals'
    padding: float  # of paper around letters
    spacing: float  # between the lines of a double bond
    inset: float  # by which the inner line of a ring's double bond is shorter at each end
    has_circles: bool  # in aromatic rings, instead of double bonds
    wedge_width: float
    wedge: str  # solid or hollow
    num_hash_lines: int
    is_hash_tapered: bool
    writes_methyl: bool
    writes_chains: bool  # CH2 too
    writes_carbons: bool  # all that are in no ring, C and CH too
    known_fraction: float  # of all abbreviations
    abbreviated_fraction: float  # of the groups that have an abbreviation
    has_amides: bool  # as O=C-NH, where standard InChI has HO-C=N
    has_isotope_letters: bool  # D and T instead of 2H and 3H
    ink_below: int  # grey level that a scanner takes for ink
    beside: str  # text below the drawing
    numbered_fraction: float  # of the atoms, which have their number beside them


@cache
def fonts_of(folder: str | None) -> tuple[str, ...]:
    """FONTS, and twice as often the upright .ttf and .otf files below a folder.

    Raises SettingsError if the folder has none.
    """
    if folder is None:
        return FONTS
    found = sorted(
        str(path.resolve())
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in (".ttf", ".otf") and not any(word in path.name.lower() for word in SLANTED)
    )
    if not found:
        raise SettingsError(f"drawing.fonts_folder {folder}: no upright .ttf or .otf font there")
    wanted = MORE_OFTEN * len(FONTS)
    return FONTS * math.ceil(len(found) / wanted) + tuple(found) * max(1, round(wanted / len(found)))


def free_style(
    bond_length_px: tuple[float, float], rng: np.random.Generator, fonts: tuple[str, ...] = FONTS
) -> FreeStyle:
    """A style by lot, with bonds of a length from this range and one of these fonts."""
    length = float(np.exp(rng.uniform(*np.log(bond_length_px))))
    thin, thick = max(1.0, 0.02 * length), min(8.0, max(1.2, 0.11 * length))
    stroke_px = float(np.exp(rng.uniform(np.log(thin), np.log(thick))))
    is_turned = rng.random() < 0.4
    return FreeStyle(
        layout=LAYOUTS[rng.choice(3, p=(0.25, 0.35, 0.4))],
        bond_length_px=length,
        stroke_px=stroke_px,
        turn_deg=float(rng.uniform(-180, 180)) if is_turned else float(rng.choice((0, 0, 30, 90, 180))),
        is_mirrored=bool(rng.random() < 0.4),
        font=fonts[rng.integers(len(fonts))],
        letter_height=float(rng.uniform(np.clip(MIN_CAPITAL_PX / length, 0.15, 0.6), 0.6)),
        letter_width=float(rng.uniform(0.65, 1.2)) if rng.random() < 0.5 else 1.0,
        small_letters=float(rng.uniform(0.6, 0.8)),
        padding=float(rng.uniform(0.03, 0.12)),
        spacing=float(rng.uniform(0.12, 0.26)),
        inset=float(rng.uniform(0.05, 0.2)),
        has_circles=bool(rng.random() < 0.12),
        wedge_width=float(rng.uniform(0.12, 0.3)),
        wedge="hollow" if rng.random() < 0.1 else "solid",
        num_hash_lines=int(rng.integers(4, max(10, int(length / (2 * stroke_px)) + 1))),  # as much ink as paper between
        is_hash_tapered=bool(rng.random() < 0.8),
        writes_methyl=bool(rng.random() < 0.4),
        writes_chains=bool(rng.random() < 0.06),
        writes_carbons=bool(rng.random() < 0.03),
        known_fraction=float(rng.choice((0.6, 1.0))),
        abbreviated_fraction=float(rng.choice((0.0, 0.5, 1.0), p=(0.2, 0.3, 0.5))),
        has_amides=bool(rng.random() < 0.85),
        has_isotope_letters=bool(rng.random() < 0.7),
        ink_below=int(rng.integers(90, 200)),
        beside=_text(rng) if rng.random() < 0.08 else "",
        numbered_fraction=float(rng.choice((0.0, 0.15, 1.0), p=(0.96, 0.02, 0.02))),
    )


def printed(style: FreeStyle, rng: np.random.Generator) -> FreeStyle:
    """A style with the proportions that most drawings in journals and patents have."""
    length = style.bond_length_px
    return style._replace(
        stroke_px=float(np.clip(length * rng.uniform(0.03, 0.07), 1.0, 8.0)),
        turn_deg=float(rng.choice((0, 30, 90))),
        letter_height=float(max(MIN_CAPITAL_PX / length, rng.uniform(0.25, 0.42))),
        letter_width=1.0,
        spacing=float(rng.uniform(0.13, 0.2)),
        has_circles=False,
        wedge="solid",
        writes_chains=False,
        writes_carbons=False,
        known_fraction=1.0,
        has_amides=True,
        beside="",
        numbered_fraction=0.0,
    )


def _text(rng: np.random.Generator) -> str:
    number = int(rng.integers(1, 400))
    forms = (f"{number}", f"({number})", f"{number}a", f"Example {number}", f"Compound {number}", "IC50 = 12 nM", "(R)")
    return forms[rng.integers(len(forms))]
