"""Draws molecules and prints their statistics beside those of the genuine images."""

import argparse
import time
from collections.abc import Sequence
from itertools import chain, islice
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from lib.captions.notations import notation_named
from lib.molecules.drawing import draw_molecule
from lib.molecules.drawing_batches import DrawnMolecule, draw_batches
from lib.molecules.drawing_noise import INK
from lib.molecules.layout import Layout, mean_bond_length
from lib.molecules.smiles import read_inchi
from lib.sections.molecules import DrawingSettings
from lib.settings import load_settings

# Measured on the real collection: (lowest, highest), the same twice where one figure is known. Its labels were seen cut
# short, so that at least as many of them have a layer as were counted.
GENUINE = {
    "mean width, px": (381, 381),
    "mean height, px": (220, 220),
    "median width / height": (1.5, 1.5),
    "higher than wide, fraction": (0, 0),
    "at the small size, fraction": (0.48, 0.48),
    "margin, px, small size": (26, 26),
    "margin, px, large size": (41, 41),
    "height of letters, px, small size": (8, 9),
    "height of letters, px, large size": (12, 12),
    "mean ink, fraction of pixels": (0.002, 0.02),
    "mean bytes of a PNG": (1200, 3000),
    "specks, per pixel of paper": (3.0e-5, 8.5e-5),
    "missing ink, fraction, small size": (0.15, 0.26),
    "missing ink, fraction, large size": (0.09, 0.14),
    "bonds without ink, fraction": (0.03, 0.03),
    "with stereo, fraction of labels": (0.3, 1),
    "with /t, fraction of labels": (0.18, 1),
    "with /b, fraction of labels": (0.14, 1),
    "with D or T, fraction of labels": (0.001, 0.1),
    "heavy atoms": (24.2, 24.2),
    "tokens per label, mean": (90, 90),
    "tokens per label, median": (88, 88),
    "labels above 140 tokens, fraction": (0.032, 0.032),
}
LETTERS = ("N", "O", "F")  # of one letter, as high as all capitals
LETTER_HEIGHTS = (0.15, 0.5)  # in lengths of a bond; what is lower or higher is no whole letter


class Measured(NamedTuple):
    """What is counted on one drawing."""

    inchi: str
    width: int
    height: int
    bond_px: float
    margin: int
    letter_height: float  # the median of its letters, NaN if none stands alone
    num_ink: int
    num_bytes: int
    num_specks: int
    num_paper_when_clean: int
    num_missing: int
    num_ink_when_clean: int
    num_bonds: int
    num_blank_bonds: int
    num_heavy_atoms: int
    num_tokens: int


