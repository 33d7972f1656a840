"""Rows in Ray's object store, shared out to workers in other processes: `pytest tests/ray/test_row_blocks.py`."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
import torch

from lib.captions.notations import notation_named
from lib.errors import SettingsError
from lib.images.cleaning import encode_png
from lib.settings import Settings, load_settings
from lib.training.ray_cluster import gpus_to_use, ray_cluster
from lib.training.row_blocks import RowBlocks, parts_of_epoch, row_blocks
from lib.training.validation import validate_together
from model.batches import step_sizes
from model.captioner import Captioner
from model.config import CaptionerConfig, TrainingConfig
from model.self_critical import CiderScorer
from model.vocabulary import END, Vocabulary
from model.workers import Worker

BLOCK_SIZES = (17, 1, 0, 30, 13)  # 61 rows: no number of workers but 1 divides them


def settings_of(*overrides: str) -> Settings:
    named = ("storage.root=unused", "landing.path=unused", "training.batch_size=8", "training.num_batches_in_buffer=3")
    return load_settings("molecules", "local", [*named, *overrides])


@pytest.fixture(scope="module")
def rows() -> Iterator[RowBlocks]:
    with ray_cluster(settings_of().cluster):
        rng = np.random.default_rng(0)
        ends = np.cumsum(BLOCK_SIZES)
        tables = [
            pa.table(
                {
                    "image_id": pa.array([f"image {index}" for index in range(end - size, end)], pa.string()),
                    "token_ids": pa.array([[4] * int(rng.integers(1, 30)) for _ in range(size)], pa.list_(pa.int32())),
                }
            )
            for size, end in zip(BLOCK_SIZES, ends, strict=True)
        ]
        yield row_blocks([ray.put(table) for table in tables])


@pytest.mark.usefixtures("rows")
def test_what_ray_writes_is_for_nobody_else_to_read() -> None:
    folder = Path(ray._private.worker.global_worker.node.get_session_dir_path()).parents[1]
    assert folder.stat().st_mode & 0o077 == 0
    assert folder.name.startswith("ray-")


@ray.remote(num_cpus=1)
def ids_of_steps(
    rows: RowBlocks, training: TrainingConfig, epoch: int, first_step: int, worker: int, num_workers: int
) -> list[list[str]]:
    """The images that a worker is given in each step."""
    parts = parts_of_epoch(rows, training, epoch, first_step, Worker(worker, num_workers))
    return [[row["image_id"] for row in part] for part, _ in parts]


def epoch_of(rows: RowBlocks, settings: Settings, num_workers: int, epoch: int = 0, first_step: int = 0):
    """For each step, what each worker is given."""
    answers = [
        ids_of_steps.remote(rows, settings.training, epoch, first_step, worker, num_workers)
        for worker in range(num_workers)
    ]
    return list(zip(*ray.get(answers), strict=True))


ALL_IDS = Counter(f"image {index}" for index in range(61))


@pytest.mark.parametrize("num_workers", [1, 2, 3])
def test_in_an_epoch_every_image_is_seen_once_by_one_worker(rows: RowBlocks, num_workers: int):
    steps = epoch_of(rows, settings_of(), num_workers)
    assert Counter(name for step in steps for part in step for name in part) == ALL_IDS
    assert sorted(sum(map(len, step)) for step in steps) == sorted(step_sizes(61, 8, 3))
    assert all(len(part) >= 1 for step in steps for part in step)


def test_a_step_holds_the_same_images_however_many_workers_share_it(rows: RowBlocks):
    alone, shared = (epoch_of(rows, settings_of(), num_workers) for num_workers in (1, 2))
    assert [sorted(step[0]) for step in alone] == [sorted(step[0] + step[1]) for step in shared]
    assert [sorted(step[0]) for step in epoch_of(rows, settings_of(), 1, epoch=1)] != [
        sorted(step[0]) for step in alone
    ]


def test_an_epoch_begun_by_two_workers_and_ended_by_one_shows_every_image_once(rows: RowBlocks):
    begun = epoch_of(rows, settings_of(), 2)[:3]
    ended = epoch_of(rows, settings_of(), 1, first_step=3)
    assert Counter(name for step in [*begun, *ended] for part in step for name in part) == ALL_IDS


def test_rows_come_in_the_order_asked_for(rows: RowBlocks):
    indices = np.array([60, 0, 17, 18, 16])
    rows.fetch(indices)
    assert [row["image_id"] for row in rows.read(indices)] == [f"image {index}" for index in indices]
    assert all(
        len(row["token_ids"]) == rows.num_tokens[index] for row, index in zip(rows.read(indices), indices, strict=True)
    )


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("num_workers", [1, 2])
def test_weights_of_captions_change_no_step_and_reach_each_workers_loss(num_workers: int):
    table = pa.table(
        {
            "token_ids": [[4], [4, 4], [4, 4, 4], [4]],
            "other_token_ids": [[], [], [4, END, 4, 4, END], []],
            "caption_weight": [1.0, 3.0, 2.0, 1.0],
        }
    )
    weighed, plain = (row_blocks([ray.put(one)]) for one in (table, table.drop_columns(["caption_weight"])))
    assert plain.token_weights.tolist() == [2, 3, 9, 2]
    assert weighed.token_weights.tolist() == [2, 9, 13, 2]
    assert weighed.num_tokens.tolist() == plain.num_tokens.tolist() == [1, 2, 8, 1]
    training = settings_of("training.batch_size=4").training
    for worker in range(num_workers):
        ((of_weighed, weight),) = parts_of_epoch(weighed, training, 0, 0, Worker(worker, num_workers))
        ((of_plain, _),) = parts_of_epoch(plain, training, 0, 0, Worker(worker, num_workers))
        assert [row["token_ids"] for row in of_weighed] == [row["token_ids"] for row in of_plain]
        own = {1: 2, 2: 9, 3: 13}  # by length of the first caption
        assert weight == pytest.approx(num_workers * sum(own[len(row["token_ids"])] for row in of_weighed) / 26)


@pytest.mark.usefixtures("rows")
def test_without_gpus_training_says_so_and_goes_on_or_stops(caplog: pytest.LogCaptureFixture):
    if ray.cluster_resources().get("GPU"):
        pytest.skip("this machine has a GPU")
    assert gpus_to_use(settings_of().cluster) == 0
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        assert gpus_to_use(settings_of("cluster.device=gpu_if_there").cluster) == 0
    assert caplog.messages == ["cluster.device is gpu_if_there: 0 of 2 workers train on a GPU, 2 on cores"]
    with pytest.raises(SettingsError, match=r"cluster\.device is gpu and cluster\.num_workers 2, but there are 0 GPUs"):
        gpus_to_use(settings_of("cluster.device=gpu").cluster)


TINY = CaptionerConfig(
    encoder="inknet",
    encoder_weights="random",
    is_encoder_frozen=False,
    num_channels=1,
    num_cell_labels=0,
    grid_width=32,
    width=32,
    embedding_width=16,
    num_attention_heads=2,
    dropout=0.1,
)
VOCABULARY = Vocabulary.from_tokens("abcdefgh")


def image_rows() -> pa.Table:
    """77 images of several sizes, with words for captions."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, size=(77, 2)) * 32
    images = [encode_png((rng.random(tuple(size)) > 0.1).astype(np.uint8) * 255) for size in sizes]
    captions = [rng.integers(4, len(VOCABULARY), size=rng.integers(1, 9)).tolist() for _ in images]
    return pa.table({"image": images, "token_ids": pa.array(captions, pa.list_(pa.int32()))})


