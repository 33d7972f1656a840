"""How well a model reads drawings of molecules that no training saw, beside controls that look at no picture."""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
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
from lib.image_cleaning import clean_image, encode_png
from lib.picture_captioning import PictureCaptioner, PredictedCaption
from lib.settings import Settings, load_settings
from model.checkpoint import PRETRAINED

RESULTS = Path(__file__).parent / "results" / "quality.json"
SIZES = (0, 15, 25, 35, 61)  # heavy atoms, lower bounds
NUM_TURNED = 500  # drawings read at each quarter turn


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


def scores(captions: Sequence[str], references: Sequence[str], is_valid: Sequence[bool] | None = None) -> dict[str, Any]:
    """Exact match, edit distance and similarity, means and percentiles, of captions with their references."""
    pairs = list(zip(captions, references, strict=True))
    distances = np.array([Levenshtein.distance(caption, reference) for caption, reference in pairs])
    longest = np.array([max(len(caption), len(reference)) for caption, reference in pairs])
    similarities = 1 - distances / longest
    found: dict[str, Any] = {
        "count": len(pairs), "exact": float(np.mean(distances == 0)), "mean_edit_distance": float(distances.mean()),
        "similarity": float(similarities.mean()),
        "edit_distance_percentiles": dict(zip(("5", "25", "50", "75", "95"), np.percentile(distances, (5, 25, 50, 75, 95)).tolist(), strict=True)),
        "similarity_percentiles": dict(zip(("5", "25", "50", "75", "95"), np.percentile(similarities, (5, 25, 50, 75, 95)).tolist(), strict=True)),
    }
    return found | ({"valid": float(np.mean(is_valid))} if is_valid is not None else {})


def controls(captions: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Scores of the best constant caption (of 50 tried) and of the model's captions shuffled among the pictures."""
    rng = np.random.default_rng(0)
    tried = [references[place] for place in rng.permutation(len(references))[:50]]
    constant = min(tried, key=lambda one: sum(Levenshtein.distance(one, other) for other in references[:300]))
    shuffled = np.roll(np.array(captions, object), 1).tolist()
    return {"constant_caption": scores([constant] * len(references), references), "shuffled_pictures": scores(shuffled, references)}


def measure(drawings: list[Drawn], settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Every figure of this bench."""
    console = Console(stderr=True)
    results: dict[str, Any] = {"count": len(drawings), "noise": settings.drawing.noise, "checkpoint": checkpoint.name}

    def captioner(num_beams: int) -> PictureCaptioner:
        return PictureCaptioner(checkpoint, settings.prediction.model_copy(update={"num_beams": num_beams}))

    def read(name: str, reader: PictureCaptioner, chosen: list[Drawn], prepare: Callable[[np.ndarray], np.ndarray]) -> list[PredictedCaption]:
        started = time.monotonic()
        predicted = reader.caption([prepare(drawn.pixels) for drawn in chosen])
        results[name] = scores([one.caption for one in predicted], [drawn.inchi for drawn in chosen], [one.is_valid for one in predicted])
        results[name]["pictures_per_second"] = len(chosen) / (time.monotonic() - started)
        console.print(f"{name}: exact {results[name]['exact']:.3f}, mean edit distance {results[name]['mean_edit_distance']:.2f}")
        return predicted

    def clean(pixels: np.ndarray) -> np.ndarray:
        return clean_image(encode_png(pixels), settings.cleaning).pixels

    only_fitted = settings.cleaning.model_copy(update={"speck_max_px": 0, "mend_reach_px": 0})

    def fit(pixels: np.ndarray) -> np.ndarray:
        return clean_image(encode_png(pixels), only_fitted).pixels

    greedy, beam = captioner(1), captioner(settings.prediction.num_beams)
    read("greedy", greedy, drawings, clean)
    predicted = read("beam", beam, drawings, clean)
    read("beam, not cleaned", beam, drawings[:NUM_TURNED], fit)
    for turns in range(4):
        def turned(pixels: np.ndarray, turns: int = turns) -> np.ndarray:
            return clean(np.ascontiguousarray(np.rot90(pixels, -turns)))

        read(f"beam, turned by {90 * turns}", beam, drawings[:NUM_TURNED], turned)
    results["controls"] = controls([one.caption for one in predicted], [drawn.inchi for drawn in drawings])
    table = pd.DataFrame({
        "num_atoms": [drawn.num_atoms for drawn in drawings],
        "confidence": [one.confidence for one in predicted],
        "is_exact": [one.caption == drawn.inchi for one, drawn in zip(predicted, drawings, strict=True)],
    })
    by_size = table.groupby(pd.cut(table["num_atoms"], SIZES, right=False), observed=True)["is_exact"]
    results["exact_by_heavy_atoms"] = {f"{size.left} to {size.right - 1}": [int(group.size), float(group.mean())] for size, group in by_size}
    by_confidence = table.groupby(pd.qcut(table["confidence"], 10, duplicates="drop"), observed=True)
    results["exact_by_confidence"] = [[float(group["confidence"].mean()), float(group["is_exact"].mean())] for _, group in by_confidence]
    return results


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    table = Table("captions by", "pictures", "exact", "mean distance", "similarity", "valid", "pictures/s")
    lines = {name: row for name, row in results.items() if isinstance(row, dict) and "exact" in row}
    for name, row in (lines | results["controls"]).items():
        table.add_row(
            name, f"{row['count']:,}", f"{row['exact']:.3f}", f"{row['mean_edit_distance']:.2f}", f"{row['similarity']:.3f}",
            f"{row['valid']:.3f}" if "valid" in row else "", f"{row['pictures_per_second']:.1f}" if "valid" in row else "",
        )
    console.print(table)
    sizes = Table("heavy atoms", "pictures", "exact")
    for size, (count, exact) in results["exact_by_heavy_atoms"].items():
        sizes.add_row(size, f"{count:,}", f"{exact:.3f}")
    console.print(sizes)
    deciles = Table("mean confidence of each tenth", "exact")
    for confidence, exact in results["exact_by_confidence"]:
        deciles.add_row(f"{confidence:.3f}", f"{exact:.3f}")
    console.print(deciles)


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
