"""Random images, archives, tables and layouts: `pytest -m slow tests/slow/test_fuzz.py`; FUZZ_SECONDS=600 for longer.

Hypothesis makes the smallest input that fails and prints it.
"""

import csv
import io
import os
import resource
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.hostile_files import tarred, zipped
from bench.hostile_images import READ, legal_images
from bench.hostile_outcomes import cleaned_or_reason
from lib.errors import LandingZoneError
from lib.images.decoding import decode_image
from lib.lake.layout_columns import LAYOUT_COLUMNS
from lib.lake.schemas import REJECTION_REASONS
from lib.landing.archives import HIDDEN_MEMBERS, OTHER_MEMBERS, list_arrivals, read_arrivals
from lib.landing.caption_files import CaptionRow, examine, read_rows
from lib.landing.layout_ingestion import _check_columns, _read_layouts
from lib.landing.zone import LandedFile
from lib.settings import load_settings

hypothesis = pytest.importorskip("hypothesis", reason="needs the Python package hypothesis")
st = hypothesis.strategies

# Pillow warns of odd files, which are its own business.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
NUM_PROPERTIES = 8
SECONDS_EACH = float(os.environ.get("FUZZ_SECONDS", "60")) / NUM_PROPERTIES
EXAMPLES_PER_ROUND = 50
SETTINGS = load_settings("molecules", "local", ["landing.path=/nowhere", "storage.root=/nowhere"])
MAX_GROWTH_BYTES = 25 * SETTINGS.cleaning.max_pixels  # of the process, while one property is tried
LEGAL = sorted(legal_images().items())

byte_changes = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6)
member_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\\\0\ufffd"), max_size=30)
small_files = st.dictionaries(member_names, st.binary(max_size=300), max_size=5)
cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufffd"), max_size=40)


