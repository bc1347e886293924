"""Transforms of numbers that a model learns better from: fitted on the training part, undone in forecasts.

Each is fitted a target: a transform first (log, Box-Cox, differences, returns), then a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from seqloom.data.series import SeriesSet
from seqloom.errors import DataError, SettingError, ShapeError, nearest

__all__ = ["Pipeline", "Scale", "Transform"]

Scale = Literal["none", "standard", "min-max"]
Transform = Literal["none", "log", "box-cox", "difference", "returns"]

Numbers = NDArray[np.floating[Any]]

POSITIVE = ("log", "box-cox", "returns")
"""Transforms of numbers above 0."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass
class Pipeline:
    """A transform and a scale for each of C targets.

        log         z = log y
        box-cox     z = (y^lambda - 1) / lambda, with lambda in [0, 1]; 0 is the log
                    Box and Cox 1964, An Analysis of Transformations, equation 1
        difference  z_t = y_t - y_{t-1}
        returns     z_t = log y_t - log y_{t-1}, the logarithmic return of a price
        standard    x = (z - mean) / standard deviation (of all rows, as the published tables have it)
        min-max     x = (z - smallest) / (largest - smallest)

    Differences and returns have no value in the first row of a series: 0 (no change) stands there, and ``lost`` is 1.
    A constant target is divided by 1.
    """

    transform: Transform = "none"
    scale: Scale = "standard"
    offset: NDArray[np.float64] | None = None
    """Subtracted after the transform, [C]."""
    divisor: NDArray[np.float64] | None = None
    """[C]."""
    power: NDArray[np.float64] | None = None
    """Lambda of Box-Cox, [C]."""
    constant: tuple[int, ...] = ()
    """The targets that do not change in the training part."""

    def __post_init__(self) -> None:
        for name, value, kinds in (("transform", self.transform, Transform), ("scale", self.scale, Scale)):
            if value not in get_args(kinds):
                raise SettingError(f'there is no {name} "{value}"', help=nearest(value, get_args(kinds)))

    @property
    def lost(self) -> int:
        """Rows at the beginning of a series that have no value of their own: 1 for differences and returns."""
        return int(self.transform in ("difference", "returns"))

    def fit(self, series: Sequence[Numbers]) -> Self:
        """Learns from the training part [N, C] of each series.

        Raises:
            DataError: a value is not above 0 where the transform needs it (D059).
            ShapeError: there is no row to learn from.
        """
        if sum(max(0, len(values) - self.lost) for values in series) < 1:
            raise ShapeError(f"a {self.transform} transform cannot be fitted to {sum(map(len, series))} rows")
        if self.transform == "box-cox":
            rows = np.concatenate(series).astype(np.float64)
            _require_positive(rows, self.transform)
            self.power = np.array([_best_power(rows[:, channel]) for channel in range(rows.shape[1])])
        rows = np.concatenate([self._transformed(values)[self.lost :] for values in series])
        smallest, largest = rows.min(axis=0), rows.max(axis=0)
        self.constant = tuple(np.flatnonzero(smallest == largest).tolist())
        self.offset, self.divisor = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        if self.scale == "standard":
            self.offset, self.divisor = rows.mean(axis=0), rows.std(axis=0)
        elif self.scale == "min-max":
            self.offset, self.divisor = smallest, largest - smallest
        self.divisor[list(self.constant)] = 1.0
        return self

    def apply(self, values: Numbers) -> NDArray[np.float64]:
        """Values [..., N, C] of consecutive rows in the units of the model.

        Raises:
            DataError: a value is not above 0 where the transform needs it (D059).
        """
        offset, divisor = self._fitted()
        return np.asarray((self._transformed(values) - offset) / divisor)

    def undo(self, values: Numbers, before: Numbers | None = None) -> NDArray[np.float64]:
        """Forecasts [..., F, C] in the units of the file.

        Args:
            before: the last row before each forecast, [..., C], in the units of the file; differences and returns
                add up from there. Quantiles [B, F, C, Q] are undone as [B, Q, F, C] with ``before`` [B, 1, C]; added
                up over steps, they bound the path whose every step lies at that quantile.

        Raises:
            ShapeError: ``before`` is needed.
        """
        offset, divisor = self._fitted()
        plain = np.asarray(values, dtype=np.float64) * divisor + offset
        if self.transform == "log":
            return np.asarray(np.exp(plain))
        if self.transform == "box-cox":
            assert self.power is not None  # fitted
            safe = np.where(self.power > 0, self.power, 1.0)
            base = np.maximum(safe * plain + 1, 0.0)  # below it no value is transformed: the least there is, 0
            return np.asarray(np.where(self.power > 0, base ** (1 / safe), np.exp(np.minimum(plain, 700.0))))
        if self.transform == "none":
            return plain
        if before is None:
            raise ShapeError(f'the transform "{self.transform}" is undone from the row before: give before [..., C]')
        start = np.asarray(before, dtype=np.float64)[..., None, :]
        total = plain.cumsum(axis=-2)
        return np.asarray(start + total if self.transform == "difference" else start * np.exp(total))

    def check(self, data: SeriesSet) -> None:
        """Refuses a file with values that the transform cannot take.

        Raises:
            DataError: a value is not above 0 (D059), with its line.
        """
        if self.transform not in POSITIVE:
            return
        for series in data.series:
            low = np.argwhere(~(series.values > 0))
            if len(low):
                row, channel = low[0].tolist()
                raise DataError(
                    f"{_cannot(self.transform, series.values[row, channel])} ({len(low):,} such values)",
                    code="D059",
                    file=data.file,
                    line=int(series.lines[row]) or None,
                    column=data.roles.targets[channel],
                    help="choose --transform none or difference, or name other columns with --target",
                )

    def describe(self, targets: Sequence[str]) -> list[str]:
        """What a user should know: targets that do not change."""
        return [
            f'"{targets[channel]}" is constant in the training part: it is not scaled, and MASE is undefined'
            for channel in self.constant
        ]

    def to_json(self) -> dict[str, Any]:
        saved = asdict(self)
        arrays = {name: getattr(self, name) for name in ("offset", "divisor", "power")}
        lists = {name: None if array is None else array.tolist() for name, array in arrays.items()}
        return {**saved, **lists, "constant": list(self.constant)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        names = ("offset", "divisor", "power")
        arrays = {name: None if saved[name] is None else np.array(saved[name], dtype=np.float64) for name in names}
        return cls(saved["transform"], saved["scale"], constant=tuple(saved["constant"]), **arrays)

    def _fitted(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.offset is None or self.divisor is None:
            raise ShapeError("the transforms were not fitted: call fit with the training part first")
        return self.offset, self.divisor

    def _transformed(self, values: Numbers) -> NDArray[np.float64]:
        """Values [..., N, C] before they are scaled."""
        plain = np.asarray(values, dtype=np.float64)
        if self.transform in POSITIVE:
            _require_positive(plain, self.transform)
        if self.transform in ("log", "returns"):
            plain = np.log(plain)
        if self.transform == "box-cox":
            assert self.power is not None  # fitted before anything is transformed
            return _powers(plain, self.power)
        return np.diff(plain, axis=-2, prepend=plain[..., :1, :]) if self.lost else plain


def _cannot(transform: str, value: float) -> str:
    reason = "of prices above 0 alone" if transform == "returns" else "of numbers above 0 alone"
    return f'the transform "{transform}" is {reason}; given {value:g}'


def _require_positive(values: NDArray[np.float64], transform: str) -> None:
    low = np.argwhere(~(values > 0))
    if len(low):
        place = tuple(low[0].tolist())
        raise DataError(
            f"{_cannot(transform, values[place])} in row {place[-2] + 1} of the series",
            code="D059",
            file="the values given",
            column=place[-1] + 1,
            help="choose --transform none or difference",
        )


def _powers(values: NDArray[np.float64], power: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Box-Cox; ``expm1`` keeps its digits where lambda is nearly 0."""
    logs = np.log(values)
    safe = np.where(np.asarray(power) > 0, power, 1.0)
    return np.where(np.asarray(power) > 0, np.expm1(logs * safe) / safe, logs)


def _best_power(values: NDArray[np.float64]) -> float:
    """The lambda in [0, 1] of the greatest likelihood: Box and Cox 1964, equation 8.

    Above 1 and below 0 the way back would stretch a forecast without bound.
    """
    logs = np.log(values).sum()

    def lost(power: float) -> float:
        variance = float(_powers(values, power).var())
        return float("inf") if variance <= 0 else len(values) / 2 * np.log(variance) - (power - 1) * logs

    if values.min() == values.max():
        return 1.0
    inner = _lowest(lost, 0.0, 1.0)
    return min((0.0, 1.0, inner), key=lost)


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest: golden sections, to 1e-6."""
    while high - low > 1e-6:
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if function(left) <= function(right):
            high = right
        else:
            low = left
    return (low + high) / 2
