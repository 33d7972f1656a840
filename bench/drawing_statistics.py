"""Draws molecules and prints their statistics beside those of the genuine pictures."""

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
from lib.molecules.layout import Layout
from lib.sections.molecules import DrawingSettings
from lib.settings import load_settings

# Measured on the real collection: (lowest, highest), the same twice where one figure is known.
GENUINE = {
    "mean width, px": (381, 381),
    "mean height, px": (220, 220),
    "median width / height": (1.5, 1.5),
    "mean ink, share of pixels": (0.002, 0.02),
    "mean bytes of a PNG": (1200, 3000),
    "specks, per pixel of paper": (3.0e-5, 8.5e-5),
    "missing stroke pixels, share": (0.12, 0.17),
    "dropped bonds, share": (0.03, 0.03),
    "heavy atoms": (24.2, 24.2),
    "tokens per label, mean": (90, 90),
    "tokens per label, median": (88, 88),
    "labels above 140 tokens, share": (0.032, 0.032),
}


class Measured(NamedTuple):
    """What is counted on one drawing."""

    width: int
    height: int
    num_ink: int
    num_bytes: int
    num_specks: int
    num_paper_when_clean: int
    num_missing: int
    num_ink_when_clean: int
    num_bonds: int
    num_dropped_bonds: int
    num_atoms: int
    num_tokens: int


def measure(drawing: DrawnMolecule, settings: DrawingSettings) -> Measured:
    """Compare a drawing with the same one without specks and missing pixels (its dropped bonds stay dropped)."""
    clean_settings = settings.model_copy(update={"missing_pixel_share": (0.0, 0.0), "speck_density": (0.0, 0.0)})
    rng = np.random.default_rng(int(drawing.image_id, 16))
    is_clean_ink = draw_molecule(drawing.inchi, clean_settings, rng).pixels == INK
    pixels = cv2.imdecode(np.frombuffer(drawing.png, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, drawing.image_id
    is_ink = pixels == INK
    height, width = pixels.shape
    return Measured(
        width, height, int(is_ink.sum()), len(drawing.png),
        int((is_ink & ~is_clean_ink).sum()), int((~is_clean_ink).sum()),
        int((is_clean_ink & ~is_ink).sum()), int(is_clean_ink.sum()),
        len(drawing.layout.bond_begin), _count_bonds_without_ink(is_clean_ink, drawing.layout),
        len(drawing.layout.atom_x), len(notation_named("inchi").write(drawing.inchi, None, 0).tokens),
    )


def _count_bonds_without_ink(is_ink: np.ndarray, layout: Layout) -> int:
    """Bonds whose middle is blank; the lines of a double bond lie within 3 pixels of it."""
    near = cv2.dilate(is_ink.astype(np.uint8), np.ones((7, 7), np.uint8))
    x, y = ((axis[layout.bond_begin] + axis[layout.bond_end]) / 2 for axis in (layout.atom_x, layout.atom_y))
    return int((near[np.rint(y).astype(int), np.rint(x).astype(int)] == 0).sum())


def summarize(measured: Sequence[Measured]) -> dict[str, float]:
    """The figures of GENUINE for our drawings."""
    columns = pd.DataFrame(measured)
    return {
        "mean width, px": columns.width.mean(),
        "mean height, px": columns.height.mean(),
        "median width / height": np.median(columns.width / columns.height),
        "mean ink, share of pixels": (columns.num_ink / (columns.width * columns.height)).mean(),
        "mean bytes of a PNG": columns.num_bytes.mean(),
        "specks, per pixel of paper": columns.num_specks.sum() / columns.num_paper_when_clean.sum(),
        "missing stroke pixels, share": columns.num_missing.sum() / columns.num_ink_when_clean.sum(),
        "dropped bonds, share": columns.num_dropped_bonds.sum() / columns.num_bonds.sum(),
        "heavy atoms": columns.num_atoms.mean(),
        "tokens per label, mean": columns.num_tokens.mean(),
        "tokens per label, median": np.median(columns.num_tokens),
        "labels above 140 tokens, share": (columns.num_tokens > 140).mean(),
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
        table.add_row(figure, f"{ours[figure]:.4g}", genuine, within if is_range else f"{ours[figure] / lowest:.2f}")
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
    console.print(tabulate(summarize([measure(drawing, settings) for drawing in drawings])))
    console.print(f"{len(drawings):,} drawings in {cpu_s:.1f} s of one core: {len(drawings) / cpu_s:.0f}/s, "
                  f"{1000 * cpu_s / len(drawings):.1f} ms each, from SMILES to PNG")


if __name__ == "__main__":
    main()
