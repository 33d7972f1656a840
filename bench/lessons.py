"""What each notation and each loss is worth: one network, untrained each time, taught the same drawings.

`python -m bench.lessons [--num-drawings 100000]`

A slim network and small molecules, which are learned soonest: before a network reads, all that is compared is how soon
it writes captions without regard to the image (LOG.md). An hour and a half on two cores that do not multiply in bf16.
A caption is right if it is of the same molecule, in whatever order it is written. Losses are given per drawing, not per
token: however a notation cuts a molecule up, it says the same thing.
"""

import argparse
import json
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rich.console import Console
from rich.table import Table

from bench.lakeless_settings import lakeless_settings
from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.errors import SettingsError
from lib.molecules.drawing_batches import begin_worker
from lib.molecules.drawing_feed import DrawingFeed, validation_batches
from lib.molecules.drawing_store import NOTATION, ORIENTATIONS_DEG, SCHEMA, DrawingStore, fill_store
from lib.molecules.drawing_training import frequent_tokens
from lib.molecules.layout import Layout
from lib.progress import show_progress
from lib.settings import Settings
from model.batches import Batch
from model.captioner import Captioner
from model.checkpoint import new_captioner
from model.decoding import greedy
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch, validate
from model.vocabulary import Vocabulary

RESULTS = Path(__file__).parent / "results" / "lessons.json"
WITHOUT = {"cell_loss_weight": 0.0, "attention_loss_weight": 0.0}
LESSONS: dict[str, tuple[str, dict[str, Any]]] = {  # notation, and what differs in `training`; the longest first
    "inchi": ("inchi", {}),
    "inchi, captions alone": ("inchi", WITHOUT),
    "smiles_drawn_kekule": (NOTATION, {}),
    "smiles_drawn": ("smiles_drawn", {}),
    "smiles_kekule": ("smiles_kekule", {}),
    "smiles": ("smiles", {}),
    "smiles_drawn_kekule, captions alone": (NOTATION, WITHOUT),
    "smiles_drawn_kekule, captions and cells": (NOTATION, {"attention_loss_weight": 0.0}),
    "smiles_drawn_kekule, cells, no focal loss": (
        NOTATION,
        {"cell_loss_weight": 10.0, "cell_loss_focal_exponent": 0.0},
    ),
    "smiles_drawn_kekule, captions and attention": (NOTATION, {"cell_loss_weight": 0.0}),
    "smiles_drawn_kekule, a tenth of attention": (NOTATION, {"attention_loss_weight": 0.1}),
}


def rewrite_shard(shard: Path, notation: str, folder: Path) -> None:
    """Write a copy of a shard of drawings into a folder, its captions in another notation."""
    stored, wanted = notation_named(NOTATION), notation_named(notation)
    rows = pa.ipc.open_file(str(shard)).read_all().to_pylist()
    for row in rows:
        inchi = stored.read(stored.join(row["tokens_0"].split(" ")))
        assert inchi is not None, row["tokens_0"]
        atoms_xy = np.array(row["positions_xy"]).reshape(-1, 2)[: max(row["atoms_0"]) + 1]
        for turn_deg in ORIENTATIONS_DEG:
            x, y = (atoms_xy if turn_deg == 0 else -atoms_xy).T
            layout = Layout(x, y, *[np.zeros(0)] * 4)  # no notation of LESSONS but the stored one needs bonds
            written = wanted.write(inchi, layout._asdict(), 0)
            row |= {f"tokens_{turn_deg}": " ".join(written.tokens), f"atoms_{turn_deg}": written.marks}
    with pa.ipc.new_file(str(folder / shard.name), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, SCHEMA))


def fill_stores(folder: Path, settings: Settings) -> None:
    """Draw, and write the captions of the drawings in every notation: a store for each, under its name."""
    fill_store(folder / NOTATION, settings.drawing, settings.cleaning)
    shards = sorted((folder / NOTATION).glob("*.arrow"))
    notations = sorted({notation for notation, _ in LESSONS.values()} - {NOTATION})
    for notation in notations:
        (folder / notation).mkdir(exist_ok=True)
    with show_progress("rewrite", len(shards) * len(notations), "shards") as line, _processes() as pool:
        rewritten = [
            pool.submit(rewrite_shard, shard, notation, folder / notation) for notation in notations for shard in shards
        ]
        for done in as_completed(rewritten):
            done.result()
            line.advance(1)


