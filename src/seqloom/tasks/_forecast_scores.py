"""How forecasts are judged: sums over windows that are added up batch by batch, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CENTRAL", "Errors", "block_error", "mase_scales", "mean"]

Array = NDArray[np.float64]

CENTRAL = tuple(round(level / 10, 1) for level in range(1, 10))
"""The central intervals whose coverage a calibration plot shows."""
MOST_RESIDUALS = 200_000
BINS = 41
FEWEST_BLOCKS = 8


def mase_scales(series: Sequence[Array], period: int) -> Array:
    """The mean absolute difference of values one season apart, for each target [C]; NaN where it is 0 or none.

    Hyndman and Koehler 2006, "Another look at measures of forecast accuracy", section 2.4; over the training part.

    Args:
        series: the training part of one series, in pieces [N, C].
        period: rows of a season; 1 where there is none.
    """
    moves = [np.abs(values[period:] - values[:-period]) for values in series if len(values) > period]
    if not moves:
        return np.full(series[0].shape[1], np.nan)
    scales = np.concatenate(moves).mean(axis=0)
    return np.where(scales > 0, scales, np.nan)


def mean(values: Array) -> float | None:
    """The mean of what is a number; None where nothing is."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if len(there) else None


class Errors:
    """Sums of errors over windows; a truth that is NaN is left out everywhere.

    Args:
        deviations: the standard deviation of each target in the training part, [C].
        levels: the quantiles that are judged, Q of them ascending; none where there are none.
        central: whether quantiles are given for all intervals of ``CENTRAL`` too.
    """

    def __init__(self, deviations: Array, levels: Sequence[float] = ()) -> None:
        self.deviations, self.levels = deviations, tuple(levels)
        self.windows: list[Array] = []  # mean absolute errors [B, C]
        self.sums: dict[str, Any] = {}

    def add(
        self, forecast: NDArray[np.floating[Any]], truth: Array, scales: Array, quantiles: Array | None = None
    ) -> None:
        """Adds windows.

        Args:
            forecast: [B, F, C].
            truth: [B, F, C], NaN where nothing is known.
            scales: of MASE, [B, C].
            quantiles: [B, F, C, Q], for the levels.
        """
        there = ~np.isnan(truth)
        error = np.where(there, forecast - truth, 0.0)
        size = np.abs(error)
        both = np.where(there, np.abs(forecast) + np.abs(truth), 0.0)
        count = there.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            self.windows.append(np.where(count > 0, size.sum(axis=1) / count, np.nan))
            scaled = size.sum(axis=1) / scales  # [B, C]
        self._sum("count", there.sum(axis=0))
        self._sum("absolute", size.sum(axis=0))
        self._sum("square", (error**2).sum(axis=0))
        self._sum("signed", error.sum(axis=0))
        self._sum("symmetric", np.divide(size, both, out=np.zeros_like(size), where=both > 0).sum(axis=(0, 1)))
        self._sum("scaled", np.nansum(scaled, axis=0))
        self._sum("scaled count", np.where(np.isnan(scales), 0, count).sum(axis=0))
        if quantiles is not None:
            self._add_quantiles(quantiles, truth, there)

    def _add_quantiles(self, quantiles: Array, truth: Array, there: NDArray[np.bool_]) -> None:
        above = np.where(there[..., None], truth[..., None] - quantiles, 0.0)  # [B, F, C, Q]
        levels = np.array(self.levels)
        self._sum("pinball", np.maximum(levels * above, (levels - 1) * above).mean(axis=3).sum(axis=(0, 1)))
        inside = (truth >= quantiles[..., 0]) & (truth <= quantiles[..., -1]) & there
        self._sum("inside", inside.sum())

    def _sum(self, name: str, value: Any) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    # --- what they come to ----------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float | None]:
        """The metrics of the verdict; each is a mean over targets, but for those of standardised values."""
        table = self.per_target()
        count, deviations = self._count(), self.deviations
        found: dict[str, float | None] = {
            name: mean(np.array([np.nan if row[name] is None else row[name] for row in table]))
            for name in ("mae", "rmse", "mase", "smape")
        }
        total = max(1, int(count.sum()))
        found["standard_mse"] = float((self.sums["square"] / deviations**2).sum() / total)
        found["standard_mae"] = float((self.sums["absolute"] / deviations).sum() / total)
        if "pinball" in self.sums:
            found["pinball"] = mean(self.sums["pinball"] / self._per_target_count())
            found["coverage"] = float(self.sums["inside"] / total)
        return found

    def per_target(self) -> list[dict[str, float | None]]:
        """MAE, RMSE, MASE and sMAPE (between 0 and 1) of each target; MASE is None where it is not defined."""
        count = self._per_target_count()
        absolute, square = self.sums["absolute"].sum(axis=0), self.sums["square"].sum(axis=0)
        scaled = self.sums["scaled"] / np.where(self.sums["scaled count"] > 0, self.sums["scaled count"], np.nan)
        return [
            {
                "mae": float(absolute[target] / count[target]),
                "rmse": float(np.sqrt(square[target] / count[target])),
                "mase": None if np.isnan(scaled[target]) else float(scaled[target]),
                "smape": float(self.sums["symmetric"][target] / count[target]),
            }
            for target in range(len(count))
        ]

    def by_step(self) -> tuple[Array, Array]:
        """MAE and RMSE of each step [F], over the targets; of several targets those of standardised values."""
        deviations = self.deviations if len(self.deviations) > 1 else np.ones(1)
        count = np.maximum(1, self._count().sum(axis=1))
        absolute = (self.sums["absolute"] / deviations).sum(axis=1) / count
        square = (self.sums["square"] / deviations**2).sum(axis=1) / count
        return absolute, np.sqrt(square)

    def windows_by_target(self) -> Array:
        """The mean absolute error of each window and target, [W, C]."""
        return np.concatenate(self.windows)

    def _count(self) -> Array:
        return np.asarray(self.sums["count"], dtype=np.float64)  # [F, C]

    def _per_target_count(self) -> Array:
        return np.asarray(np.maximum(1.0, self._count().sum(axis=0)))


