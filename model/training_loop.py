"""Trains a captioner from any iterable of batches, alone or as one of several; knows nothing of who feeds it.

B batch, C channels, H W image height and width, T tokens, V vocabulary.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from model.batches import Batch, as_ink
from model.captioner import Captioner, Explained, Explaining
from model.config import Precision, TrainingConfig
from model.decoding import NEVER_WRITTEN
from model.precision import autocast
from model.supervision import attention_loss, cell_loss
from model.vocabulary import PAD
from model.workers import over_all_workers


class DivergedError(FloatingPointError):
    """Raised when the loss or its gradient is no longer a number; the message names step and learning rate."""


@dataclass
class TrainingState:
    """How far training has come; with the weights, the optimizer and the random numbers, all that resuming needs."""

    epoch: int = 0
    step: int = 0  # optimizer steps over all epochs
    step_in_epoch: int = 0
    seconds: float = 0.0  # spent in training and validation, over all epochs and runs
    is_out_of_time: bool = False
    best: tuple[float, float] | None = None  # lowest scores of a validation, as note_scores takes them
    epochs_since_best: int = 0

    def note_scores(self, first: float, second: float) -> bool:
        """Take note of an epoch's validation; return whether it is the best so far.

        Lower is better; the second score decides between equals.
        """
        is_best = self.best is None or (first, second) < tuple(self.best)
        self.best = (first, second) if is_best else self.best
        self.epochs_since_best = 0 if is_best else self.epochs_since_best + 1
        return is_best

    def is_over(self, config: TrainingConfig) -> bool:
        """Return whether epochs, time or patience have run out."""
        is_stuck = config.patience_epochs is not None and self.epochs_since_best >= config.patience_epochs
        return self.epoch >= config.num_epochs or self.is_out_of_time or is_stuck


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step did."""

    epoch: int
    step: int
    loss: float  # nats per token
    learning_rate: float
    images_per_second: float  # of this worker, in this epoch so far, waiting for data included


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """Return AdamW over the parameters that train; matrices decay, biases, norms and other vectors do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    try:
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    except RuntimeError:  # this device has no fused kernel
        return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate_at(step: float, total_steps: int, learning_rate: float, warmup_fraction: float) -> float:
    """Return the rate of a step, counted from 0: linear over the first warmup_fraction of steps, then cosine to 0."""
    warmup_steps = warmup_fraction * total_steps
    if step < warmup_steps:
        return learning_rate * (step + 1) / (warmup_steps + 1)
    progress = min((step - warmup_steps) / (total_steps - warmup_steps), 1.0)
    return learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def token_loss(
    logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, caption_weights: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of logits (B, T, V) averaged over the target tokens (B, T), without <pad>.

    caption_weights (B,) weight the tokens of each caption in the average.
    """
    flat, of_flat = logits.flatten(0, 1).float(), targets.flatten()  # (B * T, V), (B * T,)
    if caption_weights is None:
        return nn.functional.cross_entropy(flat, of_flat, ignore_index=PAD, label_smoothing=label_smoothing)
    losses = nn.functional.cross_entropy(
        flat, of_flat, ignore_index=PAD, label_smoothing=label_smoothing, reduction="none"
    )  # (B * T,)
    weights = (caption_weights[:, None] * (targets != PAD)).flatten()  # (B * T,)
    return (weights * losses).sum() / weights.sum()


def reinforced_loss(logits: Tensor, targets: Tensor, advantages: Tensor) -> Tensor:
    """Return the mean over tokens of -log p of each token of targets (B, T) times its caption's advantage (B,).

    p is normalised over the tokens that can be sampled, as it was when the samples were drawn. Otherwise <unknown>
    would gain the probability that samples lose and never lose it again, since it is never sampled.
    """
    logits = logits.float().clone()
    never_written = targets.new_tensor(NEVER_WRITTEN)
    is_other = targets[..., None] != never_written  # an image's own caption may hold <unknown>
    logits[..., NEVER_WRITTEN] = logits[..., NEVER_WRITTEN].masked_fill(is_other, -torch.inf)
    losses = nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=PAD, reduction="none")
    return (losses * advantages[:, None]).sum() / (targets != PAD).sum()


def ignore_step(step: StepReport) -> None:
    """Does nothing, for steps whose reports nobody reads."""


def train_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    config: TrainingConfig,
    state: TrainingState,
    total_steps: int,
    on_step: Callable[[StepReport], None],
) -> None:
    """Train until the batches or config.max_train_seconds run out, keeping `state` up to date.

    The model is a Captioner, or a module whose forward is that of Explaining, such as a data-parallel wrapper of one.
    The batches begin with the one after state.step_in_epoch. on_step may save a checkpoint: state, weights and random
    numbers agree at that moment. Where there are several workers, each must call this, and all stop with the
    first one that has no batch left. Raises DivergedError.
    """
    model = Explaining(model) if isinstance(model, Captioner) else model
    model.train()
    device = next(model.parameters()).device
    num_images, started, seconds_before = 0, time.monotonic(), state.seconds
    remaining = iter(batches)
    while True:
        batch = next(remaining, None)
        is_over = spend(seconds_before + time.monotonic() - started, config, state, device, is_over=batch is None)
        if batch is None or is_over or state.is_out_of_time:
            break
        rate = _rate_now(config, state, total_steps)
        loss = _take_step(model, batch.to(device), optimizer, config, rate, state.step)
        state.step += 1
        state.step_in_epoch += 1
        num_images += len(batch.images)
        speed = num_images / (time.monotonic() - started)
        on_step(StepReport(state.epoch, state.step, loss, rate, speed))
    if not state.is_out_of_time:
        state.epoch += 1
        state.step_in_epoch = 0


