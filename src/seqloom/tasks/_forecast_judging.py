"""Forecasts of whole parts, held against what came: metrics, baselines, and what the report shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqloom.models import simple_forecasts as simple
from seqloom.tasks._conformal import GRID, Conformal
from seqloom.tasks._forecast_data import Windows
from seqloom.tasks._forecast_preparation import Preparation
from seqloom.tasks._forecast_scores import CENTRAL, Errors, Spread, block_error
from seqloom.tasks.base import Evaluation, Score

if TYPE_CHECKING:
    from torch import Tensor

    from seqloom.models.forecasters.base import Forecaster

__all__ = ["TOLD", "Judge", "baseline_scores", "errors_of_rule", "simple_rules"]

Array = NDArray[np.float64]
Index = NDArray[np.int64]
Rule = Callable[[Windows, Index], NDArray[np.floating[Any]]]

TOLD = ("mae", "rmse", "mase", "smape", "pinball", "coverage")
"""Metrics of the verdict beside its own."""
SAMPLES, WORST = 6, 3
MOST_CALIBRATED = 2_000_000
"""Values that the coverage of all intervals is counted on."""
SHOWN_HISTORY = 3
"""Horizons of history that a sample shows."""


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained model with what its forecasts need to be those of the file.

    Attributes:
        model: in evaluation mode.
        preparation: of its windows.
        loss: what it was trained on: mse, mae or quantile.
        trained: the levels that the model says itself; none where it says one value.
        levels: the quantiles to give, 0.5 among them; none where there is nothing to make them of.
        conformal: what widens them, or None.
    """

    model: Forecaster
    preparation: Preparation
    loss: str
    trained: tuple[float, ...]
    levels: tuple[float, ...]
    conformal: Conformal | None

    def forecast(self, batch: Any, before: Array) -> tuple[Array, Array, float]:
        """The forecasts of a batch.

        Args:
            batch: windows; what comes after the origin may be missing from ``values``.
            before: the last row before each origin as the file has it, [B, C].

        Returns:
            the forecast [B, F, C] and the raw values of the model [B, F, C, Q] in units of the file; the summed loss.
        """
        import torch

        look_back = self.model.shape.look_back
        with torch.no_grad():
            said = self.model(batch.values[:, :look_back], batch.past, batch.known).float()
        lost = 0.0
        if batch.values.shape[1] > look_back:
            each = loss_of(self.loss, self.trained, said, batch.values[:, look_back:])
            lost = float(each) * len(said)
        return *self.turned(said, before), lost

    def turned(self, said: Tensor, before: Array) -> tuple[Array, Array]:
        """What the model says [B, F, C, Q] in units of the file: the forecast [B, F, C], and all of it."""
        raw = self.preparation.undo(said.double().numpy(), before)
        if self.trained:
            raw = np.sort(raw, axis=3)  # quantiles that cross: Chernozhukov, Fernandez-Val and Galichon 2010
        return raw[..., self.trained.index(0.5) if self.trained else 0], raw

    def quantiles(self, raw: Array, levels: Sequence[float]) -> Array:
        """Quantiles [B, F, C, levels] from the raw values of the model, never crossing the forecast itself."""
        base = raw
        if self.trained:
            base = raw[..., [self.trained.index(level) for level in levels]]
        found = base if self.conformal is None else self.conformal.widen(base, levels)
        middle = raw[..., self.trained.index(0.5) if self.trained else 0]
        for number, level in enumerate(levels):
            if level < 0.5:
                found[..., number] = np.minimum(found[..., number], middle)
            elif level > 0.5:
                found[..., number] = np.maximum(found[..., number], middle)
            else:
                found[..., number] = middle
        return found

    def calibrated(self, windows: Windows, most: int) -> Conformal | None:
        """Learns intervals from windows that the model was not trained on, at most so many of them."""
        chosen = windows.thinned(most)
        if not len(chosen):
            return None
        raws, truths = [], []
        for index in chosen.chunks():
            raws.append(self.forecast(chosen.gather(index), chosen.history(index, 1)[:, 0])[1])
            truths.append(chosen.truth(index))
        positive = self.preparation.targets.transform in ("log", "box-cox", "returns")
        levels = self.trained or GRID
        return Conformal.fit(np.concatenate(raws), np.concatenate(truths), levels, positive=positive)

    def evaluate(self, windows: Windows, targets: Sequence[str], *, details: bool) -> Evaluation:
        """Metrics over all windows, with what the report shows."""
        errors = Errors(self.preparation.deviations, self.levels)
        rules = simple_rules(windows, self.preparation.period) if details else {}
        others = {name: Errors(self.preparation.deviations) for name in rules}
        spread, calibration, lost = Spread(len(windows), windows.horizon), _Calibration(self, windows), 0.0
        for index in windows.chunks():
            truth, scales = windows.truth(index), scales_of(windows, index, self.preparation)
            before = windows.history(index, 1)[:, 0]
            forecast, raw, loss = self.forecast(windows.gather(index), before)
            lost += loss
            errors.add(forecast, truth, scales, self.quantiles(raw, self.levels) if self.levels else None)
            if details:
                spread.add(forecast[..., 0] - truth[..., 0])
                calibration.add(raw, truth)
                for name, rule in rules.items():
                    others[name].add(rule(windows, index), truth, scales)
        metrics: dict[str, Any] = {"loss": lost / len(windows), **errors.metrics()}
        if not details:
            return Evaluation(metrics, len(windows))
        best = min(others, key=lambda name: float(others[name].by_step()[0].mean()))
        shown = _Details(self, windows, targets, rules[best])
        found = {
            **shown.head(),
            "baseline": best,
            "by_step": _by_step(errors, others[best]),
            "residuals": spread.to_dict(targets[0]),
            "calibration": calibration.rows(),
            "per_target": [{"target": t, **row} for t, row in zip(targets, errors.per_target(), strict=True)],
            "error": _error(errors, windows, len(targets)),
            **shown.pictures(errors.windows_by_target() / self.preparation.deviations),
        }
        return Evaluation(metrics, len(windows), {"forecast": found})