def block_error(errors: Array, index: NDArray[np.int64], horizon: int) -> float | None:
    """Half of a 95 % interval around a mean error: 1.96 standard errors of the means of blocks.

    Neighbouring windows share nearly all of their rows; blocks of F windows are nearly independent (batch means:
    Law 2015, "Simulation Modeling and Analysis", section 9.5.3).

    Args:
        errors: one a window, [W]; NaN where there is none.
        index: the series and the first row of each window, [W, 2].
        horizon: F.
    """
    there = ~np.isnan(errors)
    blocks = index[there] // np.array([1, horizon])
    _, number = np.unique(blocks, axis=0, return_inverse=True)
    count = np.bincount(number.reshape(-1))
    if len(count) < FEWEST_BLOCKS:
        return None
    means = np.bincount(number.reshape(-1), weights=errors[there]) / count
    return float(1.96 * means.std(ddof=1) / np.sqrt(len(means)))


class Spread:
    """The errors of one target: where they lie, from a part of them, and mean and deviation of all."""

    def __init__(self, windows: int, horizon: int) -> None:
        self.every = max(1, -(-windows * horizon // MOST_RESIDUALS))
        self.kept: list[Array] = []
        self.seen = 0
        self.sum = self.square = self.count = 0.0

    def add(self, error: Array) -> None:
        """Errors [B, F], NaN where there is none."""
        there = error[~np.isnan(error)]
        self.sum, self.square = self.sum + float(there.sum()), self.square + float((there**2).sum())
        self.count += len(there)
        self.kept.append(error[-self.seen % self.every :: self.every].ravel())
        self.seen += len(error)

    def to_dict(self, target: str) -> dict[str, Any]:
        """A histogram between the 0.1 % and the 99.9 % quantile, what lies beyond in the outer bins."""
        values = np.concatenate(self.kept)
        values = values[~np.isnan(values)]
        if not len(values):
            return {}
        low, high = np.quantile(values, [0.001, 0.999])
        if low == high:
            low, high = low - 0.5, high + 0.5
        counts, edges = np.histogram(np.clip(values, low, high), bins=BINS, range=(low, high))
        center = self.sum / self.count
        deviation = np.sqrt(max(0.0, self.square / self.count - center**2))
        return {
            "target": target,
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "mean": center,
            "standard_deviation": float(deviation),
        }