def spend(
    seconds: float, config: TrainingConfig, state: TrainingState, device: torch.device, is_over: bool = False
) -> bool:
    """Set state.seconds to the most seconds of any worker; return whether any worker says is_over.

    Every worker must call this: if each went by its own clock and data, one could stop while others wait for its
    gradients for ever.
    """
    answer = over_all_workers(torch.tensor([float(is_over), seconds], device=device), "max")
    state.seconds = float(answer[1])
    state.is_out_of_time = config.max_train_seconds is not None and state.seconds >= config.max_train_seconds
    return bool(answer[0])


def _rate_now(config: TrainingConfig, state: TrainingState, total_steps: int) -> float:
    """Return the learning rate of the coming step: along the steps or the time given, whichever ends first."""
    progress_steps = float(state.step)
    if config.max_train_seconds is not None:
        progress_steps = max(progress_steps, total_steps * state.seconds / config.max_train_seconds)
    return learning_rate_at(progress_steps, total_steps, config.learning_rate, config.warmup_fraction)


def _take_step(
    model: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, config: TrainingConfig, rate: float, step: int
) -> float:
    """Do one optimizer step on a batch; return its token loss (nats per token)."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    with autocast(batch.images.device, config.precision):
        explained = model(as_ink(batch.images), batch.inputs, batch.image_indices)
    if batch.advantages is None:
        loss = token_loss(explained.logits, batch.targets, config.label_smoothing, batch.caption_weights)
    else:
        loss = reinforced_loss(explained.logits, batch.targets, batch.advantages)
    total = batch.weight * (loss + _marks_loss(explained, batch, config))
    optimizer.zero_grad()
    torch.autograd.backward(total)
    gradient_norm = nn.utils.clip_grad_norm_(model.parameters(), config.max_gradient_norm).item()
    # The gradient is the same on all workers, so that all stop together; the loss is each worker's own.
    if not math.isfinite(gradient_norm):
        raise DivergedError(f"loss {loss.item()}, gradient norm {gradient_norm} at step {step}, learning rate {rate}")
    optimizer.step()
    return loss.item()


def _marks_loss(explained: Explained, batch: Batch, config: TrainingConfig) -> Tensor:
    """Return the weighted cell and attention losses; 0 for a batch without marks."""
    if batch.marks is None:
        return 0 * explained.cells.float().sum()  # a data-parallel wrapper waits for a gradient of every weight
    cells = config.cell_loss_weight * cell_loss(explained, batch, config.cell_loss_focal_exponent)
    return cells + config.attention_loss_weight * attention_loss(explained, batch)


@torch.no_grad()
def validate(captioner: Captioner, batches: Iterable[Batch], precision: Precision) -> dict[str, float]:
    """Return the loss (nats per token), token_accuracy (0 to 1) and num_tokens, given the true tokens before each."""
    device = next(captioner.parameters()).device
    was_training = captioner.training
    captioner.eval()
    loss_sum, num_correct, num_tokens = 0.0, 0, 0
    for batch in batches:
        batch = batch.to(device)
        with autocast(device, precision):
            logits = captioner(as_ink(batch.images), batch.inputs, image_indices=batch.image_indices)  # (B, T, V)
        is_token = batch.targets != PAD  # (B, T)
        count = int(is_token.sum())
        loss_sum += count * token_loss(logits, batch.targets).item()
        num_correct += int(((logits.argmax(dim=2) == batch.targets) & is_token).sum())
        num_tokens += count
    captioner.train(was_training)
    if num_tokens == 0:
        return {"loss": math.nan, "token_accuracy": math.nan, "num_tokens": 0}
    return {"loss": loss_sum / num_tokens, "token_accuracy": num_correct / num_tokens, "num_tokens": num_tokens}


def pack_training(state: TrainingState, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what a checkpoint keeps, beside the weights, so that training can go on: plain values and tensors."""
    random_numbers = {"host": torch.get_rng_state(), "accelerators": torch.cuda.get_rng_state_all()}
    return {"state": asdict(state), "optimizer": optimizer.state_dict(), "random_numbers": random_numbers}


def unpack_training(packed: dict[str, Any], optimizer: torch.optim.Optimizer) -> TrainingState:
    """Put optimizer and random numbers back as `pack_training` found them; return the state it was given."""
    optimizer.load_state_dict(packed["optimizer"])
    torch.set_rng_state(packed["random_numbers"]["host"])
    if len(packed["random_numbers"]["accelerators"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(packed["random_numbers"]["accelerators"])
    return TrainingState(**packed["state"])
