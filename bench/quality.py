"""How well a model reads drawings of molecules that no training saw, beside controls that look at no picture."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from bench.osra import has_osra, read_with_osra
from lib.captioning.caption_choice import PredictedCaption
from lib.captioning.picture_captioning import PictureCaptioner, PredictionSettings
from lib.images.cleaning import CleaningSettings, clean_image, encode_png
from lib.images.wear_removal import mend_strokes, remove_specks
from lib.molecules.drawing import draw_molecule
from lib.molecules.drawing_batches import draw_batches
from lib.progress import show_progress
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED, load_provenance

RESULTS = Path(__file__).parent / "results" / "quality.json"
SIZES = (0, 15, 25, 35, 61)  # heavy atoms, lower bounds
PERCENTS = (5, 25, 50, 75, 95)
NUM_COMPARED = 500  # drawings read again without cleaning and at quarter turns
NUM_FOR_OSRA = 100


class Drawn(NamedTuple):
    """A drawing that no training saw."""

    image_id: str
    inchi: str
    pixels: np.ndarray
    num_atoms: int


def unseen_drawings(settings: Settings) -> Iterator[Drawn]:
    """Worn drawings of molecules kept from training, without end but for that of the SMILES file."""
    for batch in draw_batches(settings.drawing.model_copy(update={"only_unseen": True})):
        for drawn in batch.drawings:
            pixels = cv2.imdecode(np.frombuffer(drawn.png, np.uint8), cv2.IMREAD_GRAYSCALE)
            yield Drawn(drawn.image_id, drawn.inchi, pixels, len(drawn.layout.atom_x))


def scores(predicted: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Exact match, edit distance and similarity, means and percentiles, of captions with their references."""
    pairs = list(zip(predicted, references, strict=True))
    distances = np.array([Levenshtein.distance(caption, reference) for caption, reference in pairs])
    similarities = 1 - distances / np.array([max(map(len, pair)) for pair in pairs])

    def percentiles(values: np.ndarray) -> dict[str, float]:
        return {str(percent): float(np.percentile(values, percent)) for percent in PERCENTS}

    return {
        "count": len(pairs), "exact": float(np.mean(distances == 0)), "mean_edit_distance": float(distances.mean()),
        "similarity": float(similarities.mean()), "edit_distance_percentiles": percentiles(distances),
        "similarity_percentiles": percentiles(similarities),
    }


