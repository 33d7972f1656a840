"""The charts of the quality report: figures in, SVG data URIs out. Knows no Spark."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from lib.captions.predictors import CONSTANT_CAPTION, LABELS, MODEL, NEAREST_NEIGHBOUR, SHUFFLED_PICTURES

# Blue, orange and grey stay apart for colour-blind people; lines differ in dashes too.
COLOURS = {MODEL: "#1d4ed8", CONSTANT_CAPTION: "#b45309", SHUFFLED_PICTURES: "#64748b", NEAREST_NEIGHBOUR: "#0f766e"}
DASHES: dict[str, Any] = {MODEL: "solid", CONSTANT_CAPTION: (0, (4, 1.5)), SHUFFLED_PICTURES: (0, (1, 1.2))}
POINTS, POINTS_COLOUR = "o--", "#b45309"
TEXT, GRID = "#334155", "#e2e8f0"
STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "axes.edgecolor": "#94a3b8",
    "lines.markersize": 4.5,
    "svg.hashsalt": "captionlake",  # the same figures give the same file
}
SIZE_IN = (4.9, 3.1)  # small, so that the text is still read on a phone


def histogram_chart(fractions: Mapping[str, Sequence[float]], edges: Sequence[float], label: str) -> str:
    """Fraction of images per bin, one outline per predictor; the model's is filled."""

    def draw(axes: Axes) -> None:
        for predictor, values in fractions.items():
            colour = COLOURS[predictor]
            if predictor == MODEL:
                axes.stairs(values, edges, fill=True, alpha=0.18, color=colour)
            axes.stairs(
                values, edges, color=colour, linestyle=DASHES[predictor], linewidth=1.8, label=LABELS[predictor]
            )
        axes.set(xlabel=label, ylabel="fraction of images", xlim=(edges[0], edges[-1]), ylim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        _legend_above(axes)

    return _svg(draw)


def loss_chart(train: Sequence[tuple[int, float]], validation: Sequence[tuple[int, float]]) -> str:
    """Loss by optimizer step; logarithmic, because the last half of a training is flat on any other scale."""

    def draw(axes: Axes) -> None:
        if train:
            axes.plot(*zip(*train, strict=True), color=COLOURS[MODEL], linewidth=1.2, label="train")
        if validation:
            axes.plot(*zip(*validation, strict=True), POINTS, color=POINTS_COLOUR, linewidth=1.4, label="validation")
        axes.set(xlabel="optimizer steps", ylabel="loss (nats per token)", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        _legend_above(axes)

    return _svg(draw)


def confidence_chart(deciles: Sequence[tuple[float, float, float]]) -> str:
    """Bars of the fraction that is exact, beside the confidence in it, and points of the mean similarity, by tenth.

    `deciles` are (mean confidence, fraction exact, mean similarity), least confident first.
    """
    confidence, exact, similarity = zip(*deciles, strict=True)
    positions = range(len(deciles))

    def draw(axes: Axes) -> None:
        axes.bar(positions, exact, color=COLOURS[MODEL], alpha=0.75, width=0.7, label="exact")
        axes.plot(positions, confidence, "_", color=TEXT, markersize=19, markeredgewidth=1.8, label="confidence")
        axes.plot(positions, similarity, POINTS, color=POINTS_COLOUR, linewidth=1.4, label="mean similarity")
        axes.set(xlabel="mean confidence of each tenth", ylabel="fraction exact, means", ylim=(0, 1.03))
        axes.set_xticks(positions, [f"{value:.2f}" for value in confidence], fontsize=9)
        _legend_above(axes)

    return _svg(draw)


def sentence_confidence_chart(deciles: Sequence[tuple[float, float]]) -> str:
    """Bars of the mean CIDEr by tenth; `deciles` are (mean confidence, mean CIDEr), least confident first."""
    confidence, cider = zip(*deciles, strict=True)
    positions = range(len(deciles))

    def draw(axes: Axes) -> None:
        axes.bar(positions, cider, color=COLOURS[MODEL], alpha=0.75, width=0.7)
        axes.set(xlabel="mean confidence of each tenth", ylabel="mean CIDEr", ylim=(0, None))
        axes.set_xticks(positions, [f"{value:.2f}" for value in confidence], fontsize=9)

    return _svg(draw)


def _legend_above(axes: Axes) -> None:
    axes.legend(
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=3,
        frameon=False,
        fontsize=9.5,
        columnspacing=1.2,
        handlelength=1.8,
        borderaxespad=0.2,
    )


def _svg(draw: Callable[[Axes], None]) -> str:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        draw(axes)
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
