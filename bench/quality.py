"""How well a model reads images of molecules that no training saw, beside controls that look at no image."""

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from rapidfuzz.distance import Levenshtein
from rich.console import Console
from rich.table import Table

from bench.lakeless_settings import lakeless_settings
from bench.osra import has_osra, read_with_osra
from bench.quality_sets import DRAWERS, Sample, drawn_samples, plain_samples, scanned_samples
from lib.captioning.caption_choice import PredictedCaption
from lib.captioning.image_captioning import ImageCaptioner
from lib.captions.predictors import CONSTANT_CAPTION, SHUFFLED_PICTURES
from lib.errors import CorruptImageError
from lib.images.cleaning import CleanImage, clean_image, decode_png
from lib.images.wear_removal import mend_strokes, remove_specks
from lib.lake.schemas import PERCENTS
from lib.molecules.drawing import draw_molecule
from lib.molecules.smiles import read_inchi
from lib.progress import show_progress
from lib.sections.captioning import PredictionSettings
from lib.sections.images import CleaningSettings
from lib.settings import Settings
from model.checkpoint import PRETRAINED, load_provenance

RESULTS = Path(__file__).parent / "results" / "quality.json"
SIZES = (0, 15, 25, 35, 61)  # heavy atoms, lower bounds
NUM_FOR_OSRA = 100
NO_CAPTION = PredictedCaption("", 0.0, False, [])
STEREO_LAYERS = ("b", "t", "m", "s")  # of an InChI, by the letters they begin with


