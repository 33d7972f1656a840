"""How well a model reads drawings of molecules that no training saw, beside controls that look at no picture."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from lib.drawing_batches import draw_batches
from lib.image_cleaning import CleaningSettings, clean_image, encode_png
from lib.picture_captioning import PictureCaptioner, PredictedCaption
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED

RESULTS = Path(__file__).parent / "results" / "quality.json"
SIZES = (0, 15, 25, 35, 61)  # heavy atoms, lower bounds
PERCENTS = (5, 25, 50, 75, 95)
NUM_IN_COMPARISONS = 500  # drawings read at each quarter turn, and without cleaning


class Drawn(NamedTuple):
    """A drawing that no training saw."""

    inchi: str
    pixels: np.ndarray
    num_atoms: int


def unseen_drawings(settings: Settings) -> Iterator[Drawn]:
    """Worn drawings of molecules kept from training, without end but for that of the SMILES file."""
    for batch in draw_batches(settings.drawing.model_copy(update={"only_unseen": True})):
        for drawn in batch.drawings:
            pixels = cv2.imdecode(np.frombuffer(drawn.png, np.uint8), cv2.IMREAD_GRAYSCALE)
            yield Drawn(drawn.inchi, pixels, len(drawn.layout.atom_x))


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


def measure(drawings: list[Drawn], settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Every figure of this bench."""
    console = Console(stderr=True)
    results: dict[str, Any] = {"num_drawings": len(drawings), "noise": settings.drawing.noise}
    without_cleaning = settings.cleaning.model_copy(update={"speck_max_px": 0, "mend_reach_px": 0})

    def read(
        name: str, num_beams: int, chosen: list[Drawn], cleaning: CleaningSettings = settings.cleaning,
        num_turns: int = 0,
    ) -> list[PredictedCaption]:
        """Caption drawings, turned by quarters and cleaned, and note the scores."""
        captioner = PictureCaptioner(checkpoint, settings.prediction.model_copy(update={"num_beams": num_beams}))
        turned = (np.ascontiguousarray(np.rot90(drawn.pixels, -num_turns)) for drawn in chosen)
        pictures = [clean_image(encode_png(pixels), cleaning).pixels for pixels in turned]
        started = time.monotonic()
        predicted = captioner.caption(pictures)
        seconds = time.monotonic() - started
        results[name] = scores([one.caption for one in predicted], [drawn.inchi for drawn in chosen]) | {
            "valid": float(np.mean([one.is_valid for one in predicted])), "pictures_per_second": len(chosen) / seconds,
        }
        exact, distance = results[name]["exact"], results[name]["mean_edit_distance"]
        console.print(f"{name}: exact {exact:.3f}, mean edit distance {distance:.2f}, {seconds:.0f} s")
        return predicted

    num_beams, some = settings.prediction.num_beams, drawings[:NUM_IN_COMPARISONS]
    read("greedy", 1, drawings)
    predicted = read("beam", num_beams, drawings)
    read("beam, not cleaned", num_beams, some, without_cleaning)
    for num_turns in range(4):
        read(f"beam, turned by {90 * num_turns} degrees", num_beams, some, num_turns=num_turns)
    results["controls"] = controls([one.caption for one in predicted], [drawn.inchi for drawn in drawings])
    table = pd.DataFrame({
        "num_atoms": [drawn.num_atoms for drawn in drawings],
        "confidence": [one.confidence for one in predicted],
        "is_exact": [one.caption == drawn.inchi for one, drawn in zip(predicted, drawings, strict=True)],
    })
    results["exact_by_heavy_atoms"] = {
        f"{size.left} to {size.right - 1}": {"count": len(group), "exact": float(group["is_exact"].mean())}
        for size, group in table.groupby(pd.cut(table["num_atoms"], SIZES, right=False), observed=True)
    }
    results["exact_by_confidence"] = [
        {"confidence": float(group["confidence"].mean()), "exact": float(group["is_exact"].mean())}
        for _, group in table.groupby(pd.qcut(table["confidence"].rank(method="first"), 10), observed=True)
    ]
    return results


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    table = Table("captions by", "pictures", "exact", "mean distance", "similarity", "valid", "pictures/s")
    lines = {name: row for name, row in results.items() if isinstance(row, dict) and "exact" in row}
    for name, row in (lines | results["controls"]).items():
        looked = (f"{row['valid']:.3f}", f"{row['pictures_per_second']:.1f}") if "valid" in row else ("", "")
        measures = (f"{row['exact']:.3f}", f"{row['mean_edit_distance']:.2f}", f"{row['similarity']:.3f}")
        table.add_row(name, f"{row['count']:,}", *measures, *looked)
    console.print(table)
    sizes = Table("heavy atoms", "pictures", "exact")
    for size, row in results["exact_by_heavy_atoms"].items():
        sizes.add_row(size, f"{row['count']:,}", f"{row['exact']:.3f}")
    console.print(sizes)
    tenths = Table("confidence, mean of a tenth of the pictures", "exact")
    for row in results["exact_by_confidence"]:
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
    drawings = list(islice(unseen_drawings(settings), arguments.num_drawings))
    results = measure(drawings, settings, arguments.checkpoint)
    show(results, Console())
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
