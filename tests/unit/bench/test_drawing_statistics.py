"""Our drawings look like the genuine ones: `pytest tests/unit/bench/test_drawing_statistics.py`."""

from itertools import chain, islice

import pytest

from bench.drawing_statistics import GENUINE, measure, summarize, tabulate
from bench.lakeless_settings import lakeless_settings
from lib.molecules.drawing_batches import draw_batches


def figures(num_drawings: int, *overrides: str) -> dict[str, float]:
    settings = lakeless_settings(["drawing.num_processes=1", *overrides]).drawing
    drawings = islice(chain.from_iterable(batch.drawings for batch in draw_batches(settings)), num_drawings)
    return summarize([measure(drawing, settings) for drawing in drawings], settings)


@pytest.fixture(scope="module")
def ours() -> dict[str, float]:
    return figures(400)


@pytest.mark.slow
def test_every_genuine_figure_has_ours_beside_it(ours: dict[str, float]) -> None:
    assert set(ours) == set(GENUINE)
    assert len(tabulate(ours).rows) == len(GENUINE)


@pytest.mark.parametrize(
    ("figure", "off_by"),
    [
        ("mean width, px", 0.1),
        ("mean height, px", 0.1),
        ("median width / height", 0.2),
        ("at the small size, fraction", 0.2),
        ("margin, px, small size", 0.15),
        ("margin, px, large size", 0.1),
        ("height of letters, px, large size", 0.09),
        ("bonds without ink, fraction", 0.35),
        ("heavy atoms", 0.1),
        ("tokens per label, mean", 0.1),
    ],
)
def test_a_figure_is_about_the_genuine_one(ours: dict[str, float], figure: str, off_by: float) -> None:
    assert ours[figure] == pytest.approx(GENUINE[figure][0], rel=off_by)


@pytest.mark.parametrize(
    "figure",
    [
        "height of letters, px, small size",
        "specks, per pixel of paper",
        "missing ink, fraction, small size",
        "missing ink, fraction, large size",
        "with stereo, fraction of labels",
        "with /t, fraction of labels",
        "mean ink, fraction of pixels",
        "mean bytes of a PNG",
    ],
)
def test_a_figure_is_within_the_genuine_range(ours: dict[str, float], figure: str) -> None:
    lowest, highest = GENUINE[figure]
    assert lowest <= ours[figure] <= highest


@pytest.mark.slow
def test_hardly_any_is_higher_than_wide_and_some_have_heavy_hydrogen(ours: dict[str, float]) -> None:
    assert ours["higher than wide, fraction"] <= 0.02
    assert figures(100, "drawing.isotope_fraction=0.5")["with D or T, fraction of labels"] > 0.3


def test_what_is_drawn_otherwise_is_measured_otherwise() -> None:
    other = figures(
        60,
        "drawing.drawers={indigo: 0, rdkit: 1}",
        "drawing.noise=0",
        "drawing.stereo_fraction=0",
        "drawing.isotope_fraction=0",
        "drawing.margin_px=20",
        "drawing.reduced_fraction=1",
    )
    assert other["at the small size, fraction"] == 1
    assert other["margin, px, small size"] == pytest.approx(12, abs=2)
    for figure in (
        "missing ink, fraction, small size",
        "specks, per pixel of paper",
        "bonds without ink, fraction",
        "with /t, fraction of labels",
        "with D or T, fraction of labels",
    ):
        assert other[figure] == 0
