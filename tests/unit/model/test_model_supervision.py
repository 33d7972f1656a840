"""Supervision: marks fall into the right positions, and both losses teach what they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.batches import Batch, Marks, pad_marks
from model.captioner import Captioner, Explained
from model.checkpoint import captioner_to_train, save_checkpoint
from model.supervision import attention_loss, cell_labels, cell_loss, cells_of
from model.training_loop import TrainingState, ignore_step, make_optimizer, train_epoch
from tests.unit.tiny_captioner import (
    HEIGHT_PX,
    VOCABULARY,
    WIDTH_PX,
    quick_training,
    stroke_batch,
    tiny_captioner,
    tiny_config,
)


def marked_batch(count: int = 8) -> Batch:
    """Strokes whose n-th token names a mark at the n-th stroke."""
    batch = stroke_batch(count)
    marks = []
    for row in batch.tokens:
        num_strokes = int((row > 3).sum())
        positions_xy = np.array([[5 + 9 * order, 16] for order in range(num_strokes)], np.float32)
        labels = np.eye(3, dtype=np.float32)[np.arange(num_strokes) % 3]
        marks.append({"positions_xy": positions_xy, "labels": labels, "marks_of_tokens": np.arange(num_strokes)})
    return replace(batch, marks=pad_marks(marks, batch.tokens.shape[1]))


def explain(captioner: Captioner, batch: Batch):  # type: ignore[no-untyped-def]
    return captioner.explain(1 - batch.images.float() / 255, batch.inputs)


def plain_cell_loss(explained: Explained, batch: Batch) -> torch.Tensor:
    return cell_loss(explained, batch, focal_exponent=0.0)


def test_a_mark_lies_in_the_position_that_covers_its_pixel() -> None:
    one = {"positions_xy": np.array([[0, 0], [15.9, 15.9], [16, 0], [47, 31], [999, -5]]), "labels": np.zeros((5, 1))}
    marks = pad_marks([one | {"marks_of_tokens": np.zeros(0)}], 2)
    assert cells_of(marks, torch.Size((1, 1, HEIGHT_PX, WIDTH_PX)), 8, 16).tolist() == [[0, 0, 1, 6, 3]]


def test_a_mark_lies_in_the_same_position_of_a_wider_stride_and_of_features() -> None:
    one = {"positions_xy": np.array([[70, 40], [40, 10]]), "labels": np.zeros((2, 1)), "marks_of_tokens": np.zeros(0)}
    marks = pad_marks([one], 2)
    pixels, features = torch.Size((1, 1, 48, 80)), torch.Size((1, 1280, 2, 3))  # 32 px to a position, the last cut off
    assert cells_of(marks, pixels, 6, 32).tolist() == [[5, 1]]
    assert cells_of(marks, features, 6, 32).tolist() == [[5, 1]]


def test_labels_of_marks_in_one_position_are_united_and_padding_adds_none() -> None:
    positions_xy = np.array([[1, 1], [2, 2], [20, 20]])
    one = {"positions_xy": positions_xy, "labels": np.array([[1, 0], [0, 1], [0, 1]]), "marks_of_tokens": np.zeros(0)}
    none = {"positions_xy": positions_xy[:0], "labels": np.zeros((0, 2)), "marks_of_tokens": np.zeros(0)}
    labels = cell_labels(pad_marks([one, none], 2), torch.Size((2, 1, HEIGHT_PX, WIDTH_PX)), 8, 16)
    assert labels[0, 0].tolist() == [1, 1]
    assert labels[0, 5].tolist() == [0, 1]
    assert labels.sum() == 3


@pytest.mark.parametrize(
    ("loss", "setting"), [(plain_cell_loss, "cell_loss_weight"), (attention_loss, "attention_loss_weight")]
)
def test_each_loss_falls_where_its_weight_asks_for_it_and_not_without(loss, setting: str) -> None:  # type: ignore[no-untyped-def]
    batch = marked_batch()
    after = {}
    for weight in (0.0, 3.0):
        captioner = tiny_captioner()
        changes = {"cell_loss_weight": 0.0, "attention_loss_weight": 0.0, setting: weight}
        config = quick_training(**changes)
        train_epoch(
            captioner, [batch] * 40, make_optimizer(captioner, config), config, TrainingState(), 40, ignore_step
        )
        after[weight] = loss(explain(captioner.eval(), batch), batch).item()
    assert after[3.0] < 0.5 * after[0.0]


def test_a_focus_makes_what_is_seen_count_less_than_what_is_missed() -> None:
    batch = marked_batch(1)
    explained = explain(tiny_captioner().eval(), batch)
    labels = cell_labels(batch.marks, batch.images.shape, 8, 16)
    seen = explained._replace(cells=6 * (2 * labels - 1))
    wrong_of_one_label = seen._replace(cells=seen.cells * torch.tensor([-1.0, 1.0, 1.0]))
    right = torch.tensor(6.0).sigmoid()
    assert cell_loss(seen, batch, 0.0).item() == pytest.approx(-right.log().item(), rel=1e-4)
    assert cell_loss(seen, batch, 2.0).item() == pytest.approx((-right.log() * (1 - right) ** 2).item(), rel=1e-3)
    assert cell_loss(wrong_of_one_label, batch, 2.0).item() == pytest.approx(2 * right.item() ** 2, rel=0.01)


def test_first_attention_looks_at_the_token_read_and_second_at_the_one_to_come() -> None:
    batch = marked_batch(1)
    explained = explain(tiny_captioner().eval(), batch)
    cells = cells_of(batch.marks, batch.images.shape, 8, 16)[0]
    named = batch.marks.marks_of_tokens[0]

    def looking_at(marks: torch.Tensor) -> torch.Tensor:
        attention = torch.full_like(explained.first_attention, 1e-9)
        for step, mark in enumerate(marks.tolist()):
            if mark >= 0:
                attention[0, 0, step, cells[mark]] = 1
        return attention

    right = explained._replace(first_attention=looking_at(named[:-1]), second_attention=looking_at(named[1:]))
    late = explained._replace(first_attention=looking_at(named[1:]), second_attention=looking_at(named[:-1]))
    assert attention_loss(right, batch).item() == pytest.approx(0, abs=1e-4)
    assert attention_loss(late, batch).item() > 1


def test_an_image_without_marks_teaches_nothing_of_positions_and_takes_nothing_from_the_others() -> None:
    batch, captioner = marked_batch(4), tiny_captioner().eval()
    only_two = replace(batch.marks, is_marked=torch.tensor([True, False, True, False]))
    only_two.marks_of_tokens[[1, 3]] = -1
    mixed, explained = replace(batch, marks=only_two), explain(captioner, batch)
    two = [0, 2]
    alone = Batch(
        batch.images[two],
        batch.tokens[two],
        Marks(only_two.positions_xy[two], only_two.labels[two], only_two.marks_of_tokens[two], only_two.is_marked[two]),
    )
    explained_alone = Explained(*(part[two] for part in explained[:-1]), explained.stride_px)
    for loss in (plain_cell_loss, attention_loss):
        assert loss(explained, mixed).item() == pytest.approx(loss(explained_alone, alone).item(), rel=1e-5)


def test_images_without_marks_train_beside_those_with() -> None:
    captioner, config = tiny_captioner(), quick_training()
    optimizer = make_optimizer(captioner, config)
    state = TrainingState()
    train_epoch(captioner, [marked_batch(), stroke_batch(8)] * 2, optimizer, config, state, 4, ignore_step)
    assert state.step == 4
    assert all(parameter.grad is not None for parameter in captioner.parameters())


def test_weights_that_know_fewer_labels_learn_the_new_one_and_keep_the_others(tmp_path: Path) -> None:
    """The pretrained model knows a label less than drawings have."""
    save_checkpoint(tmp_path / "model", tiny_captioner(), VOCABULARY, details={}, provenance={})
    batch = marked_batch()
    marks = replace(batch.marks, labels=torch.cat((batch.marks.labels, batch.marks.labels[..., :1]), dim=2))
    batch = replace(batch, marks=marks)
    grown = captioner_to_train(tmp_path / "none", tmp_path / "model", tiny_config(num_cell_labels=4), VOCABULARY)
    before = plain_cell_loss(explain(grown.eval(), batch), batch).item()
    config = quick_training(cell_loss_weight=3.0, attention_loss_weight=0.0)
    train_epoch(grown, [batch] * 40, make_optimizer(grown, config), config, TrainingState(), 40, ignore_step)
    after = explain(grown.eval(), batch)
    assert plain_cell_loss(after, batch).item() < 0.6 * before
    labels = cell_labels(batch.marks, batch.images.shape, after.cells.shape[1], 16)[..., 3] > 0
    assert after.cells[..., 3][labels].mean() > after.cells[..., 3][~labels].mean() + 1