def controls(predicted: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Scores of the best constant caption (of 50 tried) and of the model's captions shuffled among the pictures."""
    order = np.random.default_rng(0).permutation(len(references))
    tried = [references[place] for place in order[:50]]
    constant = min(tried, key=lambda one: sum(Levenshtein.distance(one, other) for other in references[:300]))
    shuffled = [predicted[place - 1] for place in range(len(predicted))]
    return {
        "constant_caption": scores([constant] * len(references), references),
        "shuffled_pictures": scores(shuffled, references),
    }


class Reader:
    """A checkpoint that reads drawings in several ways, and the scores of each."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.results: dict[str, dict[str, Any]] = {}

    def read(
        self, name: str, drawings: list[Drawn], prediction: PredictionSettings, cleaning: CleaningSettings,
        num_turns: int = 0,
    ) -> list[PredictedCaption]:
        """Caption drawings, turned clockwise by quarters and cleaned, and note the scores under the name."""
        captioner = PictureCaptioner(self.checkpoint, prediction)
        turned = (np.ascontiguousarray(np.rot90(drawn.pixels, -num_turns)) for drawn in drawings)
        pictures = [clean_image(encode_png(pixels), cleaning).pixels for pixels in turned]
        predicted: list[PredictedCaption] = []
        started = time.monotonic()
        with show_progress(name, len(pictures), "drawings") as line:
            for start in range(0, len(pictures), prediction.num_images_in_buffer):
                predicted += captioner.caption(pictures[start : start + prediction.num_images_in_buffer])
                line.update(len(predicted))
        self.note(name, predicted, drawings, time.monotonic() - started)
        return predicted

    def note(self, name: str, predicted: list[PredictedCaption], drawings: list[Drawn], seconds: float | None) -> None:
        """Note the scores of captions."""
        captions, references = [one.caption for one in predicted], [drawn.inchi for drawn in drawings]
        self.results[name] = scores(captions, references) | {
            "valid": float(np.mean([one.is_valid for one in predicted])), "controls": controls(captions, references),
            "pictures_per_second": len(drawings) / seconds if seconds else None,
        }


def measure(drawings: list[Drawn], settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Every figure of this bench.

    All drawings are read greedily, by beam, by beam in all the views that the settings name, and so with candidates
    drawn again; the first NUM_COMPARED in this last way also without cleaning and at quarter turns.
    """
    reader, beam, cleaning = Reader(checkpoint), settings.prediction, settings.cleaning
    votes = beam.model_copy(update={"is_redrawn": False})
    once = votes.model_copy(update={"turns_deg": (0,), "scales": (1.0,)})
    without_cleaning = cleaning.model_copy(update={"speck_max_px": 0, "mend_reach_px": 0})
    some = drawings[:NUM_COMPARED]
    reader.read("greedy", drawings, once.model_copy(update={"num_beams": 1}), cleaning)
    reader.read("beam, read once", drawings, once, cleaning)
    reader.read("beam, votes", drawings, votes, cleaning)
    predicted = reader.read("beam", drawings, beam, cleaning)
    reader.note("beam, the first", predicted[: len(some)], some, None)
    reader.read("beam, the first, not cleaned", some, beam, without_cleaning)
    for num_turns in (1, 2, 3):
        reader.read(f"beam, the first, turned by {90 * num_turns} degrees", some, beam, cleaning, num_turns)
    molecules = Path(settings.drawing.smiles_file).name if settings.drawing.smiles_file else "RDKit's own"
    about = {
        "num_drawings": len(drawings), "molecules": molecules, "noise": settings.drawing.noise,
        "model": checkpoint.name, "drawings_seen": load_provenance(checkpoint).get("drawings_seen"),
    }
    return about | reader.results | {
        "controls": reader.results["beam"]["controls"],
        "by_heavy_atoms": by_heavy_atoms(predicted, drawings),
        "by_confidence": by_confidence(predicted, drawings),
        "osra": osra_scores(drawings[:NUM_FOR_OSRA], settings),
    }


def by_heavy_atoms(predicted: list[PredictedCaption], drawings: list[Drawn]) -> dict[str, Any]:
    """Scores of the drawings of each class of size that there are any of."""
    pairs = list(zip(predicted, drawings, strict=True))
    found = {}
    for low, end in pairwise(SIZES):
        chosen = [(one.caption, drawn.inchi) for one, drawn in pairs if low <= drawn.num_atoms < end]
        if chosen:
            found[f"{low} to {end - 1}"] = scores(*zip(*chosen, strict=True))
    return found


def by_confidence(predicted: list[PredictedCaption], drawings: list[Drawn]) -> list[dict[str, float]]:
    """Mean confidence and the share that is exactly right, of each tenth of the captions by confidence."""
    pairs = zip(predicted, drawings, strict=True)
    table = sorted((one.confidence, one.caption == drawn.inchi) for one, drawn in pairs)
    return [
        {"confidence": float(np.mean([row[0] for row in tenth])), "exact": float(np.mean([row[1] for row in tenth]))}
        for tenth in np.array_split(np.array(table, dtype=float), 10) if len(tenth)
    ]


def osra_scores(drawings: list[Drawn], settings: Settings) -> dict[str, Any] | None:
    """Scores of osra on drawings as they are, cleaned at their full size, and without wear; None if it is not there."""
    if not has_osra():
        return None
    cleaning, unworn = settings.cleaning, settings.drawing.model_copy(update={"noise": 0.0})
    ways = {
        "as they are": [drawn.pixels for drawn in drawings],
        "cleaned": [
            mend_strokes(remove_specks(drawn.pixels, cleaning.speck_max_px)[0], cleaning.mend_reach_px)
            for drawn in drawings
        ],
        "without wear": [
            draw_molecule(drawn.inchi, unworn, np.random.default_rng(int(drawn.image_id, 16))).pixels
            for drawn in drawings
        ],
    }
    found = {}
    with show_progress("osra", len(ways) * len(drawings), "drawings") as line:
        for name, pictures in ways.items():
            found[name] = scores(read_with_osra(pictures), [drawn.inchi for drawn in drawings])
            line.advance(len(pictures))
    return found


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    percents = "/".join(map(str, PERCENTS))
    table = Table(
        "captions by", "pictures", "exact", "mean distance", f"at {percents} %", "similarity", f"at {percents} %",
        "valid", "pictures/s",
    )
    lines = {name: row for name, row in results.items() if isinstance(row, dict) and "exact" in row}
    lines |= {f"control: {name.replace('_', ' ')}": row for name, row in results["controls"].items()}
    lines |= {f"osra, {name}": row for name, row in (results["osra"] or {}).items()}
    for name, row in lines.items():
        table.add_row(
            name, f"{row['count']:,}", f"{row['exact']:.3f}", f"{row['mean_edit_distance']:.2f}",
            "/".join(f"{value:.0f}" for value in row["edit_distance_percentiles"].values()), f"{row['similarity']:.3f}",
            "/".join(f"{value:.2f}" for value in row["similarity_percentiles"].values()),
            f"{row['valid']:.3f}" if "valid" in row else "",
            f"{row['pictures_per_second']:.1f}" if row.get("pictures_per_second") else "",
        )
    console.print(table)
    if results["osra"] is None:
        console.print("osra is not installed, so it was not measured: apt-get install osra")
    sizes = Table("heavy atoms", "pictures", "exact", "mean distance", "similarity")
    for size, row in results["by_heavy_atoms"].items():
        measures = (f"{row['exact']:.3f}", f"{row['mean_edit_distance']:.2f}", f"{row['similarity']:.3f}")
        sizes.add_row(size, f"{row['count']:,}", *measures)
    console.print(sizes)
    tenths = Table("confidence, mean of a tenth of the pictures", "exact")
    for row in results["by_confidence"]:
        tenths.add_row(f"{row['confidence']:.3f}", f"{row['exact']:.3f}")
    console.print(tenths)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=2000)
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED / "molecules")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = load_settings("molecules", "local", ["landing.path=unused", "storage.root=unused", *arguments.overrides])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    drawings: list[Drawn] = []
    with show_progress("draw", arguments.num_drawings, "drawings") as line:
        for drawn in islice(unseen_drawings(settings), arguments.num_drawings):
            drawings.append(drawn)
            line.update(len(drawings))
    results = measure(drawings, settings, arguments.checkpoint)
    show(results, Console(width=None if sys.stdout.isatty() else 160))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