def teach(name: str, folder: Path, settings: Settings, num_steps: int) -> dict[str, Any]:
    """Train as the lesson of that name says; return how well the drawings that were kept back are read then."""
    notation, changes = LESSONS[name]
    torch.set_num_threads(settings.cluster.threads_per_worker)
    settings = settings.model_copy(update={"training": replace(settings.training, **changes)})
    store, training = DrawingStore(folder / notation), settings.training
    vocabulary = Vocabulary.from_tokens(frequent_tokens(store))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(training.seed)
    captioner = new_captioner(settings.captioner, vocabulary).to(device)
    kept_back = validation_batches(store, vocabulary, settings, device)
    if len(store) - len(kept_back) < training.batch_size:
        raise SettingsError(f"{len(store)} drawings are too few to learn from, {training.batch_size} at a time")
    optimizer, state = make_optimizer(captioner, training), TrainingState()
    feed = DrawingFeed(store, vocabulary, settings, state, device)
    while state.step < num_steps:
        batches = islice(feed.batches(), num_steps - state.step)
        train_epoch(captioner, batches, optimizer, training, state, num_steps, ignore_step)
    scores = validate(captioner, kept_back, training.precision)
    per_drawing = scores["num_tokens"] / len(kept_back)
    exact, valid = read_back(captioner, kept_back, store, notation, vocabulary, settings.captions.max_tokens)
    return {
        "drawings_stored": len(store),
        "drawings_seen": state.step * training.batch_size,
        "seconds": state.seconds,
        "exact": exact,
        "valid": valid,
        "nats_per_drawing": scores["loss"] * per_drawing,
        "tokens_per_drawing": per_drawing,
        "token_accuracy": scores["token_accuracy"],
    }


def read_back(
    captioner: Captioner,
    batches: Sequence[Batch],
    store: DrawingStore,
    notation: str,
    vocabulary: Vocabulary,
    max_tokens: int,
) -> tuple[float, float]:
    """The fraction of images, each a batch, whose caption is of the right molecule, and of any molecule at all."""
    join, asked = notation_named(notation).join, SafeNotation(notation_named(notation))
    captioner.eval()
    num_exact = num_valid = 0
    for index, batch in enumerate(batches):
        caption = asked.read(join(vocabulary.decode(greedy(captioner, batch.images, max_tokens)[0].token_ids)))
        num_valid += caption is not None
        num_exact += caption is not None and caption == asked.read(join(store.writing(index, 0)[0]))
    asked.close()
    return num_exact / len(batches), num_valid / len(batches)


def teach_all(folder: Path, settings: Settings, num_steps: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every lesson and what came of it, as many at a time as this machine has cores for."""
    num_at_once = max(1, (os.cpu_count() or 1) // settings.cluster.threads_per_worker)
    with show_progress("teach", len(LESSONS), "lessons") as line, _processes(num_at_once) as pool:
        lessons = {pool.submit(teach, name, folder, settings, num_steps): name for name in LESSONS}
        for lesson in as_completed(lessons):
            yield lessons[lesson], lesson.result()
            line.advance(1)


def _processes(count: int | None = None) -> ProcessPoolExecutor:
    # Not forked: torch's threads do not survive a fork.
    return ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=begin_worker)


def show(results: dict[str, Any], num_drawings: int) -> None:
    """Print the figures, the best first."""
    table = Table(
        "taught",
        "read exactly",
        "valid",
        "nats per drawing",
        "tokens per drawing",
        "tokens right",
        title=f"after {num_drawings:,} drawings, on drawings that were kept back",
    )
    for name, row in sorted(results.items(), key=lambda item: (-item[1]["exact"], item[1]["nats_per_drawing"])):
        table.add_row(
            name,
            f"{row['exact']:.3f}",
            f"{row['valid']:.3f}",
            f"{row['nats_per_drawing']:.1f}",
            f"{row['tokens_per_drawing']:.1f}",
            f"{row['token_accuracy']:.3f}",
        )
    Console(width=140).print(table)


def main() -> None:
    """Draw, teach one lesson after another, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=100000, help="taught each time (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    given = [
        "drawing.num_drawings=150000",
        "drawing.max_heavy_atoms=18",
        "drawing.stereo_fraction=0",
        "captioner.grid_width=128",
        "captioner.width=256",
        "training.learning_rate=0.0015",
        "training.batch_size=32",
        "training.start_from=null",
        "training.attention_loss_weight=1",
    ]
    settings = lakeless_settings([*given, *arguments.overrides])
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tempfile.TemporaryDirectory() as folder:
        fill_stores(Path(folder), settings)
        num_steps = arguments.num_drawings // settings.training.batch_size
        results = {}
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        for name, result in teach_all(Path(folder), settings, num_steps):
            results[name] = result
            arguments.output.write_text(json.dumps(results, indent=2))  # an interrupted run has something to show
    show(results, arguments.num_drawings)


if __name__ == "__main__":
    main()
