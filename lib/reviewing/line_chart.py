"""Line charts as SVG coordinates, which the template draws."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

LEFT, RIGHT, TOP, BOTTOM = 46.0, 446.0, 12.0, 168.0  # of the plot, in units of the SVG
MAX_MARKED = 40  # points of a line that are marked one by one

Points = Sequence[tuple[float, float]]


class Tick(NamedTuple):
    """A label of an axis and where it stands."""

    position: float
    label: str


class Line(NamedTuple):
    """One line of a chart."""

    name: str
    points: list[tuple[float, float]]  # x and y in units of the SVG
    last: str  # the last value in words

    @property
    def marked(self) -> list[tuple[float, float]]:
        """The points that are marked one by one; none where they are many."""
        return self.points if len(self.points) <= MAX_MARKED else []


class LineChart(NamedTuple):
    """Lines with their axes; `words` says the same to those who cannot see them."""

    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    words: str


def line_chart(
    title: str,
    lines: Mapping[str, Points],
    x_ticks: Mapping[float, str],
    highest: float | None = None,
    decimals: int = 2,
) -> LineChart | None:
    """Lines by name, each of points by rising x, over an axis that begins at 0 and ends at `highest`.

    Without `highest` it ends above the highest value. `x_ticks` are labels by x. Values are written with `decimals`
    decimal places; those that are no numbers are left out. None if no line has a point.
    """
    finite = {name: [(x, y) for x, y in points if isfinite(x) and isfinite(y)] for name, points in lines.items()}
    drawn = {name: points for name, points in finite.items() if points}
    if not drawn:
        return None
    every_x = [x for points in drawn.values() for x, _ in points]
    top = highest or 1.05 * max(y for points in drawn.values() for _, y in points) or 1.0
    first, span = min(every_x), (max(every_x) - min(every_x)) or 1.0
    centred = (RIGHT - LEFT) / 2 if len(set(every_x)) == 1 else 0.0

    def position_x(x: float) -> float:
        return round(LEFT + centred + (x - first) / span * (RIGHT - LEFT), 1)

    def position_y(y: float) -> float:
        return round(BOTTOM - min(max(y / top, 0.0), 1.0) * (BOTTOM - TOP), 1)

    drawn_lines = [
        Line(name, [(position_x(x), position_y(y)) for x, y in points], f"{points[-1][1]:.{decimals}f}")
        for name, points in drawn.items()
    ]
    said = ", ".join(
        f"{name} from {points[0][1]:.{decimals}f} to {points[-1][1]:.{decimals}f}" for name, points in drawn.items()
    )
    return LineChart(
        drawn_lines,
        [Tick(position_x(x), label) for x, label in x_ticks.items()],
        [Tick(position_y(top * part), f"{top * part:.{decimals}f}") for part in (0.0, 0.5, 1.0)],
        f"{title}: {said}",
    )
