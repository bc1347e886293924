"""Says in plain words how a model stands beside its baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Verdict", "judge", "metric_name", "show", "show_error"]

SHARES = frozenset(
    {"accuracy", "network_accuracy", "macro_f1", "micro_f1", "f1", "precision", "recall", "smape", "coverage"}
)
"""Metrics between 0 and 1 that people read as percent."""

ERRORS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "mse": "MSE",
    "mase": "MASE",
    "smape": "sMAPE",
    "pinball": "pinball loss",
    "standard_mse": "standardised MSE",
    "standard_mae": "standardised MAE",
}
"""Errors of a forecast, and what people call them. They are of any size, so two of them are told apart in percent."""


@dataclass(frozen=True)
class Verdict:
    """Whether the model beats the best baseline, and the sentences that say so."""

    beats: bool | None
    """None when there is nothing to compare, or when no number came out."""
    sentence: str
    """Beats the best baseline by 0.9 points (error 1.3)."""
    remark: str = ""
    """What the sentence alone would hide."""


def judge(verdict: Mapping[str, Any]) -> Verdict:
    """Judges the ``verdict`` table of ``summary.json``: its first row is the model, all others are baselines."""
    ours, *baselines = verdict["rows"]
    sign = 1 if verdict.get("higher_is_better", True) else -1
    if not _finite(ours.get("value")):
        return Verdict(None, "The model has no score.", "Its loss is not a number: try a smaller learning rate.")
    baselines = [row for row in baselines if _finite(row.get("value"))]
    if not baselines:
        return Verdict(None, "There is no baseline to compare with.")
    best = max(baselines, key=lambda row: sign * row["value"])
    gain = sign * (ours["value"] - best["value"])
    error = ours["error"] if _finite(ours.get("error")) else None
    amount = _amount(verdict["metric"], abs(gain), error, (ours["value"], best["value"]))
    rival = f"the best baseline ({best['name']})"
    if gain > 0:
        close = "The lead is smaller than the error: on other records it could turn round."
        return Verdict(True, f"Beats {rival} by {amount}.", close if error is not None and gain < error else "")
    if gain == 0:
        return Verdict(False, f"Does not beat {rival}: both score {show(verdict['metric'], ours['value'])}.")
    remark = (
        "" if error is not None and -gain < error else "Take the baseline, or give the model more time or more data."
    )
    return Verdict(False, f"Does not beat {rival}, which is better by {amount}.", remark)


def metric_name(metric: str) -> str:
    """A metric as people call it: ``MAE``, ``macro f1``."""
    return ERRORS.get(metric, metric.replace("_", " "))


def show(metric: str, value: float | None) -> str:
    """A score as people read it: ``89.6 %`` for shares, ``1.523`` for all others; four digits of an error."""
    if value is None or not math.isfinite(value):
        return "not a number"
    if metric in SHARES:
        return f"{100 * value:.1f} %"
    return _digits(value) if metric in ERRORS else _number(value)


def show_error(metric: str, error: float | None) -> str:
    """The error beside a score, in the score's unit; empty when there is none."""
    if error is None or not math.isfinite(error):
        return ""
    if metric in SHARES:
        return f"{100 * error:.1f}"
    if metric in ERRORS:
        return f"{error:,.0f}" if error >= 100 else f"{error:.2g}"
    return _number(error)


def _amount(metric: str, gain: float, error: float | None, pair: tuple[float, float]) -> str:
    """How far two values are apart: points of a share, percent of an error, and the difference of all others."""
    if metric in ERRORS:
        share = gain / max(pair) if max(pair) > 0 else 0.0
        percent = f"{100 * share:.1f} %" if share >= 0.0005 else "less than 0.1 %"
        both = f"{metric_name(metric)} {show(metric, pair[0])} against {show(metric, pair[1])}"
        return f"{percent} ({both}{'' if error is None else f'; error {show_error(metric, error)}'})"
    if metric in SHARES:
        words = f"{100 * gain:.1f} points" if gain >= 0.0005 else "less than 0.1 points"
    else:
        unit = " nats" if metric == "loss" else f" of {metric.replace('_', ' ')}"
        words = (_number(gain) if gain >= 0.0005 else "less than 0.001") + unit
    return words if error is None else f"{words} (error {show_error(metric, error)})"


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"


def _digits(value: float) -> str:
    """Four digits of an error, which may be of any size: ``0.0001234``, ``0.4620``, ``12.35``, ``31,415``."""
    if abs(value) >= 1000 or value == 0:
        return f"{value:,.0f}"
    return f"{value:#.4g}".removesuffix(".")


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
