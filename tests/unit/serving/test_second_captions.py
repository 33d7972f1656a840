"""A second captioner in a real process, whatever it does: `pytest -n 0 tests/unit/serving/test_second_captions.py`."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import pytest

from lib.captioning.second_captioner import SecondCaption, SecondCaptioner
from lib.errors import RuntimeMissingError, SettingsError
from lib.serving.second_captions import BUSY, ENDED, STARTING, SecondCaptions
from lib.settings import load_settings

WITHIN_S = 120  # for a process to start on a busy machine


class Obedient:
    """Does what the images say: nothing, wait for ever, end the process, print."""

    def caption(self, images: Sequence[bytes]) -> list[SecondCaption]:
        for image in images:
            if image == b"hang":
                time.sleep(3600)
            if image == b"crash":
                os._exit(1)
            if image == b"raise":
                raise KeyError("all of the batch")
        print("a library that prints", flush=True)
        return [SecondCaption(f"{image.decode()} of {len(images)}") for image in images]


class Source(NamedTuple):
    """Loads an Obedient, or does not."""

    fault: str | None = None
    num_threads: int = 1

    def load(self) -> Mapping[str, SecondCaptioner]:
        if self.fault == "ends":
            os._exit(1)
        if self.fault:
            raise SettingsError(self.fault)
        return {"photos": Obedient()}


OBEDIENT = Source()


def second(source: Source = OBEDIENT, **changes: float) -> SecondCaptions:
    overrides = {"deadline_s": 3, "second_deadline_s": 1, "batch_size": 2, **changes}
    settings = load_settings("photos", "local", [f"serving.{name}={value}" for name, value in overrides.items()])
    return SecondCaptions("photos", source, settings.serving)


@contextmanager
def started(**changes: float) -> Iterator[SecondCaptions]:
    captions = second(**changes)
    captions.start()
    yield captions
    captions.close()


def said(captions: SecondCaptions, *images: bytes, within_s: float = WITHIN_S) -> list[SecondCaption]:
    asked = captions.ask(images)
    wait(asked, timeout=within_s)
    return captions.answered(asked)


def eventually(is_true: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not is_true():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_images_are_captioned_in_batches_and_what_is_printed_stays_out_of_standard_output(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with started() as captions:
        assert [one.caption for one in said(captions, b"a", b"b", b"c")] == ["a of 2", "b of 2", "c of 1"]
        assert said(captions, b"raise", b"a") == [SecondCaption(None, ENDED, "failed")] * 2
        assert said(captions, b"a") == [SecondCaption("a of 1")]
    assert "a library that prints" not in capfd.readouterr().out


def test_one_that_hangs_is_waited_for_once_then_ended_and_started_again() -> None:
    with started() as captions:
        late = said(captions, b"hang", b"a", within_s=1.2)
        assert [(one.outcome, one.reason) for one in late] == [
            ("late", "the second captioner had not answered after 1 s")
        ] * 2
        assert said(captions, b"b") == [SecondCaption(None, BUSY, "unavailable")]  # and does not wait for it
        eventually(lambda: said(captions, b"b") == [SecondCaption(None, STARTING, "unavailable")])
        eventually(lambda: said(captions, b"b") == [SecondCaption("b of 1")])


def test_one_that_ends_costs_its_batch_and_is_started_again() -> None:
    with started() as captions:
        crashed, waiting = captions.ask([b"crash", b"a"]), captions.ask([b"b"])
        assert [one.result(WITHIN_S).reason for one in (*crashed, *waiting)] == [ENDED, ENDED, STARTING]
        eventually(lambda: said(captions, b"b") == [SecondCaption("b of 1")])


def test_images_that_nobody_waits_for_any_longer_are_passed_over() -> None:
    with started(second_deadline_s=3, max_queued_images=4, max_images_per_request=4) as captions:
        slow = captions.ask([b"hang"])
        eventually(lambda: slow[0].running())
        given_up = captions.ask([b"hang", b"hang", b"hang", b"hang"])
        assert said(captions, b"a") == [SecondCaption(None, BUSY, "unavailable")]  # as many wait as may
        captions.answered(given_up)
        eventually(lambda: said(captions, b"a") == [SecondCaption("a of 1")])
        assert slow[0].result().outcome == "failed"


def test_closing_it_leaves_no_process_and_nobody_waiting() -> None:
    with started(deadline_s=3600) as captions:
        asked = captions.ask([b"hang", b"a", b"b"])
        eventually(lambda: asked[0].running())
        (process,) = [one for one in psutil.Process().children() if "spawn_main" in " ".join(one.cmdline())]
        captions.close()
        assert [one.result(WITHIN_S).reason for one in asked] == [ENDED, ENDED, STARTING]
        assert not process.is_running()
        assert said(captions, b"a") == [SecondCaption(None, STARTING, "unavailable")]


def test_one_that_cannot_be_loaded_is_said_in_a_sentence() -> None:
    broken, ending = second(Source("no features here")), second(Source("ends"))
    with pytest.raises(SettingsError, match=r"^no features here$"):
        broken.start()
    with pytest.raises(RuntimeMissingError, match="the process that captions did not start: it has ended"):
        ending.start()
    for captions in (broken, ending):
        assert said(captions, b"a") == [SecondCaption(None, STARTING, "unavailable")]
        captions.close()
