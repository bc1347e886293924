"""Draws forecasts: a series with its forecast and interval, errors by step, residuals, calibration, waves."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from seqloom.report import fonts
from seqloom.report.canvas import COLOURS, is_narrow, legend, new_figure, plain, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["calibration", "error_by_step", "forecast", "residuals", "waves", "without_zone"]

Target = str | Path | IO[bytes]
"""Where to write: a path, or a binary buffer."""

LEAST_HISTORY = 24  # rows before the forecast that are shown, where there are so many
HISTORY = 3  # times the horizon, otherwise
MARKED = 16  # points of a line up to which each gets a mark
PANELS = 4  # waves in one picture


def forecast(
    sample: Mapping[str, Any], target: Target, *, rule: str = "simple rule", format: str | None = None
) -> None:
    """Draws one window: what was known, what came, the forecast with its interval, and the best simple rule.

    Args:
        sample: ``history``, ``actual`` [F], ``forecast`` [F], and where they are there ``lower`` and ``upper`` [F],
            ``naive`` [F] and ``times``, ISO time stamps of the history and then of the F steps.
        target: where to write, a path or a binary buffer.
        rule: the name of the rule that made ``naive``.
        format: ``svg``, ``png`` or ``pdf``; without it the ending of the path, or ``svg`` for a buffer.
    """
    horizon = len(sample["forecast"])
    history = _numbers(sample["history"])[-max(LEAST_HISTORY, HISTORY * horizon) :]
    actual, future = _numbers(sample["actual"]), _numbers(sample["forecast"])
    x = _places(sample.get("times"), len(history), horizon)
    figure = new_figure(8.4, 2.9)
    axes = figure.add_subplot()
    plain(axes)
    # What came goes on from what was known, without a gap between the two.
    joint = max(0, len(history) - 1)
    _line(axes, x[: len(history)], history, "known", "muted", 1.2)
    _line(axes, x[joint:], np.concatenate([history[joint:], actual]), "what came", "ink", 1.3)
    ahead = x[len(history) :]
    if sample.get("naive") is not None:
        _line(axes, ahead, _numbers(sample["naive"]), rule, "second", 1.2, dashed=True)
    _line(axes, ahead, future, "forecast", "first", 2.0)
    if sample.get("lower") is not None and sample.get("upper") is not None:
        _band(axes, ahead, _numbers(sample["lower"]), _numbers(sample["upper"]))
    if sample.get("times"):
        _dates(axes)
        zone = without_zone(sample["times"][-1])[1]
        if zone:
            axes.set_xlabel(f"UTC{zone.removeprefix('Z')}", color=COLOURS["muted"])
    else:
        axes.set_xlabel("rows from the last one known", color=COLOURS["muted"])
    _name_values(axes, sample.get("target"))
    legend(figure, *axes.get_legend_handles_labels())
    write(figure, target, format)


def error_by_step(
    by_step: Sequence[Mapping[str, Any]],
    target: Target,
    *,
    unit: str | None = None,
    rule: str = "best simple rule",
    format: str | None = None,
) -> None:
    """Draws the mean absolute error at each step ahead, beside the best simple rule's.

    Args:
        by_step: rows of ``step`` (from 1), ``mae``, and ``naive``: the rule's, or None.
        target: where to write, a path or a binary buffer.
        unit: of the errors, for the axis.
        rule: the name of the rule that made ``naive``.
        format: as in ``forecast``.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(8.4, 3.1)
    axes = figure.add_subplot()
    plain(axes)
    steps = np.array([row["step"] for row in by_step])
    if any(row.get("naive") is not None for row in by_step):
        _line(axes, steps, _numbers([row.get("naive") for row in by_step]), rule, "second", 1.4, dashed=True)
    _line(axes, steps, _numbers([row["mae"] for row in by_step]), "this model", "first", 2.0)
    axes.set_xlabel("steps ahead", color=COLOURS["muted"])
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    name = f"MAE, {unit}" if unit and fonts.drawable(unit) else "MAE"
    axes.set_ylabel(name, color=COLOURS["ink"], family=fonts.families([name]), parse_math=False)
    legend(figure, *axes.get_legend_handles_labels())
    write(figure, target, format)


def residuals(found: Mapping[str, Any], target: Target, *, format: str | None = None) -> None:
    """Draws how often each error occurred (what came less the forecast), beside a normal curve of the same width.

    Args:
        found: ``edges`` [N+1], ``counts`` [N], ``mean`` and ``standard_deviation``.
        target: where to write, a path or a binary buffer.
        format: as in ``forecast``.
    """
    edges, counts = _numbers(found["edges"]), _numbers(found["counts"])
    figure = new_figure(8.4, 2.9)
    axes = figure.add_subplot()
    plain(axes)
    axes.stairs(counts, edges, fill=True, color=COLOURS["first"], alpha=0.45, label="residuals")
    mean, deviation = found.get("mean"), found.get("standard_deviation")
    if mean is not None and deviation:
        x = np.linspace(edges[0], edges[-1], 200)
        density = np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        scale = (counts * np.diff(edges)).sum()
        _line(axes, x, scale * density, "normal curve", "second", 1.4, dashed=True)
    axes.axvline(0, color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)))
    axes.set_xlabel("what came less the forecast", color=COLOURS["muted"])
    axes.set_ylabel("values", color=COLOURS["ink"])
    legend(figure, *axes.get_legend_handles_labels())
    write(figure, target, format)


