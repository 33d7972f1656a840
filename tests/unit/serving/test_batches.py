"""The queue and a real process that captions, without a server: `pytest tests/unit/serving/test_batches.py`."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from lib.errors import SettingsError
from lib.lake.models import Model, pretrained_model
from lib.sections.serving import ServingSettings
from lib.serving.answers import CaptionAnswer
from lib.serving.batches import BatchQueue
from lib.serving.metrics import Metrics
from lib.serving.model_process import ModelProcess, ModelSource
from lib.serving.refusals import RefusedRequestError
from lib.settings import load_settings
from tests.known_molecules import ASPIRIN, CAFFEINE
from tests.unit.serving.served import QUICK, drawing


def serving() -> ServingSettings:
    return load_settings("molecules", "local", ["serving.deadline_s=300", "serving.max_wait_ms=200"]).serving


def source() -> ModelSource:
    return ModelSource({"molecules": pretrained_model("molecules", "the test")}, QUICK, None, 1, "local")


async def captions_when_killed(process: ModelProcess, metrics: Metrics) -> list[CaptionAnswer]:
    """Two requests at a time; the process is killed before it can answer."""
    queue = BatchQueue(serving(), metrics)
    await queue.start(process)
    await queue.use([process])
    requests = [queue.caption("molecules", [drawing(ASPIRIN)]), queue.caption("molecules", [drawing(CAFFEINE)])]
    asked = asyncio.gather(*requests)
    await asyncio.sleep(0.1)
    assert process._process is not None
    os.kill(process._process.pid or 0, signal.SIGKILL)
    answers = await asked
    together = await asyncio.gather(*(queue.caption("molecules", [b"no image"]) for _ in range(5)))
    await queue.close()
    return [answer for (answer,) in answers + together]


def test_a_killed_process_is_started_again_and_its_images_are_read_again_alone() -> None:
    metrics = Metrics()
    first, second, *together = asyncio.run(captions_when_killed(ModelProcess(source()), metrics))
    assert (first.caption, second.caption) == (ASPIRIN, CAFFEINE)
    assert [one.reason for one in together] == [together[0].reason] * 5
    said = metrics.as_text().decode()
    assert "captionlake_process_restarts_total 1.0" in said
    assert "captionlake_batch_images_count 3.0" in said  # two alone, and five that came together
    assert "captionlake_batch_images_sum 7.0" in said
    assert "captionlake_queued_images 0.0" in said


def test_a_model_that_cannot_be_loaded_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    process = ModelProcess(source()._replace(models={"molecules": Model("broken", tmp_path)}))
    with pytest.raises(SettingsError, match=r"config\.json has format_version None, expected 1"):
        process.start()
    assert not process.is_running


async def statuses_in_a_queue(*nums_images: int) -> list[int]:
    """Of requests of so many images, 0 for those that wait, where each image takes a second and ten are in time."""
    settings = serving().model_copy(update={"deadline_s": 10.0, "max_queued_images": 100})
    queue = BatchQueue(settings, Metrics())
    waiting, statuses = [], []
    for number in nums_images:
        asked = asyncio.create_task(queue.caption("molecules", [b""] * number))
        await asyncio.sleep(0)
        if asked.done() and isinstance(fault := asked.exception(), RefusedRequestError):
            statuses.append(fault.status)
        else:
            statuses.append(0)
            waiting.append(asked)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await queue.close()
    return statuses


def test_images_that_would_be_answered_after_the_deadline_are_refused_at_once() -> None:
    assert asyncio.run(statuses_in_a_queue(8, 1, 3, 1)) == [0, 0, 429, 0]
    assert asyncio.run(statuses_in_a_queue(12, 1)) == [0, 429]  # nobody waits before the first
