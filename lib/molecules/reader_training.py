"""The steps that the readers of drawings learn by."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lib.progress import show_progress
from lib.settings import Settings
from model.weight_averaging import WeightAverage

WARMUP_STEPS, AVERAGE_DECAY = 200, 0.998
MAX_GRADIENT_NORM = 5.0


def seeded(settings: Settings) -> np.random.Generator:
    """Seed what torch draws by lot, and return a lot of our own."""
    torch.manual_seed(settings.training.seed)
    return np.random.default_rng(settings.training.seed)


def learn(
    reader: nn.Module,
    rates: Sequence[tuple[list[nn.Parameter], float]],
    weight_decay: float,
    losses: Iterator[Tensor],
    num_steps: int,
) -> None:
    """Go num_steps steps down the losses, and leave the average of the last weights in the reader.

    `rates` are the highest learning rates of groups of its parameters.
    """
    optimizer = torch.optim.AdamW([{"params": group, "lr": rate} for group, rate in rates], weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [rate for _, rate in rates], total_steps=num_steps, pct_start=min(0.3, WARMUP_STEPS / num_steps)
    )
    average = WeightAverage(reader, AVERAGE_DECAY)
    with show_progress("learn", num_steps, "steps") as line:
        for step in range(1, num_steps + 1):
            loss = next(losses)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(reader.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            schedule.step()
            average.update(reader, step)
            line.update(step)
    reader.load_state_dict(average.network.state_dict())
