"""What corrections are worth: drawings in a style that the model reads badly, some reviewed, and others of that style.

`python -m bench.teaching --output FOLDER [--num-taught 200] [--num-others 150] [--seconds 240]`

The letters of the drawings are small beside their bonds. The reviewer is played by the
labels: captions that are right are accepted, the others corrected.
"""

import argparse
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from bench.quality_sets import unseen_molecules
from lib.errors import NotationError
from lib.lake.delta_rows import DeltaRows
from lib.molecules.drawing_batches import id_of_drawing
from lib.molecules.free_drawing import draw_freely
from lib.molecules.free_style import FreeStyle, free_style
from lib.reviewing.review_log import Review, ReviewLog
from lib.settings import Settings, load_settings

BOND_PX = 36.0
STYLE: dict[str, Any] = {
    "layout": "indigo",
    "turn_deg": 0.0,
    "is_mirrored": False,
    "stroke_px": 1.4,
    "font": "DejaVuSans.ttf",
    "letter_height": 0.16,
    "small_letters": 0.8,
    "has_circles": False,
    "wedge": "solid",
    "writes_methyl": False,
    "writes_chains": False,
    "abbreviated_fraction": 0.0,
    "has_amides": False,
    "beside": "",
    "numbered_fraction": 0.0,
}
SPLITS = {"validation": "validation.txt", "test": "test.txt"}
REVIEWER = "the labels"
BEFORE, AFTER = "before", "after"


def style(rng: np.random.Generator) -> FreeStyle:
    """The style of all drawings; hashes and spacings differ a little."""
    return free_style((BOND_PX, BOND_PX), rng)._replace(**STYLE)


def drawn(settings: Settings) -> Iterator[tuple[str, str, np.ndarray]]:
    """Id, InChI and pixels of molecules that no training saw."""
    for inchi in unseen_molecules(settings):
        image_id = id_of_drawing(inchi, settings.drawing.seed)
        rng = np.random.default_rng(int(image_id, 16))
        try:
            yield image_id, inchi, draw_freely(inchi, style(rng), rng).pixels
        except NotationError:
            continue


def land(zone: Path, settings: Settings, num_taught: int, num_others: int) -> dict[str, str]:
    """Write images, captions of the others alone, a third of which validate; return the InChI of each to be taught."""
    zone.mkdir(parents=True)
    taught, captions = {}, ["image_id,InChI"]
    splits: dict[str, list[str]] = {name: [] for name in SPLITS}
    for number, (image_id, inchi, pixels) in enumerate(islice(drawn(settings), num_taught + num_others)):
        cv2.imwrite(str(zone / f"{image_id}.png"), pixels)
        if number < num_taught:
            taught[image_id] = inchi
        else:
            captions.append(f'{image_id},"{inchi}"')
            splits["validation" if number % 3 == 0 else "test"].append(image_id)
    (zone / "captions.csv").write_text("\n".join(captions) + "\n")
    for name, file in SPLITS.items():
        (zone / file).write_text("\n".join(splits[name]) + "\n")
    return taught


def run_pipeline(lake: Path, zone: Path, *overrides: str) -> None:
    """All jobs, as a user would run them."""
    lists = ", ".join(f"{name}: {file}" for name, file in SPLITS.items())
    # Reviewed images are in no list: by their ids some would fall into the test split, which is not learned.
    fixed = ("captions.test_fraction=0", "prediction.scales=[1.0]", f"landing.split_files={{{lists}}}")
    given = (f"storage.root={lake}", f"landing.path={zone}", *fixed, *overrides)
    command = [sys.executable, "-m", "jobs.run_pipeline", *(part for one in given for part in ("--set", one))]
    subprocess.run(command, check=True)


def review(lake: Path, taught: dict[str, str]) -> int:
    """Accept the right captions of these images and correct the others; return how many were right."""
    rows = DeltaRows(str(lake))
    log, num_right = ReviewLog(rows), 0
    columns = dict.fromkeys(("image_id", "model_version", "caption"), pa.string())
    for row in rows.read("caption_predictions", columns).to_pylist():
        if (right := taught.get(row["image_id"])) is None:
            continue
        is_right = row["caption"] == right
        num_right += is_right
        verdict, rating, corrected = ("accept", 5, None) if is_right else ("correct", 1, right)
        log.append(
            Review(
                str(uuid.uuid4()),
                row["image_id"],
                row["model_version"],
                row["caption"],
                verdict,
                rating,
                corrected,
                REVIEWER,
                None,
                datetime.now(UTC),
            )
        )
    return num_right


def scores(lake: Path) -> dict[str, float]:
    """The newest model's scores on the test split."""
    kinds = {"split": pa.string(), "predictor": pa.string(), "evaluated_at": pa.timestamp("us", tz="UTC")}
    names = ("num_images", "exact_match", "mean_edit_distance", "mean_similarity", "mean_confidence")
    rows = DeltaRows(str(lake)).read("evaluations", kinds | dict.fromkeys(names, pa.float64())).to_pylist()
    of_test = [row for row in rows if (row["split"], row["predictor"]) == ("test", "model")]
    newest = max(of_test, key=lambda row: row["evaluated_at"])
    return {name: newest[name] for name in names}


def main(argv: list[str] | None = None) -> None:
    """Draw, caption, review, train further, caption again; print both scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a folder, which is emptied")
    parser.add_argument("--num-taught", type=int, default=200, help="images whose captions are reviewed")
    parser.add_argument("--num-others", type=int, default=150, help="images that are scored; a third of them validates")
    parser.add_argument("--seconds", type=int, default=240, help="of training")
    arguments = parser.parse_args(argv)
    output = arguments.output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    lake, zone = output / "lake", output / "landing"
    settings = load_settings("molecules", "local", [f"storage.root={lake}", f"landing.path={zone}", "drawing.seed=7"])
    taught = land(zone, settings, arguments.num_taught, arguments.num_others)
    run_pipeline(lake, zone, "prediction.model_version=pretrained", "cluster.train_when=never")
    found = {BEFORE: scores(lake)}
    num_right = review(lake, taught)
    print(f"reviewed: {num_right} captions accepted, {len(taught) - num_right} corrected", flush=True)
    run_pipeline(
        lake,
        zone,
        "captions.reviewed=instead",
        "training.num_epochs=1000",
        f"training.max_train_seconds={arguments.seconds}",
    )
    found[AFTER] = scores(lake)
    print(f"\n{found[AFTER]['num_images']:.0f} other images of the style, taught with {len(taught)} reviews:")
    for name in list(found[AFTER])[1:]:
        print(f"  {name:20} {BEFORE} {found[BEFORE][name]:7.3f}   {AFTER} {found[AFTER][name]:7.3f}")


if __name__ == "__main__":
    main()