def fuzz(holds: Callable[..., None], **inputs: Any) -> None:
    """Try a property in rounds of other random inputs until its time is over; the process may not grow meanwhile."""
    deadline, number = time.monotonic() + SECONDS_EACH, 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    profile = hypothesis.settings(
        max_examples=EXAMPLES_PER_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    while number == 0 or time.monotonic() < deadline:
        hypothesis.seed(number)(profile(hypothesis.given(**inputs)(holds)))()
        number += 1
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert growth < MAX_GROWTH_BYTES


def changed(content: bytes, changes: list[tuple[float, int]], share_kept: float) -> bytes:
    """The content with bytes replaced, at fractions of its length, and cut."""
    result = bytearray(content)
    for fraction, value in changes:
        if result:
            result[min(int(fraction * len(result)), len(result) - 1)] = value
    return bytes(result[: round(share_kept * len(result))])


def read_archive(path: Path) -> list[tuple[str, bytes | None, str | None]]:
    """image_id, bytes and reason of each arrival; each has bytes or a documented reason."""
    arrivals = list(list_arrivals(LandedFile(f"file://{path}", path.stat().st_size, ""), SETTINGS.landing))
    outcomes = [(arrival.image_id, content, reason) for arrival, content, reason, _ in read_arrivals(arrivals)]
    for image_id, content, reason in outcomes:
        assert (content is None) == (reason in (*REJECTION_REASONS, HIDDEN_MEMBERS, OTHER_MEMBERS))
        image_id.encode()
        assert "\ufffd" not in image_id
    return outcomes


def test_any_change_of_an_image_leaves_an_image_or_a_reason() -> None:
    def holds(legal: tuple[str, bytes], changes: list[tuple[float, int]], share_kept: float) -> None:
        outcome = cleaned_or_reason(changed(legal[1], changes, share_kept), SETTINGS)
        assert outcome == READ or outcome in REJECTION_REASONS

    fuzz(holds, legal=st.sampled_from(LEGAL), changes=byte_changes, share_kept=st.sampled_from([1.0, 1.0, 0.9, 0.5]))


def test_any_bytes_are_an_image_or_have_a_reason() -> None:
    def holds(start: bytes, content: bytes) -> None:
        assert cleaned_or_reason(start + content, SETTINGS) in (READ, *REJECTION_REASONS)

    fuzz(holds, start=st.sampled_from([b"", *(content[:40] for _, content in LEGAL)]), content=st.binary(max_size=500))


def test_pixels_that_are_written_without_loss_are_read_as_they_are() -> None:
    def holds(suffix: str, height: int, width: int, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
        np.testing.assert_array_equal(
            decode_image(cv2.imencode(suffix, pixels)[1].tobytes(), SETTINGS.cleaning), pixels
        )

    sides = st.integers(1, 40)
    fuzz(holds, suffix=st.sampled_from([".png", ".tif", ".bmp"]), height=sides, width=sides, seed=st.integers(0, 999))


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_members_are_read_as_they_are_and_changed_archives_give_members_or_reasons(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"

    def holds(files: dict[str, bytes], changes: list[tuple[float, int]], share_kept: float) -> None:
        images = {f"pic{name}.png": content for name, content in files.items()}
        whole = zipped(images) if suffix == "zip" else tarred(images, is_packed=suffix == "tar.gz")
        path.write_bytes(whole)
        expected = [(unicodedata.normalize("NFC", f"pic{name}"), content) for name, content in files.items()]
        assert [(image_id, content) for image_id, content, _ in read_archive(path)] == expected
        path.write_bytes(changed(whole, changes, share_kept))
        read_archive(path)

    fuzz(holds, files=small_files, changes=byte_changes, share_kept=st.sampled_from([1.0, 1.0, 0.9, 0.5]))


def test_caption_rows_are_read_as_they_are_and_any_bytes_give_rows_or_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"

    def rows() -> list[CaptionRow]:
        file = examine(f"file://{path}", "", SETTINGS.landing)
        return list(read_rows(file, SETTINGS.landing, ("InChI=",))) if file else []

    def holds(captions: list[str], changes: list[tuple[float, int]], more: bytes) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([("image_id", "InChI"), *((f"p{i}", f"InChI={one}") for i, one in enumerate(captions))])
        path.write_bytes(text.getvalue().encode())
        assert [(row.image_id, row.caption, row.reason) for row in rows()] == [
            (f"p{i}", f"InChI={one}".strip(), None) for i, one in enumerate(captions)
        ]
        path.write_bytes(changed(text.getvalue().encode(), changes, 1.0) + more)
        with suppress(LandingZoneError):
            for row in rows():
                assert row.reason is None or row.reason in REJECTION_REASONS
                f"{row.image_id}{row.caption}{row.detail}".encode()

    fuzz(holds, captions=st.lists(cells, max_size=8), changes=byte_changes, more=st.binary(max_size=80))


def test_layouts_are_read_as_they_are_and_any_change_is_a_fault_that_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a_layouts.parquet"
    file = LandedFile(f"file://{path}", 0, "")

    def read() -> pd.DataFrame:
        try:
            _check_columns(file)
        except LandingZoneError:
            return pd.DataFrame({"fault": ["said"]})
        batches = iter([pd.DataFrame({"path": [file.path]})])
        return pd.concat(list(_read_layouts(batches, SETTINGS.landing)))

    def holds(lengths: list[int], changes: list[tuple[float, int]], share_kept: float) -> None:
        kinds = {"float": pa.float32(), "int": pa.int32()}
        columns = {
            name: pa.array([list(range(n)) for n in lengths], pa.list_(kinds[kind]))
            for name, (kind, _) in LAYOUT_COLUMNS.items()
        }
        ids = pa.array([f"p{i}" for i in range(len(lengths))], pa.string())
        pq.write_table(pa.table({"image_id": ids} | columns), path)
        rows = read().dropna(subset="image_id")
        assert [list(x) for x in rows["atom_x"]] == [list(range(n)) for n in lengths]
        path.write_bytes(changed(path.read_bytes(), changes, share_kept))
        read()

    fuzz(
        holds,
        lengths=st.lists(st.integers(0, 5), min_size=1, max_size=6),
        changes=byte_changes,
        share_kept=st.sampled_from([1.0, 1.0, 0.9]),
    )