def loss_of(loss: str, levels: Sequence[float], said: Any, truth: Any) -> Any:
    """The mean loss of forecasts [..., F, C, Q] against what came [..., F, C], in the units of the model."""
    error = truth.unsqueeze(-1) - said
    if loss == "mse":
        return error.square().mean()
    if loss == "mae":
        return error.abs().mean()
    wanted = error.new_tensor(tuple(levels))  # Koenker and Bassett 1978: the pinball loss
    return (wanted * error).maximum((wanted - 1) * error).mean()


def scales_of(windows: Windows, index: Index, preparation: Preparation) -> Array:
    """The scale of MASE of each window, [B, C]."""
    series = windows.part.data.series
    numbers, places = np.unique(index[:, 0], return_inverse=True)
    return np.stack([preparation.scale_of(series[number].name) for number in numbers.tolist()])[places.reshape(-1)]


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


def baseline_scores(
    train: Windows, judged: Windows, preparation: Preparation, metric: str, *, seconds: float | None
) -> list[Score]:
    """Naive, seasonal naive, drift and a linear model on the same windows, the best first."""
    from threadpoolctl import threadpool_limits

    # On a machine with other work to do, two threads that wait for each other were seen to take 40 times as long.
    with threadpool_limits(1, user_api="blas"):
        start = perf_counter()
        linear = _fitted_line(train, preparation)
        found = [_score("linear, same look-back", linear, judged, preparation, metric)]
        found[0] = replace(found[0], seconds=round(perf_counter() - start, 1))
        for name, rule in simple_rules(judged, preparation.period).items():
            found.append(_score(name, rule, judged, preparation, metric))
    return sorted(found, key=lambda score: score.value)


def errors_of_rule(rule: Rule, windows: Windows, preparation: Preparation) -> Errors:
    """What a rule comes to on all windows."""
    errors = Errors(preparation.deviations)
    for index in windows.chunks():
        errors.add(rule(windows, index), windows.truth(index), scales_of(windows, index, preparation))
    return errors


def _score(name: str, rule: Rule, windows: Windows, preparation: Preparation, metric: str) -> Score:
    found = errors_of_rule(rule, windows, preparation).metrics()
    value, told = found[metric], {each: found[each] for each in TOLD if each in found and each != metric}
    return Score(name, float("nan") if value is None else value, metrics=told)


def _fitted_line(train: Windows, preparation: Preparation) -> Rule:
    """A linear map of the look-back, the same for all targets, fitted to the training part by least squares."""
    part = train.part
    arrays = [
        preparation.targets.apply(series.values)[a:b]
        for series, a, b in zip(part.data.series, part.begin, part.end, strict=True)
        if b > a
    ]
    ridge = simple.Ridge.fit(arrays, train.look_back, train.horizon)

    def rule(windows: Windows, index: Index) -> Array:
        batch = windows.gather(index).values.numpy()[:, : windows.look_back]
        count, time, targets = batch.shape
        # One product of all: as [1, T, B*C] the windows of a batch are channels of one.
        said = ridge.forecast(batch.transpose(1, 0, 2).reshape(1, time, count * targets))
        forecast = said.reshape(-1, count, targets).transpose(1, 0, 2)[..., None]  # [B, F, C, 1]
        return preparation.undo(forecast, windows.history(index, 1)[:, 0])[..., 0]

    return rule


def _error(errors: Errors, windows: Windows, targets: int) -> float | None:
    by_target = errors.windows_by_target()  # [W, C]
    each = by_target[:, 0] if targets == 1 else (by_target / errors.deviations).mean(axis=1)
    return block_error(each, windows.index, windows.horizon)


def _by_step(errors: Errors, baseline: Errors) -> list[dict[str, Any]]:
    absolute, root = errors.by_step()
    theirs = baseline.by_step()[0]
    return [
        {"step": step, "mae": float(a), "rmse": float(r), "naive": float(n)}
        for step, (a, r, n) in enumerate(zip(absolute, root, theirs, strict=True), start=1)
    ]