def scores(predicted: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Exact match, edit distance and similarity, means and percentiles, of captions with their references."""
    pairs = list(zip(predicted, references, strict=True))
    exact = np.array([caption == reference for caption, reference in pairs])
    exact_without_stereo = [without_stereo(caption) == without_stereo(reference) for caption, reference in pairs]
    distances = np.array([Levenshtein.distance(caption, reference) for caption, reference in pairs])
    similarities = 1 - distances / np.array([max(map(len, pair)) for pair in pairs])

    def percentiles(values: np.ndarray) -> dict[str, float]:
        return {str(percent): float(np.percentile(values, percent)) for percent in PERCENTS}

    return {
        "count": len(pairs),
        "exact": float(exact.mean()),
        "standard_error": float(np.sqrt(exact.mean() * (1 - exact.mean()) / len(pairs))),
        "exact_without_stereo": float(np.mean(exact_without_stereo)),
        "mean_edit_distance": float(distances.mean()),
        "similarity": float(similarities.mean()),
        "edit_distance_percentiles": percentiles(distances),
        "similarity_percentiles": percentiles(similarities),
    }


def without_stereo(inchi: str) -> str:
    """An InChI without its layers of stereo."""
    return "/".join(layer for layer in inchi.split("/") if not layer.startswith(STEREO_LAYERS))


def controls(predicted: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    """Scores of the best constant caption (of 50 tried) and of the model's captions shuffled among the images."""
    order = np.random.default_rng(0).permutation(len(references))
    tried = [references[index] for index in order[:50]]
    constant = min(tried, key=lambda one: sum(Levenshtein.distance(one, other) for other in references[:300]))
    shuffled = [predicted[index - 1] for index in range(len(predicted))]
    return {
        CONSTANT_CAPTION: scores([constant] * len(references), references),
        SHUFFLED_PICTURES: scores(shuffled, references),
    }


class Reader:
    """A checkpoint that reads images in several ways, and the scores of each."""

    def __init__(self, checkpoint: Path, cleaning: CleaningSettings) -> None:
        self.checkpoint, self.cleaning = checkpoint, cleaning
        self.results: dict[str, dict[str, Any]] = {}

    def read(self, name: str, samples: Sequence[Sample], prediction: PredictionSettings) -> list[PredictedCaption]:
        """Clean and caption images, and note the scores under the name. An image that is rejected has no caption."""
        captioner = ImageCaptioner(self.checkpoint, prediction)
        cleaned = {
            index: captioner.upright(clean.pixels, clean.rotation_deg, clean.larger)
            for index, sample in enumerate(samples)
            if (clean := self._cleaned(sample)) is not None
        }
        found: dict[int, PredictedCaption] = {}
        started, step = time.monotonic(), prediction.num_images_in_buffer
        with show_progress(name, len(samples), "images") as line:
            for indices in (list(cleaned)[start : start + step] for start in range(0, len(cleaned), step)):
                found |= zip(indices, captioner.caption([cleaned[index] for index in indices]), strict=True)
                line.update(len(found))
        predicted = [found.get(index, NO_CAPTION) for index in range(len(samples))]
        self.results[name] = described(predicted, samples) | {
            "num_rejected": len(samples) - len(cleaned),
            "images_per_second": len(samples) / (time.monotonic() - started),
        }
        return predicted

    def _cleaned(self, sample: Sample) -> CleanImage | None:
        try:
            return clean_image(sample.image, self.cleaning)
        except CorruptImageError:
            return None


def described(predicted: list[PredictedCaption], samples: Sequence[Sample]) -> dict[str, Any]:
    """The scores of captions, with controls, by confidence and by stereo."""
    captions, references = [one.caption for one in predicted], [sample.inchi for sample in samples]
    by_stereo = {
        name: scores(*zip(*chosen, strict=True))
        for name, has_stereo in (("with stereo", True), ("without stereo", False))
        if (
            chosen := [
                (caption, sample.inchi)
                for caption, sample in zip(captions, samples, strict=True)
                if sample.has_stereo == has_stereo
            ]
        )
    }
    return scores(captions, references) | {
        "valid": float(np.mean([one.is_valid for one in predicted])),
        "controls": controls(captions, references),
        "by_stereo": by_stereo,
        "by_confidence": by_confidence(predicted, samples),
    }


def measure(sets: dict[str, list[Sample]], settings: Settings, checkpoint: Path) -> dict[str, Any]:
    """Every figure of this bench.

    The first set is read greedily, by beam, by beam in all the views that the settings name, and so with candidates
    drawn again; the others in this last way, the default.
    """
    reader, beam = Reader(checkpoint, settings.cleaning), settings.prediction
    votes = beam.model_copy(update={"is_redrawn": False})
    once = votes.model_copy(update={"turns_deg": (0,), "scales": (1.0,)})
    headline, *others = sets
    samples = sets[headline]
    reader.read(f"{headline}: greedy", samples, once.model_copy(update={"num_beams": 1}))
    reader.read(f"{headline}: beam, read once", samples, once)
    reader.read(f"{headline}: beam, votes", samples, votes)
    predicted = reader.read(headline, samples, beam)
    for name in others:
        reader.read(name, sets[name], beam)
    return {
        "molecules": Path(settings.drawing.smiles_file).name if settings.drawing.smiles_file else "RDKit's own",
        "noise": settings.drawing.noise,
        "model": checkpoint.name,
        "drawings_seen": load_provenance(checkpoint).get("drawings_seen"),
        "sets": reader.results,
        "by_heavy_atoms": by_heavy_atoms(predicted, samples),
        "osra": osra_scores(samples[:NUM_FOR_OSRA], settings),
    }


def by_heavy_atoms(predicted: list[PredictedCaption], samples: Sequence[Sample]) -> dict[str, Any]:
    """Scores of the images of each class of size that there are any of."""
    sizes = [read_inchi(sample.inchi).GetNumHeavyAtoms() for sample in samples]
    found = {}
    for low, end in pairwise(SIZES):
        chosen = [
            (one.caption, sample.inchi)
            for one, sample, size in zip(predicted, samples, sizes, strict=True)
            if low <= size < end
        ]
        if chosen:
            found[f"{low} to {end - 1}"] = scores(*zip(*chosen, strict=True))
    return found


def by_confidence(predicted: list[PredictedCaption], samples: Sequence[Sample]) -> list[dict[str, float]]:
    """Mean confidence and the fraction that is exactly right, of each tenth of the captions by confidence."""
    pairs = zip(predicted, samples, strict=True)
    table = sorted((one.confidence, one.caption == sample.inchi) for one, sample in pairs)
    return [
        {"confidence": float(np.mean([row[0] for row in tenth])), "exact": float(np.mean([row[1] for row in tenth]))}
        for tenth in np.array_split(np.array(table, dtype=float), 10)
        if len(tenth)
    ]


def osra_scores(samples: Sequence[Sample], settings: Settings) -> dict[str, Any] | None:
    """Scores of osra on images as they are, cleaned at their full size, and without wear; None if it is not there."""
    if not has_osra():
        return None
    cleaning, unworn = settings.cleaning, settings.drawing.model_copy(update={"noise": 0.0})
    worn = [decode_png(sample.image) for sample in samples]
    ways: dict[str, Sequence[np.ndarray]] = {
        "as they are": worn,
        "cleaned": [
            mend_strokes(remove_specks(pixels, cleaning.speck_max_px)[0], cleaning.mend_reach_px) for pixels in worn
        ],
        "without wear": [
            draw_molecule(sample.inchi, unworn, np.random.default_rng(int(sample.image_id, 16))).pixels
            for sample in samples
        ],
    }
    found = {}
    with show_progress("osra", len(ways) * len(samples), "drawings") as line:
        for name, images in ways.items():
            found[name] = scores(read_with_osra(images), [sample.inchi for sample in samples])
            line.advance(len(images))
    return found


def show(results: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    table = Table(
        "images",
        "number",
        "exact",
        "without stereo layers",
        "of those with stereo",
        "mean distance",
        "similarity",
        "valid",
        "confidence",
        "off by at most",
        "images/s",
    )
    lines = dict(results["sets"])
    headline = next(name for name in lines if ":" not in name)
    lines |= {f"control: {name.replace('_', ' ')}": row for name, row in lines[headline]["controls"].items()}
    lines |= {f"osra, {name}": row for name, row in (results["osra"] or {}).items()}
    for name, row in lines.items():
        tenths = row.get("by_confidence", [])
        with_stereo = row.get("by_stereo", {}).get("with stereo")
        table.add_row(
            name,
            f"{row['count']:,}",
            f"{row['exact']:.3f} ± {row['standard_error']:.3f}",
            f"{row['exact_without_stereo']:.3f}",
            f"{with_stereo['exact']:.3f}" if with_stereo else "",
            f"{row['mean_edit_distance']:.2f}",
            f"{row['similarity']:.3f}",
            f"{row['valid']:.3f}" if "valid" in row else "",
            f"{np.mean([one['confidence'] for one in tenths]):.2f}" if tenths else "",
            f"{max(abs(one['confidence'] - one['exact']) for one in tenths):.2f}" if tenths else "",
            f"{row['images_per_second']:.1f}" if row.get("images_per_second") else "",
        )
    console.print(table)
    if results["osra"] is None:
        console.print("osra is not installed, so it was not measured: apt-get install osra")
    sizes = Table("heavy atoms", "images", "exact", "mean distance", "similarity")
    for size, row in results["by_heavy_atoms"].items():
        measures = (f"{row['exact']:.3f}", f"{row['mean_edit_distance']:.2f}", f"{row['similarity']:.3f}")
        sizes.add_row(size, f"{row['count']:,}", *measures)
    console.print(sizes)
    confidences = Table("confidence, mean of a tenth of the images", "exact")
    for row in results["sets"][headline]["by_confidence"]:
        confidences.add_row(f"{row['confidence']:.3f}", f"{row['exact']:.3f}")
    console.print(confidences)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=2000, help="drawings like the collection's")
    parser.add_argument("--num-others", type=int, default=300, help="drawings by each other drawer")
    parser.add_argument("--scans", type=Path, action="append", default=[], help="folder of images with a labels.csv")
    parser.add_argument("--checkpoint", type=Path, default=PRETRAINED / "molecules")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = lakeless_settings(arguments.overrides)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sets: dict[str, list[Sample]] = {}
    for name, drawer in DRAWERS.items():
        number = arguments.num_others if sets else arguments.num_drawings
        with show_progress(f"draw {name}", number, "drawings") as line:
            sets[name] = []
            for sample in islice(drawn_samples(settings, drawer), number):
                sets[name].append(sample)
                line.update(len(sets[name]))
    sets["MolToImage"] = list(islice(plain_samples(settings), arguments.num_others))
    sets |= {f"scans {folder.name}": scanned_samples(folder) for folder in arguments.scans}
    results = measure({name: samples for name, samples in sets.items() if samples}, settings, arguments.checkpoint)
    show(results, Console(width=None if sys.stdout.isatty() else 180))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
