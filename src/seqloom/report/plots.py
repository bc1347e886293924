"""Draws the curves of a training and the confusion matrix."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seqloom.report import fonts
from seqloom.report.canvas import COLOURS, legend, new_figure, plain, stand_ins_for, write
from seqloom.report.verdict import SHARES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_LABELS", "confusion", "curves"]

MOST_LABELS = 20
"""A confusion matrix of more labels shows these many, the largest, and one row and column for all others."""

POINTS = 200  # of a curve; more of them hide the way it goes behind its noise


def curves(
    metrics: Iterable[Mapping[str, Any]],
    target: str | Path | IO[bytes],
    *,
    metric: str | None = None,
    x: str = "step",
    best: float | None = None,
    format: str | None = None,
) -> None:
    """Draws loss (left axis) and metric (right axis) of training and validation, as tutorials do.

    Args:
        metrics: the lines of ``metrics.jsonl``: ``{"part": "train", "step": 10, "loss": 1.2, "accuracy": 0.6}``.
        target: where to write, a path or a binary buffer.
        metric: the key of the right axis; without it ``perplexity`` or ``accuracy``, whichever there is.
        x: the key of the horizontal axis: ``step``, ``epoch``, ``seconds``, ``examples``.
        best: where on the horizontal axis to mark the best weights.
        format: ``svg``, ``png`` or ``pdf``; without it the ending of the path, or ``svg`` for a buffer.
    """
    from matplotlib.ticker import MaxNLocator

    rows = list(metrics)
    if metric is None:
        metric = next((name for name in ("perplexity", "accuracy") if any(name in row for row in rows)), None)
    figure = new_figure(8.4, 3.9)
    left = figure.add_subplot()
    plain(left)
    left.set_xlabel(x, color=COLOURS["muted"])
    if x in ("step", "examples"):
        left.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    _draw_pair(left, rows, x, "loss", "first")
    handles, names = left.get_legend_handles_labels()
    if metric is not None and any(_value(row, metric) is not None for row in rows):
        right = left.twinx()
        plain(right, side="right")
        _draw_pair(right, rows, x, metric, "second")
        if metric in SHARES:
            right.yaxis.set_major_formatter(lambda share, place: f"{100 * share:g} %")
        more_handles, more_names = right.get_legend_handles_labels()
        handles, names = handles + more_handles, names + more_names
    if best is not None:
        line = left.axvline(best, color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)), zorder=1)
        handles, names = [*handles, line], [*names, f"best, {x} {best:,g}"]
    if handles:
        legend(figure, handles, names)
    write(figure, target, format)


def confusion(
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    target: str | Path | IO[bytes],
    *,
    most: int = MOST_LABELS,
    format: str | None = None,
) -> dict[str, str]:
    """Draws a confusion matrix: a row for each true label, shaded by its share of the row.

    Args:
        labels: the K names, in any script.
        counts: [K, K], true by predicted.
        target: where to write, a path or a binary buffer.
        most: labels shown by name; those with fewer records are added up as "others".
        format: as in ``curves``.

    Returns:
        The labels that no installed font can draw, by the name that stands for each in the plot:
        ``{"label 1": "긍정"}``. Empty when everything could be drawn.
    """
    names, table = largest([str(label) for label in labels], counts, most)
    drawn, stand_ins = stand_ins_for(names)
    size = max(0.34 * len(names), 1.7)
    longest = max(map(_width, drawn), default=0)
    margin = 0.09 * longest + 0.75
    figure = new_figure(size + margin, size + margin + (0.3 if stand_ins else 0))
    axes = figure.add_subplot()
    _draw_matrix(axes, table)
    family = fonts.families(drawn)
    slanted = longest > 4 and len(drawn) > 2
    style: dict[str, Any] = {"family": family, "fontsize": 9, "color": COLOURS["ink"], "parse_math": False}
    slant: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axes.set_xticks(range(len(drawn)), drawn, **style, **slant)
    axes.set_yticks(range(len(drawn)), drawn, **style)
    axes.set_xlabel("predicted", color=COLOURS["muted"])
    axes.set_ylabel("true", color=COLOURS["muted"])
    if stand_ins:
        figure.suptitle("numbered: labels that no\ninstalled font can draw", fontsize=8, color=COLOURS["muted"])
    write(figure, target, format)
    return stand_ins


def largest(
    labels: Sequence[str], counts: Sequence[Sequence[int]], most: int = MOST_LABELS
) -> tuple[list[str], list[list[int]]]:
    """The ``most`` labels with the most records, in their order, and one more for the sum of all others."""
    if len(labels) <= most:
        return list(labels), [list(row) for row in counts]
    by_size = sorted(range(len(labels)), key=lambda index: (-sum(counts[index]), index))
    kept = sorted(by_size[:most])
    place = {index: place for place, index in enumerate(kept)}
    table = [[0] * (most + 1) for _ in range(most + 1)]
    for row, line in enumerate(counts):
        for column, count in enumerate(line):
            table[place.get(row, most)][place.get(column, most)] += count
    return [*(labels[index] for index in kept), f"others ({len(labels) - most})"], table


def _width(text: str) -> int:
    """The width of a text in Latin letters: Hangul, Chinese and Japanese characters are as wide as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _draw_matrix(axes: Axes, table: Sequence[Sequence[int]]) -> None:
    """One square for each count, shaded by its share of the row."""
    from matplotlib.patches import Rectangle

    size = max(1, len(table))
    # The squares hold the counts, so the layout need not measure them.
    style: dict[str, Any] = {"ha": "center", "va": "center", "in_layout": False}
    for row, line in enumerate(table):
        total = sum(line) or 1
        for column, count in enumerate(line):
            share = count / total
            if count:
                corner = (column - 0.47, row - 0.47)
                axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=COLOURS["cell"], alpha=0.06 + 0.9 * share))
            colour = COLOURS["on-cell" if share > 0.65 else "ink" if count else "grid"]
            fontsize = 6.5 if size > 12 or count > 99_999 else 8.5
            axes.text(column, row, _short(count), fontsize=fontsize, color=colour, **style)
    axes.set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal", facecolor="none")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _short(count: int) -> str:
    """A count in at most five characters: 9999, 12.3k, 4.5M."""
    if count < 10_000:
        return str(count)
    value, letter = (count / 1_000, "k") if count < 1_000_000 else (count / 1_000_000, "M")
    return f"{value:.0f}{letter}" if value >= 100 else f"{value:.1f}{letter}"


