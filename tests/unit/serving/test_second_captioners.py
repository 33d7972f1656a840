"""Second captioners as the model in use changes: `pytest -n 0 tests/unit/serving/test_second_captioners.py`."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from lib.captioning.captioner import CaptionedImage
from lib.lake.models import Model, pretrained_model
from lib.serving.answers import CaptionAnswer, as_answer
from lib.serving.metrics import Metrics
from lib.serving.second_captioners import SecondCaptioners
from lib.settings import load_settings
from tests.unit.serving.neighbour_lake import SQUARES, fill, photograph

pytest.importorskip("timm", reason="needs the extra photos")
OURS = [as_answer(CaptionedImage("ours", 0.5, True, []), "m1")]


def processes() -> set[int]:
    children = psutil.Process().children()
    return {child.pid for child in children if "spawn_main" in " ".join(child.cmdline())}


async def answer(second: SecondCaptioners, within_s: float) -> CaptionAnswer:
    """Our entry and what is beside it, for a request that is too late after within_s."""
    now = asyncio.get_running_loop().time()
    asked = second.ask("photos", [photograph(*SQUARES)])
    (one,) = await second.beside(OURS, "photos", asked, now, now + within_s)
    return one


async def follow_models(second: SecondCaptioners, models: list[Mapping[str, Model]]) -> list[set[int]]:
    """The processes after each change of the model; the last one hangs at the end."""
    await second.start(models[0])
    found = [processes()]
    for changed in models[1:]:
        await second.follow(changed)
        found.append(processes())
        assert (one := await answer(second, 300)).second
        assert (one.caption, one.second.caption) == ("ours", "red squares")
    for process in found[-1]:
        os.kill(process, signal.SIGSTOP)
    began = asyncio.get_running_loop().time()
    late = await answer(second, within_s=2)
    assert asyncio.get_running_loop().time() - began < 2  # before the request is too late
    assert late.second
    assert (late.caption, late.second.caption) == ("ours", None)
    await second.close()
    return found


@pytest.mark.slow
def test_neighbours_follow_the_model_and_stay_as_they_are_where_they_cannot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path / "lake")
    photos, molecules = (pretrained_model(name, "the test") for name in ("photos", "molecules"))
    copied = Model("copied", Path(shutil.copytree(photos.directory, tmp_path / "copied")))
    names = "serving.second_captioners={photos: nearest_neighbours}"
    overrides = [f"storage.root={tmp_path / 'lake'}", names, "serving.second_deadline_s=300", "serving.deadline_s=600"]
    settings = load_settings("photos", "local", overrides)
    second = SecondCaptioners(settings, {"photos": settings.cleaning}, Metrics())
    models = [{"photos": model} for model in (photos, photos, copied, molecules)]
    first, same, changed, refused = asyncio.run(follow_models(second, models))
    assert len(first) == len(changed) == 1
    assert (same, refused) == (first, changed)
    assert changed != first
    assert "the second captioner stays as it is: nearest_neighbours compares features of a frozen" in caplog.text
    assert processes() == set()
