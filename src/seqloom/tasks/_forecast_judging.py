"""Forecasts of whole parts, held against what came: metrics, and what the report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqloom.tasks._conformal import GRID, Conformal
from seqloom.tasks._forecast_baselines import Rule, scales_of, simple_rules
from seqloom.tasks._forecast_data import Windows
from seqloom.tasks._forecast_preparation import Preparation
from seqloom.tasks._forecast_scores import CENTRAL, Errors, Spread, block_error
from seqloom.tasks.base import Evaluation

if TYPE_CHECKING:
    from torch import Tensor

    from seqloom.models.forecasters.base import Forecaster

__all__ = ["Judge", "loss_of"]

Array = NDArray[np.float64]

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
            times = judge.preparation.zone.iso(rows)
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
