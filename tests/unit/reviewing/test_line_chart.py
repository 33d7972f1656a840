"""Lines as coordinates of an SVG, and the same in words."""

import pytest

from lib.reviewing.line_chart import BOTTOM, LEFT, MAX_MARKED, RIGHT, TOP, Tick, line_chart


def test_a_line_lies_between_its_axes_and_is_said_in_words() -> None:
    chart = line_chart(
        "By day", {"exact": [(1, 0.0), (3, 1.0)], "confidence": []}, {1: "first", 3: "last"}, highest=1.0
    )
    assert chart is not None
    (line,) = chart.lines
    assert line.points == line.marked == [(LEFT, BOTTOM), (RIGHT, TOP)]
    assert chart.x_ticks == [Tick(LEFT, "first"), Tick(RIGHT, "last")]
    assert [tick.label for tick in chart.y_ticks] == ["0.00", "0.50", "1.00"]
    assert chart.words == "By day: exact from 0.00 to 1.00"


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9])
def test_a_single_point_stands_in_the_middle(value: float) -> None:
    chart = line_chart("Loss", {"loss": [(7, value)]}, {7: "7"})
    assert chart is not None
    ((x, y),) = chart.lines[0].points
    assert x == chart.x_ticks[0].position == (LEFT + RIGHT) / 2
    assert TOP <= y <= BOTTOM


def test_what_is_no_number_is_left_out_and_nothing_is_no_chart() -> None:
    nan, infinity = float("nan"), float("inf")
    assert line_chart("Loss", {"loss": [(1, nan), (2, infinity)]}, {}) is None
    assert line_chart("Loss", {}, {}) is None
    chart = line_chart("Loss", {"loss": [(0, nan), (1, 2.0), (2, 1.0)]}, {})
    assert chart is not None
    assert chart.words == "Loss: loss from 2.00 to 1.00"


def test_points_of_a_long_line_are_not_marked_one_by_one() -> None:
    chart = line_chart("Loss", {"loss": [(step, 1.0) for step in range(MAX_MARKED + 1)]}, {})
    assert chart is not None
    assert chart.lines[0].marked == []
