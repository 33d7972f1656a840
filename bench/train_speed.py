"""Training, images per second on one core, beside the classic starter, and beside what the core can multiply.

`python -m bench.train_speed [--num-drawings 4096]`

One thread each, by turns: nothing else may run, as what a machine calls two cores may be two threads of one. Ours is a
step as train_on_drawings takes it, making the batch from stored drawings included; the starter's images lie ready in
memory. Both learn the same captions.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.flop_counter import FlopCounterMode

from bench.lakeless_settings import lakeless_settings
from bench.starter import StarterTraining, starter_images
from bench.timing import timed
from lib.captions.checkpoint_fit import checked_vocabulary
from lib.molecules.drawing_feed import DrawingFeed
from lib.molecules.drawing_store import NOTATION, DrawingStore, fill_store
from lib.settings import Settings
from model.batches import Batch
from model.captioner import Captioner
from model.checkpoint import PRETRAINED, load_captioner
from model.config import CaptionerConfig
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch

RESULTS = Path(__file__).parent / "results" / "train.json"
ROUNDS = 5
BATCHES_PER_ROUND = 4  # of ours; the starter learns a quarter of each, as one batch
MATRIX_SIDE = 2048


class OurTraining:
    """Training on drawings from the pretrained model, in pieces."""

    def __init__(self, settings: Settings, store: DrawingStore) -> None:
        start = PRETRAINED / "molecules"
        vocabulary = checked_vocabulary(start, settings.captioner, NOTATION, settings.cleaning)
        self.captioner = load_captioner(start)[0]
        self.training = settings.training
        self.optimizer = make_optimizer(self.captioner, self.training)
        self.making_seconds = 0.0
        self._batches = DrawingFeed(store, vocabulary, settings, TrainingState(), torch.device("cpu")).batches()

    def take_steps(self, num_steps: int) -> list[Batch]:
        """Learn from so many batches; return them."""
        used = list[Batch]()
        batches = self._noted(islice(self._batches, num_steps), used)
        train_epoch(self.captioner, batches, self.optimizer, self.training, TrainingState(), num_steps, ignore_step)
        return used

    def _noted(self, batches: Iterator[Batch], used: list[Batch]) -> Iterator[Batch]:
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.making_seconds += time.perf_counter() - started
            if batch is None:
                return
            used.append(batch)
            yield batch


def flops_of_step(config: CaptionerConfig, num_tokens: int, batch: Batch) -> int:
    """Multiplications and additions of the products in one training step, forward and backward, padding included.

    Counted without computing: on tensors that have a shape alone, where an LSTM is the products it is made of, while
    the one call that it is on a CPU would not be counted.
    """
    with torch.device("meta"):
        captioner = Captioner(config, num_tokens).train()
        images = torch.empty(len(batch.images), config.num_channels, *batch.images.shape[2:])
    with FlopCounterMode(display=False) as counter:
        explained = captioner.explain(images, batch.inputs.to("meta"))
        torch.stack([part.sum() for part in explained[:4]]).sum().backward()
    return counter.get_total_flops()


def matrix_flops_per_second() -> float:
    """The rate of a large product of bf16 matrices."""
    left, right = (torch.randn(MATRIX_SIDE, MATRIX_SIDE).bfloat16() for _ in range(2))
    return 2 * MATRIX_SIDE**3 / min(timed(lambda: left @ right) for _ in range(5))


def one_round(ours: OurTraining, starter: StarterTraining) -> dict[str, float]:
    """The rates of a few steps of ours, of one step of the starter on the same captions, and of a product."""
    matrix_rate = matrix_flops_per_second()
    used: list[Batch] = []
    ours.making_seconds = 0.0
    seconds = timed(lambda: used.extend(ours.take_steps(BATCHES_PER_ROUND)))
    images = torch.cat([starter_images(batch.images[::BATCHES_PER_ROUND]) for batch in used])
    tokens = [caption for batch in used for caption in batch.tokens[::BATCHES_PER_ROUND]]
    padded = pad_sequence(tokens, batch_first=True)
    starter_seconds = timed(lambda: starter.step(images, padded))
    config, num_tokens = ours.captioner.config, ours.captioner.decoder.output.out_features
    flop_rate = sum(flops_of_step(config, num_tokens, batch) for batch in used) / seconds
    return {
        "images_per_second_per_core": sum(len(batch.images) for batch in used) / seconds,
        "starter_images_per_second_per_core": len(images) / starter_seconds,
        "gflops_per_second": flop_rate / 1e9,
        "matrix_gflops_per_second": matrix_rate / 1e9,
        "share_of_time_making_batches": ours.making_seconds / seconds,
    }


def measure(settings: Settings, store: DrawingStore) -> dict[str, Any]:
    """Every figure of this bench: medians of the rounds, and what follows from them."""
    ours = OurTraining(settings, store)
    starter = StarterTraining(ours.captioner.decoder.output.out_features)
    one_round(ours, starter)  # to warm up
    rounds = []
    for number in range(1, ROUNDS + 1):
        rounds.append(one_round(ours, starter))
        print(f"round {number} of {ROUNDS}: {rounds[-1]['images_per_second_per_core']:.1f} images/s", flush=True)
    medians = {name: float(np.median([one[name] for one in rounds])) for name in rounds[0]}
    return medians | {
        "ratio_to_starter": medians["images_per_second_per_core"] / medians["starter_images_per_second_per_core"],
        "share_of_matrix_rate": medians["gflops_per_second"] / medians["matrix_gflops_per_second"],
        "threads": torch.get_num_threads(),
        "batch_size": settings.training.batch_size,
        "rounds": rounds,
    }


def show(results: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"training on one core with one thread, images per second (median of {ROUNDS} rounds, by turns)")
    print(
        f"  ours, in batches of {results['batch_size']}, making them included       "
        f"{results['images_per_second_per_core']:8.1f}   "
        f"making them takes {results['share_of_time_making_batches']:.0%} of the time"
    )
    print(
        f"  starter: ResNet34, attention LSTM, 224 x 224, fp32 "
        f"{results['starter_images_per_second_per_core']:8.2f}   "
        f"ours / starter = {results['ratio_to_starter']:.1f}"
    )
    print(f"  GFLOP per second in products of our step           {results['gflops_per_second']:8.0f}")
    print(
        f"  GFLOP per second in a product of {MATRIX_SIDE} x {MATRIX_SIDE}, bf16 "
        f"{results['matrix_gflops_per_second']:8.0f}   fraction reached = {results['share_of_matrix_rate']:.2f}"
    )


def main() -> None:
    """Draw, train both by turns, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-drawings", type=int, default=4096, help="to train on, from 2000 (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = lakeless_settings([f"drawing.num_drawings={arguments.num_drawings}", *arguments.overrides])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        fill_store(Path(folder), settings.drawing, settings.cleaning)
        results = measure(settings, DrawingStore(Path(folder)))
    show(results)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
