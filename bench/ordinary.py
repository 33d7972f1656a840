"""How many of some drawings that the model reads as drawn it still reads as other people would send them.

`python -m bench.ordinary [--num-drawings 12] [--sheets FOLDER]`
"""

import argparse
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.contact_sheet import pairs_sheet
from bench.image_variations import DRAWN_AGAIN, IMAGE_VARIATIONS, png
from bench.lakeless_settings import lakeless_settings
from lib.captioning.caption_choice import PredictedCaption
from lib.captioning.image_captioning import CleanedImage, ImageCaptioner
from lib.errors import CorruptImageError
from lib.images.cleaning import clean_image, decode_png
from lib.molecules.drawing_batches import draw_batches
from lib.progress import show_progress
from lib.settings import Settings
from model.checkpoint import PRETRAINED

RESULTS = Path(__file__).parent / "results" / "ordinary.json"
CANDIDATES_AT_A_TIME = 32
MAX_CANDIDATES = 20  # times the drawings asked for


class Drawing(NamedTuple):
    """A drawing without wear and what it shows."""

    inchi: str
    pixels: np.ndarray  # (H, W) uint8, 0 ink, 255 paper


class Outcome(NamedTuple):
    """What became of one variation of all drawings."""

    num_exact: int
    num_rejected: int
    confidence_if_wrong: float  # mean; 0 if none is


def unworn_drawings(settings: Settings) -> Iterator[Drawing]:
    """Drawings without wear of molecules that no training saw, without end but for that of the SMILES file."""
    drawing = settings.drawing.model_copy(update={"only_unseen": True, "noise": 0.0})
    for batch in draw_batches(drawing):
        for drawn in batch.drawings:
            yield Drawing(drawn.inchi, decode_png(drawn.png))


def read(images: Sequence[bytes], captioner: ImageCaptioner, settings: Settings) -> list[PredictedCaption | None]:
    """The captions of images; None for those that cleaning rejects."""
    cleaned: dict[int, CleanedImage] = {}
    for index, image in enumerate(images):
        try:
            clean = clean_image(image, settings.cleaning)
            cleaned[index] = captioner.upright(clean.pixels, clean.rotation_deg, clean.larger)
        except CorruptImageError:
            continue
    captions = dict(zip(cleaned, captioner.caption(list(cleaned.values())), strict=True)) if cleaned else {}
    return [captions.get(index) for index in range(len(images))]


def drawings_that_are_read(
    candidates: Iterable[Drawing], num_drawings: int, captioner: ImageCaptioner, settings: Settings
) -> list[Drawing]:
    """The first drawings that the model reads exactly."""
    found: list[Drawing] = []
    tried: list[Drawing] = []
    for num_tried, candidate in enumerate(candidates, 1):
        tried.append(candidate)
        if len(tried) == CANDIDATES_AT_A_TIME:
            captions = read([png(one.pixels) for one in tried], captioner, settings)
            found += [one for one, caption in zip(tried, captions, strict=True) if _is_exact(caption, one)]
            tried = []
        if len(found) >= num_drawings or num_tried >= MAX_CANDIDATES * num_drawings:
            break
    return found[:num_drawings]


def variations(drawings: Sequence[Drawing]) -> Iterator[tuple[str, list[bytes]]]:
    """The name of each variation and the images it makes of the drawings."""
    for name, vary in IMAGE_VARIATIONS.items():
        yield name, [vary(drawing.pixels) for drawing in drawings]
    for name, draw in DRAWN_AGAIN.items():
        yield name, [draw(drawing.inchi) for drawing in drawings]


def outcome(captions: Sequence[PredictedCaption | None], drawings: Sequence[Drawing]) -> Outcome:
    """Count what was read exactly and what was rejected."""
    pairs = list(zip(captions, drawings, strict=True))
    wrong = [caption.confidence for caption, drawing in pairs if caption and not _is_exact(caption, drawing)]
    return Outcome(
        sum(_is_exact(*pair) for pair in pairs),
        sum(caption is None for caption in captions),
        float(np.mean(wrong)) if wrong else 0.0,
    )


def _is_exact(caption: PredictedCaption | None, drawing: Drawing) -> bool:
    return caption is not None and caption.caption == drawing.inchi


def measure(
    drawings: Sequence[Drawing], captioner: ImageCaptioner, settings: Settings, sheets: Path | None
) -> dict[str, Outcome]:
    """The outcome of every variation; a sheet of each, before | after, goes into the folder."""
    outcomes = {}
    with show_progress("ordinary images", len(IMAGE_VARIATIONS) + len(DRAWN_AGAIN), "variations") as line:
        for name, images in variations(drawings):
            outcomes[name] = outcome(read(images, captioner, settings), drawings)
            if sheets:
                sheets.mkdir(parents=True, exist_ok=True)
                words = "".join(letter if letter.isalnum() else "_" for letter in name)
                cv2.imwrite(str(sheets / f"{words}.png"), pairs_sheet(images[:4], settings.cleaning))
            line.advance(1)
    return outcomes


def show(outcomes: dict[str, Outcome], num_drawings: int, console: Console) -> None:
    """Print the table."""
    table = Table("drawings sent as", f"exact of {num_drawings}", "rejected", "confidence where wrong")
    for name, found in outcomes.items():
        confidence = f"{found.confidence_if_wrong:.2f}" if found.num_exact + found.num_rejected < num_drawings else ""
        table.add_row(name, str(found.num_exact), str(found.num_rejected), confidence)
    console.print(table)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=12, help="drawings to vary (default: %(default)s)")
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED / "molecules")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of each variation, before | after")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = lakeless_settings(arguments.overrides)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    captioner = ImageCaptioner(arguments.checkpoint, settings.prediction)
    drawings = drawings_that_are_read(unworn_drawings(settings), arguments.num_drawings, captioner, settings)
    outcomes = measure(drawings, captioner, settings, arguments.sheets)
    show(outcomes, len(drawings), Console(width=None if sys.stdout.isatty() else 120))
    results: dict[str, Any] = {"num_drawings": len(drawings), "model": arguments.checkpoint.name}
    results["variations"] = {name: found._asdict() for name, found in outcomes.items()}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