class _Calibration:
    """How often the central intervals of a model hold what came, in evenly spaced windows."""

    def __init__(self, judge: Judge, windows: Windows) -> None:
        self.judge = judge
        self.every = max(1, -(-len(windows) * windows.horizon * windows.values.shape[1] // MOST_CALIBRATED))
        self.seen = 0
        if judge.trained:
            sides = [level for level in judge.trained if level < 0.5]
            pairs = [(level, round(1 - level, 9)) for level in sides]
            self.pairs = [pair for pair in pairs if pair[1] in judge.trained]
        else:
            self.pairs = [(0.5 - level / 2, 0.5 + level / 2) for level in CENTRAL] if judge.conformal else []
        self.inside = np.zeros(len(self.pairs))
        self.count = 0

    def add(self, raw: Array, truth: Array) -> None:
        """Adds windows: raw values [B, F, C, Q], truth [B, F, C]."""
        if not self.pairs:
            return
        chosen = slice(-self.seen % self.every, None, self.every)
        self.seen += len(truth)
        raw, truth = raw[chosen], truth[chosen]
        self.count += int((~np.isnan(truth)).sum())
        for number, pair in enumerate(self.pairs):
            bounds = self.judge.quantiles(raw, pair)
            self.inside[number] += ((truth >= bounds[..., 0]) & (truth <= bounds[..., 1])).sum()

    def rows(self) -> list[dict[str, float]]:
        """The promised and the true share of each interval, the narrowest first."""
        found = [
            {"level": round(high - low, 6), "coverage": float(inside / max(1, self.count))}
            for (low, high), inside in zip(self.pairs, self.inside, strict=True)
        ]
        return sorted(found, key=lambda row: row["level"])


@dataclass(frozen=True, eq=False)
class _Details:
    """The windows that the report draws."""

    judge: Judge
    windows: Windows
    targets: Sequence[str]
    rule: Rule

    def head(self) -> dict[str, Any]:
        """What all forecasts of the run have in common."""
        preparation, levels = self.judge.preparation, self.judge.levels
        return {
            "targets": list(self.targets),
            "horizon": self.windows.horizon,
            "look_back": self.windows.look_back,
            "frequency": None if preparation.frequency is None else preparation.frequency.describe(),
            "period": preparation.period,
            "level": round(levels[-1] - levels[0], 6) if levels else None,
        }

    def pictures(self, errors: Array) -> dict[str, Any]:
        """Windows spread over the part, and those of the greatest errors [W, C], no two of which overlap."""
        count, targets = errors.shape
        places = np.unique(np.linspace(0, count - 1, SAMPLES).round().astype(np.int64))
        samples = [self._sample(place, number % targets) for number, place in enumerate(places.tolist())]
        worst: list[dict[str, Any]] = []
        taken: list[NDArray[np.int64]] = []
        for flat in np.argsort(-np.nan_to_num(errors), axis=None, kind="stable").tolist():
            place, target = divmod(flat, targets)
            here = self.windows.index[place]
            if all(here[0] != other[0] or abs(here[1] - other[1]) >= self.windows.horizon for other in taken):
                taken.append(here)
                mae = errors[place, target] * self.judge.preparation.deviations[target]
                worst.append({**self._sample(place, target), "mae": _number(mae)})
            if len(worst) == WORST:
                break
        return {"samples": samples, "worst": worst}

    def _sample(self, place: int, target: int) -> dict[str, Any]:
        windows, judge = self.windows, self.judge
        index = windows.index[place : place + 1]
        shown = min(windows.look_back, max(24, SHOWN_HISTORY * windows.horizon))
        history = windows.history(index)[0, -shown:, target]
        forecast, raw, _ = judge.forecast(windows.gather(index), windows.history(index, 1)[:, 0])
        bounds = judge.quantiles(raw, judge.levels)[0, :, target] if judge.levels else None
        series = windows.part.data.series[int(index[0, 0])]
        origin = int(index[0, 1]) + windows.look_back
        times = None
        if series.times is not None:
            rows = series.times[origin - shown : origin + windows.horizon]
            times = [str(time) for time in np.datetime_as_string(rows, unit="s")]
        return {
            "series": series.name,
            "target": self.targets[target],
            "times": times,
            "history": _numbers(history),
            "actual": _numbers(windows.truth(index)[0, :, target]),
            "forecast": _numbers(forecast[0, :, target]),
            "lower": None if bounds is None else _numbers(bounds[:, 0]),
            "upper": None if bounds is None else _numbers(bounds[:, -1]),
            "naive": _numbers(self.rule(windows, index)[0, :, target]),
        }


def _numbers(values: NDArray[np.floating[Any]]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    """Seven digits, as many as the model has; what is no number is None."""
    return float(f"{value:.7g}") if value - value == 0 else None
