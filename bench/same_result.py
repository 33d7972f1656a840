"""The same training with 1, 2 and 4 workers: what of the pictures each epoch shows, and how far the results differ.

`python -m bench.same_result`: some minutes on 2 cores. Exits with 1 if validation losses differ by more than TOLERANCE.
"""

import dataclasses
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

from lib.delta_tables import Lake
from lib.distributed_training import train_on_ray
from lib.job_entry import start_process
from lib.ray_cluster import ray_cluster, raydp_spark
from lib.row_blocks import RowBlocks, hand_over, shares_of_epoch
from lib.settings import Settings, load_settings
from lib.training_data import training_rows
from lib.training_runs import TrainingRun, plan_training, read_metrics

RESULTS = Path(__file__).parent / "results" / "same_result.json"
NUM_WORKERS = (1, 2, 4)  # four share two cores here: for correctness, not for speed
TOLERANCE = 0.05  # of the validation loss: norms have the statistics of each worker's share, and dropout its own places
SMALL = [
    "drawing.num_drawings=601", "captions.validation_share=0.1", "captioner.grid_width=64", "captioner.width=64",
    "captioner.embedding_width=32", "captioner.num_attention_heads=2", "training.start_from=null",
    "training.learning_rate=0.003", "training.batch_size=32", "training.num_epochs=4",
    "training.log_interval_steps=1",
]


def main() -> None:
    """Draw, ingest, clean, train three times and compare."""
    start_process()
    root = Path(tempfile.mkdtemp(prefix="captionlake-same-result-"))
    overrides = [f"storage.root={root}", f"landing.path={root}/landing", *SMALL]
    words = [word for override in overrides for word in ("--set", override)]
    for job in ("draw_molecules", "ingest_images", "clean_images", "build_vocabulary"):
        subprocess.run([sys.executable, "-m", f"jobs.{job}", *words], check=True)
    most = load_settings("molecules", "local", [*overrides, f"cluster.num_workers={max(NUM_WORKERS)}"])
    with ray_cluster(most.cluster), raydp_spark(most.cluster) as spark:
        lake = Lake(spark, most.storage)
        run = plan_training(lake, most)
        runs = [_train(lake, run, overrides, num_workers) for num_workers in NUM_WORKERS]
        ids = [_ids(lake, run, most, num_workers) for num_workers in NUM_WORKERS]
    shutil.rmtree(root)
    losses = [one["validation_loss"] for one in runs]
    spread = (max(losses) - min(losses)) / losses[0]
    result = {
        "num_train_images": run.data.num_train, "batch_size": most.training.batch_size, "tolerance": TOLERANCE,
        "spread_of_validation_loss": spread, "every_picture_once_per_epoch": all(ids), "runs": runs,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    _show(result)
    sys.exit(0 if spread <= TOLERANCE and all(ids) else 1)


def _train(lake: Lake, planned: TrainingRun, overrides: list[str], num_workers: int) -> dict[str, Any]:
    """Train the same model with so many workers; what its last epoch scored, and the losses of its steps."""
    name = f"{planned.model_version}-{num_workers}"
    checkpoint, folder = planned.checkpoint.with_name(name), planned.folder.with_name(name)
    run = dataclasses.replace(planned, model_version=name, checkpoint=checkpoint, folder=folder)
    train_on_ray(lake, run, load_settings("molecules", "local", [*overrides, f"cluster.num_workers={num_workers}"]))
    rows = read_metrics(run)
    last = [row for row in rows if row["validation_loss"] is not None][-1]
    return {"num_workers": num_workers, "num_steps": last["step"]} | {
        name: last[name] for name in ("validation_loss", "validation_token_accuracy", "validation_edit_distance")
    } | {"train_losses": [round(row["train_loss"], 4) for row in rows if row["train_loss"] is not None]}


def _ids(lake: Lake, run: TrainingRun, settings: Settings, num_workers: int) -> bool:
    """Whether the shares of that many workers are every picture of the split once, in processes of their own."""
    frame = training_rows(lake, settings.captions, run.data.vocabulary, "train", 5)
    expected = Counter(row.image_id for row in frame.select("image_id").collect())
    rows = hand_over(frame)
    shares = [_ids_of_share.remote(rows, settings, worker, num_workers) for worker in range(num_workers)]
    return sum(ray.get(shares), Counter()) == expected and set(expected.values()) == {1}


@ray.remote
def _ids_of_share(rows: RowBlocks, settings: Settings, worker: int, num_workers: int) -> Counter[str]:
    shares = shares_of_epoch(rows, settings.training, 0, 0, worker, num_workers)
    return Counter(row["image_id"] for share, _ in shares for row in share)


def _show(result: dict[str, Any]) -> None:
    names = ("num_workers", "num_steps", "validation_loss", "validation_token_accuracy", "validation_edit_distance")
    table = Table(title=f"the same training on {result['num_train_images']} pictures, {result['batch_size']} a step")
    for name in names:
        table.add_column(name, justify="right")
    for one in result["runs"]:
        table.add_row(*(f"{one[name]:.4f}" if isinstance(one[name], float) else str(one[name]) for name in names))
    console = Console()
    console.print(table)
    console.print(
        f"validation losses differ by {result['spread_of_validation_loss']:.1%} (at most {result['tolerance']:.0%} "
        f"allowed); every picture once per epoch: {result['every_picture_once_per_epoch']}"
    )


if __name__ == "__main__":
    main()