@ray.remote(num_cpus=1)
def validation_scores(rows: RowBlocks, meeting: str, worker: int, num_workers: int) -> dict[str, float]:
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=worker, world_size=num_workers)
    torch.manual_seed(0)
    captioner = Captioner(TINY, len(VOCABULARY))
    for buffer in captioner.buffers():  # as after training, when each worker has the running means of its own images
        if buffer.is_floating_point():
            buffer += 0.2 * (worker - (num_workers - 1) / 2)
    scorer = CiderScorer([[*caption, END] for caption in captions] for captions in rows.captions())
    scores = validate_together(
        captioner, rows, VOCABULARY, notation_named("words"), 9, "fp32", Worker(worker, num_workers), scorer
    )
    torch.distributed.destroy_process_group()
    return scores


@pytest.mark.usefixtures("rows")
def test_validation_scores_do_not_depend_on_the_number_of_workers(tmp_path: Path):
    images = row_blocks([ray.put(image_rows())])
    by_num = {
        num_workers: ray.get(
            [
                validation_scores.remote(images, f"file://{tmp_path}/{num_workers}", worker, num_workers)
                for worker in range(num_workers)
            ]
        )
        for num_workers in (1, 2)
    }
    alone, (first, second) = by_num[1][0], by_num[2]
    assert first == second
    assert first == pytest.approx(alone, rel=1e-5)
    assert alone["validation_cider"] > 0
    assert alone["validation_loss"] == pytest.approx(np.log(len(VOCABULARY)), rel=0.2)
    assert alone["validation_edit_distance"] > 1