def _draw_pair(axes: Axes, rows: Sequence[Mapping[str, Any]], x: str, key: str, colour: str) -> None:
    """The training and the validation line of one quantity."""
    values: list[float] = []
    for part, name, width, alpha in (("train", "training", 1.2, 0.5), ("valid", "validation", 2.0, 1.0)):
        points = thin(_points([row for row in rows if row.get("part") == part], x, key))
        if not points:
            continue
        xs, ys = zip(*points, strict=True)
        marker = "o" if len(points) == 1 or (part == "valid" and len(points) <= 40) else ""
        line = axes.plot(xs, ys, label=f"{key}, {name}", color=COLOURS[colour], alpha=alpha)[0]
        line.set(linewidth=width, marker=marker, markersize=4)
        values += ys
    axes.set_ylabel(key.replace("_", " "), color=COLOURS[colour])
    if key == "perplexity" and values and min(values) > 0 and max(values) / min(values) > 20:
        axes.set_yscale("log")


def _points(rows: Iterable[Mapping[str, Any]], x: str, key: str) -> list[tuple[float, float]]:
    pairs = ((_value(row, x), _value(row, key)) for row in rows)
    return [(left, right) for left, right in pairs if left is not None and right is not None]


def _value(row: Mapping[str, Any], key: str) -> float | None:
    """A finite number of a report; perplexity is the exponential of the loss where it is not given."""
    value = row.get(key)
    if value is None and key == "perplexity":
        loss = row.get("loss")
        value = math.exp(loss) if isinstance(loss, int | float) and loss < 700 else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def thin(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """At most ``most`` points: neighbours are replaced by their mean, which also calms a noisy line."""
    if len(points) <= most:
        return list(points)
    edges = [round(index * len(points) / most) for index in range(most + 1)]
    groups = [points[low:high] for low, high in pairwise(edges)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
