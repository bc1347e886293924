"""The sections of a forecast run: forecasts over time, errors by step, residuals, calibration, the worst windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from seqloom.report import forecast_plots as plots

if TYPE_CHECKING:
    from markupsafe import Markup

    Inline = Callable[..., Markup]

__all__ = ["contents"]

MOST_SAMPLES = 6
MOST_WORST = 3


def contents(details: Mapping[str, Any], inline: Inline) -> dict[str, Any]:
    """What the template of a forecast run shows.

    Args:
        details: ``forecast`` of the evaluation in ``summary.json``.
        inline: puts a plot into the page (``page.inline``).

    Returns:
        ``samples`` and ``worst`` (windows with their plots), ``by_step``, ``residuals`` and ``calibration`` (plots, or
        None), ``per_target`` (rows), ``facts`` and ``notes``.
    """
    by_step, spread = details.get("by_step", []), details.get("residuals") or {}
    if len(by_step) == 1:
        by_step = []  # one step has no course, and the verdict has its error
    calibrated = details.get("calibration", [])
    rule = details.get("baseline") or "simple rule"
    standardised = len(details.get("targets", [])) > 1
    unit = "standard deviations" if standardised else next(iter(details.get("targets", [])), None)

    def plot(draw: Callable[[IO[bytes]], None], name: str, prefix: str, *, fluid: bool = True) -> Markup:
        return inline(draw, name, prefix, fluid=fluid)

    return {
        "facts": _facts(details),
        "rule": rule,
        "standardised": standardised,
        "samples": _windows(details.get("samples", [])[:MOST_SAMPLES], "sample", rule, plot),
        "worst": _windows(details.get("worst", [])[:MOST_WORST], "worst", rule, plot),
        "by_step": plot(lambda target: plots.error_by_step(by_step, target, unit=unit, rule=rule),
                        "Mean absolute error at each step ahead", "steps") if by_step else None,
        "steps": _chosen(by_step),
        "spread": spread,
        "residuals": plot(partial(plots.residuals, spread), "Histogram of the residuals", "residuals")
        if spread.get("counts") else None,
        "calibration": plot(partial(plots.calibration, calibrated), "Promised and true shares of the intervals",
                            "calibration", fluid=False) if calibrated else None,
        "coverage": calibrated,
        "per_target": details.get("per_target", []),
        "notes": details.get("notes", []),
    }  # fmt: skip


def _facts(details: Mapping[str, Any]) -> dict[str, Any]:
    period = details.get("period")
    facts = {
        "frequency": details.get("frequency"),
        "look-back, rows": details.get("look_back"),
        "horizon, steps": details.get("horizon"),
        "season, rows": "none" if period == 1 else period,
        "interval": f"{100 * details['level']:.0f} %" if details.get("level") else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _windows(
    samples: Sequence[Mapping[str, Any]], prefix: str, rule: str, plot: Callable[..., Markup]
) -> list[dict[str, Any]]:
    """Each window with its plot, and in words which column, which series, and when it was forecast."""
    found = []
    for number, sample in enumerate(samples, start=1):
        times = sample.get("times")
        ahead = times[-len(sample["forecast"]) :] if times else []
        svg = plot(partial(plots.forecast, sample, rule=rule), f"Forecast of {sample['target']}", f"{prefix}{number}")
        words = {"target": sample["target"], "series": sample.get("series"), "mae": sample.get("mae")}
        found.append({**words, "svg": svg, "first": _moment(ahead[0]) if ahead else None,
                      "last": _moment(ahead[-1]) if len(ahead) > 1 else None})  # fmt: skip
    return found


def _moment(time: str) -> str:
    """A time stamp without what it does not need: no seconds of zero, and no midnight without an offset."""
    stamp, zone = plots.without_zone(time)
    day, _, clock = stamp.replace("T", " ").partition(" ")
    clock = clock.removesuffix(".000000")
    clock = clock[:5] if clock[5:] in ("", ":00") else clock
    return day if clock in ("", "00:00") and not zone else f"{day} {clock}{zone}"


def _chosen(by_step: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """A few rows for the table below the plot: the first, the last, and what lies between at equal distances."""
    most = 8
    if len(by_step) <= most:
        return list(by_step)
    places = sorted({round(index * (len(by_step) - 1) / (most - 1)) for index in range(most)})
    return [by_step[place] for place in places]
