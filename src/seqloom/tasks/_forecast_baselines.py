"""The rules that a forecast is held against: on the same windows, in the time they may take; the linear one is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom import files
from seqloom.models import simple_forecasts as simple
from seqloom.models.simple_forecasts import Ridge
from seqloom.tasks._forecast_data import Part, Windows
from seqloom.tasks._forecast_preparation import Preparation
from seqloom.tasks._forecast_scores import Errors
from seqloom.tasks.base import Score

__all__ = [
    "TOLD",
    "Rule",
    "baseline_scores",
    "errors_of_rules",
    "fit_linear",
    "linear_rule",
    "load_linear",
    "save_linear",
    "scales_of",
    "simple_rules",
]

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Rule = Callable[[Windows, Index], NDArray[np.floating[Any]]]

TOLD = ("mae", "rmse", "mase", "smape", "pinball", "coverage")
"""Metrics of the verdict beside its own."""
LINEAR = "linear, same look-back"
FITTING_SHARE = 0.5
"""Of the time that the baselines may take, the share in which the linear one is fitted."""
FILE = "linear.safetensors"
MOST_KEPT = 4_000_000
"""Weights of a linear rule that stays in the run: 16 MB."""


def simple_rules(windows: Windows, period: int) -> dict[str, Rule]:
    """The baselines that learn nothing, by name; the seasonal one where every origin has a season before it."""
    horizon = windows.horizon
    rules: dict[str, Rule] = {
        "naive": lambda w, index: simple.naive(w.history(index, 1), horizon),
        "drift": lambda w, index: simple.drift(w.history(index), horizon),
    }
    starts = windows.index[:, 1] + windows.look_back
    if period > 1 and (starts >= period).all():
        season: Rule = lambda w, index: simple.seasonal_naive(w.history(index, period), horizon, period)  # noqa: E731
        rules = {f"seasonal naive ({period:,})": season, **rules}
    return rules


def fit_linear(train: Part, preparation: Preparation, look_back: int, horizon: int, seconds: float | None) -> Ridge:
    """A linear map of the look-back, the same for all targets, fitted to the training part by least squares."""
    arrays = [
        preparation.targets.apply(series.values)[a:b]
        for series, a, b in zip(train.data.series, train.begin, train.end, strict=True)
        if b > a
    ]
    return Ridge.fit(arrays, look_back, horizon, seconds=seconds)


def linear_rule(ridge: Ridge, preparation: Preparation) -> dict[str, Rule]:
    """The rule of a linear map, by its name."""

    def rule(windows: Windows, index: Index) -> Array:
        batch = windows.rows(index)[:, : windows.look_back, : windows.widths[0]]
        count, time, targets = batch.shape
        # One product of all: as [1, T, B*C] the windows of a batch are channels of one.
        said = ridge.forecast(batch.transpose(1, 0, 2).reshape(1, time, count * targets))
        forecast = said.reshape(-1, count, targets).transpose(1, 0, 2)[..., None]  # [B, F, C, 1]
        return preparation.undo(forecast, windows.history(index, 1)[:, 0])[..., 0]

    return {LINEAR: rule}


def baseline_scores(
    ridge: Ridge, judged: Windows, preparation: Preparation, metric: str, *, until: float | None
) -> list[Score]:
    """Naive, seasonal naive, drift and the linear map on the same windows, the best first.

    Args:
        until: when to stop (``perf_counter``), with so many windows judged as there was time for, drawn at random;
            None judges all.
    """
    rules = {**linear_rule(ridge, preparation), **simple_rules(judged, preparation.period)}
    errors, count = errors_of_rules(rules, judged, preparation, until=until)
    found = []
    for name, each in errors.items():
        metrics = each.metrics()
        told = {one: metrics[one] for one in TOLD if one in metrics and one != metric}
        value = metrics[metric]
        found.append(Score(name, float("nan") if value is None else value, metrics=told))
    if ridge.share < 1:
        part = f"fitted to {ridge.share:.1%} of the training part, all that the budget has time for"
        found[0] = replace(found[0], note=part)
    found.sort(key=lambda score: score.value)
    if count < len(judged):
        some = f"with all rules judged on {count:,} of {len(judged):,} windows, all that the budget has time for"
        found[0] = replace(found[0], note="; ".join(filter(None, (found[0].note, some))))
    return found


def errors_of_rules(
    rules: dict[str, Rule], windows: Windows, preparation: Preparation, *, until: float | None = None
) -> tuple[dict[str, Errors], int]:
    """What rules come to, and on how many windows: all, or as many drawn at random as there is time for."""
    errors, count = {name: Errors(preparation.deviations) for name in rules}, 0
    if until is not None:
        windows = windows.take(np.random.default_rng(0).permutation(len(windows)))
    for index in windows.chunks():
        truth, scales = windows.truth(index), scales_of(windows, index, preparation)
        for name, rule in rules.items():
            errors[name].add(rule(windows, index), truth, scales)
        count += len(index)
        if until is not None and perf_counter() > until:
            break
    return errors, count


def scales_of(windows: Windows, index: Index, preparation: Preparation) -> Array:
    """The scale of MASE of each window, [B, C]."""
    series = windows.part.data.series
    numbers, places = np.unique(index[:, 0], return_inverse=True)
    return np.stack([preparation.scale_of(series[number].name) for number in numbers.tolist()])[places.reshape(-1)]


def save_linear(ridge: Ridge, folder: Path) -> None:
    """Writes ``linear.safetensors`` into the folder, unless the map is too large to be kept."""
    from safetensors.numpy import save

    if ridge.weights.size > MOST_KEPT:
        return
    tensors = {"weights": ridge.weights.astype(np.float32), "bias": ridge.bias.astype(np.float32)}
    files.write_bytes(folder / FILE, save(tensors))


def load_linear(folder: Path) -> Ridge | None:
    """What ``save_linear`` wrote; None if it did not."""
    from safetensors.numpy import load_file

    if not (folder / FILE).exists():
        return None
    found = load_file(folder / FILE)
    return Ridge(found["weights"].astype(np.float64), found["bias"].astype(np.float64))