def measure(drawing: DrawnMolecule, settings: DrawingSettings) -> Measured:
    """Compare a drawing with the same one without specks and missing pixels (its dropped bonds stay dropped)."""
    nothing = dict.fromkeys(("missing_pixel_fraction", "reduced_missing_pixel_fraction", "speck_density"), (0.0, 0.0))
    rng = np.random.default_rng(int(drawing.image_id, 16))
    is_clean_ink = draw_molecule(drawing.inchi, settings.model_copy(update=nothing), rng).pixels == INK
    pixels = cv2.imdecode(np.frombuffer(drawing.png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, drawing.image_id
    is_ink = pixels == INK
    height, width = pixels.shape
    symbols = [atom.GetSymbol() for atom in read_inchi(drawing.inchi).GetAtoms()]
    bond_px = mean_bond_length(drawing.layout)
    left, top, ink_width, ink_height = cv2.boundingRect(is_clean_ink.astype(np.uint8))
    return Measured(
        drawing.inchi,
        width,
        height,
        bond_px,
        min(left, top, width - left - ink_width, height - top - ink_height),
        _letter_height(is_clean_ink, drawing.layout, symbols, bond_px),
        int(is_ink.sum()),
        len(drawing.png),
        int((is_ink & ~is_clean_ink).sum()),
        int((~is_clean_ink).sum()),
        int((is_clean_ink & ~is_ink).sum()),
        int(is_clean_ink.sum()),
        len(drawing.layout.bond_begin),
        _count_bonds_without_ink(is_clean_ink, drawing.layout),
        sum(symbol != "H" for symbol in symbols),
        len(notation_named("inchi").write(drawing.inchi, None, 0).tokens),
    )


def _letter_height(is_ink: np.ndarray, layout: Layout, symbols: Sequence[str], bond_px: float) -> float:
    """The median height of the pieces of ink around atoms of LETTERS."""
    _, _, boxes, _ = cv2.connectedComponentsWithStats(is_ink.astype(np.uint8), connectivity=8)
    lefts, tops, widths, heights = boxes[1:, :4].T  # the first is the paper
    found = []
    for index in (index for index, symbol in enumerate(symbols) if symbol in LETTERS):
        x, y = float(layout.atom_x[index]), float(layout.atom_y[index])
        is_around = (lefts <= x) & (x <= lefts + widths) & (tops <= y) & (y <= tops + heights)
        found += heights[is_around].tolist()
    lowest, highest = (part * bond_px for part in LETTER_HEIGHTS)
    letters = [height for height in found if lowest <= height <= highest]
    return float(np.median(letters)) if letters else float("nan")


def _count_bonds_without_ink(is_ink: np.ndarray, layout: Layout) -> int:
    """Bonds whose middle is blank; the lines of a double bond lie within 3 pixels of it."""
    near = cv2.dilate(is_ink.astype(np.uint8), np.ones((7, 7), np.uint8))
    x, y = ((axis[layout.bond_begin] + axis[layout.bond_end]) / 2 for axis in (layout.atom_x, layout.atom_y))
    return int((near[np.rint(y).astype(int), np.rint(x).astype(int)] == 0).sum())


def summarize(measured: Sequence[Measured], settings: DrawingSettings) -> dict[str, float]:
    """The figures of GENUINE for our drawings."""
    columns = pd.DataFrame(measured)
    is_small = columns.bond_px < settings.bond_length_px * (1 + settings.reduced_scale) / 2
    sizes = {"small": columns[is_small], "large": columns[~is_small]}
    has = {layer: columns.inchi.str.contains(layer, regex=False) for layer in ("/t", "/b")}
    has_isotope = columns.inchi.str.contains(r"/i.*[DT]")
    return {
        "mean width, px": columns.width.mean(),
        "mean height, px": columns.height.mean(),
        "median width / height": np.median(columns.width / columns.height),
        "higher than wide, fraction": (columns.height > columns.width).mean(),
        "at the small size, fraction": is_small.mean(),
        **{f"margin, px, {size} size": some.margin.median() for size, some in sizes.items()},
        **{f"height of letters, px, {size} size": some.letter_height.median() for size, some in sizes.items()},
        "mean ink, fraction of pixels": (columns.num_ink / (columns.width * columns.height)).mean(),
        "mean bytes of a PNG": columns.num_bytes.mean(),
        "specks, per pixel of paper": columns.num_specks.sum() / columns.num_paper_when_clean.sum(),
        **{
            f"missing ink, fraction, {size} size": some.num_missing.sum() / max(1, some.num_ink_when_clean.sum())
            for size, some in sizes.items()
        },
        "bonds without ink, fraction": columns.num_blank_bonds.sum() / columns.num_bonds.sum(),
        "with stereo, fraction of labels": (has["/t"] | has["/b"]).mean(),
        **{f"with {layer}, fraction of labels": found.mean() for layer, found in has.items()},
        "with D or T, fraction of labels": has_isotope.mean(),
        "heavy atoms": columns.num_heavy_atoms.mean(),
        "tokens per label, mean": columns.num_tokens.mean(),
        "tokens per label, median": np.median(columns.num_tokens),
        "labels above 140 tokens, fraction": (columns.num_tokens > 140).mean(),
    }


def tabulate(ours: dict[str, float]) -> Table:
    """Ours, genuine, and ours as a part of the genuine, or whether it is within the genuine range."""
    table = Table(title="our drawings beside the genuine ones")
    for heading, justify in (("figure", "left"), ("ours", "right"), ("genuine", "right"), ("ratio", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for figure, (lowest, highest) in GENUINE.items():
        is_range = lowest < highest
        genuine = f"{lowest:.4g} .. {highest:.4g}" if is_range else f"{lowest:.4g}"
        within = "within" if lowest <= ours[figure] <= highest else "outside"
        table.add_row(
            figure, f"{ours[figure]:.4g}", genuine, within if is_range or not lowest else f"{ours[figure] / lowest:.2f}"
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Draw in this process alone, so that the speed is that of one core."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=1000, help="drawings to measure (default: %(default)s)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="such as drawing.noise=2")
    arguments = parser.parse_args(argv)
    settings = load_settings("molecules", "local", arguments.set).drawing.model_copy(update={"num_processes": 1})
    batches = draw_batches(settings)
    next(batches)  # what is cut into fragments once is not part of the rate
    started = time.process_time()
    drawings = list(islice(chain.from_iterable(batch.drawings for batch in batches), arguments.num_drawings))
    cpu_s = time.process_time() - started
    console = Console()
    console.print(tabulate(summarize([measure(drawing, settings) for drawing in drawings], settings)))
    console.print(
        f"{len(drawings):,} drawings in {cpu_s:.1f} s of one core: {len(drawings) / cpu_s:.0f}/s, "
        f"{1000 * cpu_s / len(drawings):.1f} ms each, from SMILES to PNG"
    )


if __name__ == "__main__":
    main()