def calibration(rows: Sequence[Mapping[str, float]], target: Target, *, format: str | None = None) -> None:
    """Draws which share of what came lay within the intervals, beside the share that was promised.

    Args:
        rows: ``level`` and ``coverage``, both from 0 to 1.
        target: where to write, a path or a binary buffer.
        format: as in ``forecast``.
    """
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(3.9, 3.9)
    axes = figure.add_subplot()
    plain(axes)
    axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (2, 3)), label="exact")
    levels, coverage = _numbers([r["level"] for r in rows]), _numbers([r["coverage"] for r in rows])
    axes.plot(levels, coverage, color=COLOURS["first"], linewidth=1.8, marker="o", markersize=5, label="this model")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal")
    axes.tick_params(pad=6)  # so that the two zeros at the corner stand apart
    for axis, name in ((axes.xaxis, "promised"), (axes.yaxis, "came true")):
        axis.set_major_formatter(PercentFormatter(xmax=1, symbol=" %"))
        axis.set_label_text(name, color=COLOURS["muted"])
    legend(figure, *axes.get_legend_handles_labels())
    write(figure, target, format)


def waves(
    true: Sequence[Sequence[float]],
    predicted: Sequence[Sequence[float]],
    target: Target,
    *,
    format: str | None = None,
) -> None:
    """Draws waves as tutorials do: a line for what is true, points for what was predicted.

    Args:
        true: [N, T], of which at most 4 are shown.
        predicted: [N, S], the predictions of the last S of the T points.
        target: where to write, a path or a binary buffer.
        format: as in ``forecast``.
    """
    figure = new_figure(8.4, 4.4)
    count = min(PANELS, len(true))
    panels = figure.subplots(math.ceil(count / 2), min(2, count), sharex=True, sharey=True, squeeze=False)
    for axes, line, points in zip(panels.flat, true, predicted, strict=False):
        plain(axes)
        axes.plot(range(len(line)), line, color=COLOURS["muted"], linewidth=1.4, label="true")
        style: dict[str, Any] = {"color": COLOURS["first"], "linestyle": "", "marker": "o", "markersize": 3.5}
        axes.plot(range(len(line) - len(points), len(line)), points, label="predicted", **style)
    for axes in panels.flat[count:]:
        axes.set_visible(False)
    legend(figure, *panels[0, 0].get_legend_handles_labels())
    write(figure, target, format)


def without_zone(time: str) -> tuple[str, str]:
    """An ISO time stamp as its clock shows it, and the offset behind it.

    >>> without_zone("2020-01-31T10:20:00+09:00"), without_zone("2020-01-31")
    (('2020-01-31T10:20:00', '+09:00'), ('2020-01-31', ''))
    """
    found = re.fullmatch(r"(.+?)(Z|[+-]\d\d:\d\d)?", time)
    return (time, "") if found is None else (found[1], found[2] or "")


# Lines ------------------------------------------------------------------------------------------------------------


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """Values as an array: None becomes a gap in the line."""
    return np.array([math.nan if value is None else value for value in values], dtype=np.float64)


def _places(times: Sequence[str] | None, known: int, horizon: int) -> NDArray[Any]:
    """Where each value stands on the axis: at its time, or counted from the last row known, which is 0."""
    if times:
        return np.array([without_zone(time)[0] for time in times[-(known + horizon) :]], dtype="datetime64[us]")
    return np.arange(1 - known, horizon + 1)


def _line(
    axes: Axes, x: NDArray[Any], y: NDArray[Any], name: str, colour: str, width: float, *, dashed: bool = False
) -> None:
    line = axes.plot(x, y, label=name, color=COLOURS[colour], linewidth=width)[0]
    line.set(marker="o" if len(x) <= MARKED else "", markersize=3.5, linestyle=(0, (4, 2)) if dashed else "-")


def _band(axes: Axes, x: NDArray[Any], lower: NDArray[Any], upper: NDArray[Any]) -> None:
    """The interval: an area, or a bar where there is but one step."""
    if len(x) == 1:
        axes.vlines(x, lower, upper, color=COLOURS["first"], linewidth=7, alpha=0.25, label="interval")
    else:
        axes.fill_between(x, lower, upper, color=COLOURS["first"], alpha=0.18, linewidth=0, label="interval")


def _dates(axes: Axes) -> None:
    """Time stamps as short as they can be: the year once, then months, days or hours."""
    from matplotlib import dates

    untyped: Any = dates
    locator = untyped.AutoDateLocator(minticks=3 if is_narrow() else 4, maxticks=5 if is_narrow() else 9)
    # Of ticks that tell years, months, days, hours, minutes, seconds; where a larger unit begins; beside all of them.
    ticks = ["%Y", "%b", "%d", "%H:%M", "%H:%M", "%S.%f"]
    begins = ["", "%Y", "%b", "%d %b", "%H:%M", "%H:%M"]
    beside = ["", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y %H:%M"]
    formatter = untyped.ConciseDateFormatter(locator, formats=ticks, zero_formats=begins, offset_formats=beside)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(formatter)
    axes.xaxis.get_offset_text().set(color=COLOURS["muted"], fontsize=9)


def _name_values(axes: Axes, name: str | None) -> None:
    """The name of the column beside its axis, where a font has its letters; the page names it in any case."""
    if name and fonts.drawable(name):
        axes.set_ylabel(name, color=COLOURS["ink"], family=fonts.families([name]), parse_math=False)
