"""The same training with 1, 2 and 4 workers: what of the images an epoch shows, and how far the results differ.

`python -m bench.same_result`: minutes on 2 cores. Exits with 1 if validation losses differ by more than TOLERANCE.
"""

import json
import sys
import tempfile
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from rich.console import Console
from rich.table import Table

from bench.lakeless_settings import lakeless_settings
from lib.captions.notation_process import SafeNotation
from lib.captions.notations import notation_named
from lib.images.cleaning import clean_image, encode_png
from lib.job_entry import start_process
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.molecules.drawing_batches import draw_batches
from lib.settings import Settings
from lib.training.distributed_training import run_workers
from lib.training.ray_cluster import ray_cluster
from lib.training.row_blocks import RowBlocks, parts_of_epoch, row_blocks
from lib.training.training_data import TrainingData
from lib.training.training_runs import TrainingRun, read_metrics
from model.config import TrainingConfig
from model.vocabulary import Vocabulary
from model.workers import Worker

RESULTS = Path(__file__).parent / "results" / "same_result.json"
NUM_WORKERS = (1, 2, 4)  # four share two cores here: for correctness, not for speed
NUM_TRAIN, NUM_VALIDATION = 541, 60  # neither 2 nor 4 divides what is learned from
TOLERANCE = (
    0.05  # of the validation loss: norms have the statistics of each worker's part, and dropout masks of its own
)
SCORES = ("validation_loss", "validation_token_accuracy", "validation_edit_distance")
OVERRIDES = [
    "drawing.num_processes=1",
    "captioner.grid_width=64",
    "captioner.width=64",
    "captioner.embedding_width=32",
    "captioner.num_attention_heads=2",
    "captioner.num_cell_labels=0",
    "training.start_from=null",
    "training.learning_rate=0.003",
    "training.batch_size=32",
    "training.num_epochs=4",
    "training.log_interval_steps=1",
]


def main() -> None:
    """Draw, train three times and compare."""
    start_process()
    drawn, vocabulary = _drawn_rows(_settings(1))
    train, validation = drawn[:NUM_TRAIN], drawn[NUM_TRAIN:]
    longest = max(len(row["token_ids"]) for row in train)
    data = TrainingData("none", len(train), len(validation), "", longest, vocabulary)
    with ray_cluster(_settings(max(NUM_WORKERS)).cluster), tempfile.TemporaryDirectory() as folder:
        rows = {"train": _blocks(train), "validation": _blocks(validation)}
        is_whole = [_is_every_image_once(rows["train"], _settings(num_workers)) for num_workers in NUM_WORKERS]
        runs = [_trained(rows, data, _settings(num_workers), Path(folder)) for num_workers in NUM_WORKERS]
    losses = [one["validation_loss"] for one in runs]
    result = {
        "num_train_images": len(train),
        "num_validation_images": len(validation),
        "every_image_once_per_epoch": all(is_whole),
        "tolerance": TOLERANCE,
        "spread_of_validation_loss": (max(losses) - min(losses)) / losses[0],
        "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    _show(result)
    sys.exit(0 if result["spread_of_validation_loss"] <= TOLERANCE and all(is_whole) else 1)


def _settings(num_workers: int) -> Settings:
    return lakeless_settings([*OVERRIDES, f"cluster.num_workers={num_workers}"])


def _drawn_rows(settings: Settings) -> tuple[list[dict[str, Any]], Vocabulary]:
    """Rows as lib.training.training_data makes them, without layouts, and the vocabulary of their captions."""
    notation = SafeNotation(notation_named(settings.captions.notation))
    drawings = (drawn for batch in draw_batches(settings.drawing) for drawn in batch.drawings)
    rows: list[dict[str, Any]] = []
    for drawn in islice(drawings, NUM_TRAIN + NUM_VALIDATION):
        cleaned = clean_image(drawn.png, settings.cleaning)
        written = notation.write(drawn.inchi, None, cleaned.rotation_deg)
        assert written is not None
        rows.append(
            {
                "image_id": drawn.image_id,
                "image": encode_png(cleaned.pixels),
                "caption": drawn.inchi,
                "tokens": list(written.tokens),
                "marks_of_tokens": list(written.marks),
                **dict.fromkeys(LAYOUT_COLUMNS),
            }
        )
    vocabulary = Vocabulary.from_tokens(token for row in rows for token in row["tokens"])
    for row in rows:
        row["token_ids"] = vocabulary.encode(row.pop("tokens"))
    return rows, vocabulary


def _blocks(rows: list[dict[str, Any]]) -> RowBlocks:
    """Rows in Ray's object store, in blocks that divide nothing evenly."""
    return row_blocks([ray.put(pa.Table.from_pylist(rows[start : start + 97])) for start in range(0, len(rows), 97)])


def _is_every_image_once(rows: RowBlocks, settings: Settings) -> bool:
    """Whether the workers' parts of an epoch, read by processes of their own, are every image once."""
    num_workers = settings.cluster.num_workers
    parts = [_ids_of.remote(rows, settings.training, worker, num_workers) for worker in range(num_workers)]
    seen: Counter[str] = sum(ray.get(parts), Counter())
    return len(seen) == NUM_TRAIN and set(seen.values()) == {1}


@ray.remote  # type: ignore[untyped-decorator]  # Ray comes without types
def _ids_of(rows: RowBlocks, training: TrainingConfig, worker: int, num_workers: int) -> Counter[str]:
    parts = parts_of_epoch(rows, training, 0, 0, Worker(worker, num_workers))
    return Counter(row["image_id"] for part, _ in parts for row in part)


def _trained(rows: dict[str, RowBlocks], data: TrainingData, settings: Settings, folder: Path) -> dict[str, Any]:
    """What the last epoch scored, and the loss of each step."""
    name = f"with-{settings.cluster.num_workers}"
    run = TrainingRun(name, data, folder / "checkpoints" / name, folder / "training" / name)
    run_workers(rows, run, settings, num_gpus=0)
    metrics = read_metrics(run)
    last = [row for row in metrics if row["validation_loss"] is not None][-1]
    losses = [round(row["train_loss"], 4) for row in metrics if row["train_loss"] is not None]
    scores = {name: last[name] for name in SCORES}
    return {"num_workers": settings.cluster.num_workers, "num_steps": last["step"]} | scores | {"train_losses": losses}


def _show(result: dict[str, Any]) -> None:
    names = ("num_workers", "num_steps", *SCORES)
    table = Table(title=f"the same training on {result['num_train_images']} images")
    for name in names:
        table.add_column(name, justify="right")
    for one in result["runs"]:
        table.add_row(*(f"{one[name]:.4f}" if isinstance(one[name], float) else str(one[name]) for name in names))
    console = Console()
    console.print(table)
    console.print(
        f"validation losses differ by {result['spread_of_validation_loss']:.1%} (at most {result['tolerance']:.0%} "
        f"allowed); every image once per epoch: {result['every_image_once_per_epoch']}"
    )


if __name__ == "__main__":
    main()
