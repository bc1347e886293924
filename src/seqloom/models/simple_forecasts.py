"""The baselines of forecasting: the last value, the last season, a straight line, and a linear map of the window.

Arrays in, arrays out; each sees the rows before the origin and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import ShapeError
from seqloom.shapes import check

__all__ = ["Ridge", "drift", "naive", "seasonal_naive"]

Array = NDArray[np.floating]

PENALTY = 1e-3
"""Strength of the ridge, as a share of the mean square of what is read: enough to make the system solvable."""
PIECE = 20_000
"""Windows of one channel that are taken together: between two pieces the clock is looked at."""


def naive(values: Array, horizon: int) -> Array:
    """The last value again and again.

    Args:
        values: look-backs, [B, T, C].
        horizon: F.

    Returns:
        [B, F, C], a view that cannot be written to.
    """
    check("values", values, "B T C")
    return np.broadcast_to(values[:, -1:], (values.shape[0], horizon, values.shape[2]))


def seasonal_naive(values: Array, horizon: int, period: int) -> Array:
    """The last season again and again.

    Args:
        values: look-backs, [B, T, C], T at least ``period``.
        horizon: F.
        period: rows of a season.

    Returns:
        [B, F, C].

    Raises:
        ShapeError: the look-back is shorter than a season; says both.
    """
    time = check("values", values, "B T C")["T"]
    if not 1 <= period <= time:
        raise ShapeError(f"a season of {period} rows cannot be seen in a look-back of {time}")
    return values[:, time - period + np.arange(horizon) % period]


def drift(values: Array, horizon: int) -> Array:
    """The line through the first and the last value of each look-back, drawn on.

    Hyndman and Athanasopoulos, "Forecasting: Principles and Practice" (3rd edition, 2021), section 5.2.

    Args:
        values: look-backs, [B, T, C]; with T = 1 the line is level.
        horizon: F.

    Returns:
        [B, F, C].
    """
    time = check("values", values, "B T C")["T"]
    slope = (values[:, -1:] - values[:, :1]) / max(1, time - 1)  # [B, 1, C]
    ahead = np.arange(1, horizon + 1, dtype=values.dtype).reshape(1, -1, 1)
    drawn: Array = values[:, -1:] + ahead * slope
    return drawn


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear map from the look-back to the horizon, one for all channels, by least squares with a small ridge.

    Each window is read and foretold as differences from its last value, so that a level never seen before is foretold
    no worse than a known one.

    Attributes:
        weights: float64 [T, F].
        bias: float64 [F].
        share: of the windows of the series, those that it was fitted to; 1 is all.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    share: float = 1.0

    @classmethod
    def fit(
        cls,
        arrays: Sequence[Array],
        look_back: int,
        horizon: int,
        penalty: float = PENALTY,
        seconds: float | None = None,
    ) -> Self:
        """Fits the map to every window of the series, in closed form and without laying out any window.

        Args:
            arrays: the training part, one [N, C] for each series; those shorter than a window are left out.
            look_back: T.
            horizon: F.
            penalty: the ridge, as a share of the mean square of what is read.
            seconds: begin no further piece of the series after this time; they are taken in random order.

        Raises:
            ShapeError: no series is as long as one window; says how long they are.
        """
        rows, start = look_back + horizon, perf_counter()
        pieces = _pieces(arrays, rows)
        if not pieces:
            longest = max((len(values) for values in arrays), default=0)
            raise ShapeError(
                f"the longest series has {longest} rows; look-back {look_back} and horizon {horizon} need {rows}"
            )
        products, sums, count = np.zeros((rows, rows)), np.zeros(rows), 0
        for number in np.random.default_rng(0).permutation(len(pieces)).tolist():
            piece = pieces[number].astype(np.float64)
            of_piece = _products(piece - piece.mean(), rows, look_back - 1)
            products += of_piece[0]
            sums += of_piece[1]
            count += len(piece) - rows + 1
            if seconds is not None and perf_counter() - start > seconds:
                break
        means = sums / count
        # With the means out, the bias need not be solved for.
        centred = products / count - means[:, np.newaxis] * means
        read = centred[:look_back, :look_back]
        ridge = penalty * np.trace(read) / look_back or 1.0  # 1: a constant series, where all products are 0
        weights = np.linalg.solve(read + ridge * np.eye(look_back), centred[:look_back, look_back:])
        share = count / sum(len(piece) - rows + 1 for piece in pieces)
        return cls(weights.astype(np.float64), means[look_back:] - means[:look_back] @ weights, share)

    def forecast(self, values: Array) -> NDArray[np.float64]:
        """Forecasts [B, F, C] of look-backs [B, T, C]."""
        check("values", values, "B T C", T=len(self.weights))
        last = values[:, -1:].astype(np.float64)
        moved = (values - last).transpose(0, 2, 1)  # [B, C, T]
        return (moved @ self.weights + self.bias).transpose(0, 2, 1) + last


def _pieces(arrays: Sequence[Array], rows: int) -> list[Array]:
    """Each channel of arrays [N, C] in pieces [n], views, in which every window of so many rows stands once."""
    found = []
    for values in arrays:
        check("values", values, "N C")
        for start in range(0, len(values) - rows + 1, PIECE):
            found += list(values[start : start + PIECE + rows - 1].T)
    return found


def _products(values: NDArray[np.float64], rows: int, last: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over all windows of [N], less the value in row ``last`` of each: sums of products of any two rows, and of rows.

    From one pair of rows to the next, i+1 and j+1, a sum gains the product one window further and loses its first one:
    M * rows products and rows * rows differences in place of M * rows * rows products, for M windows.

    Returns:
        [rows, rows] and [rows].
    """
    count = len(values) - rows + 1  # M
    products = np.empty((rows, rows))
    products[0] = np.correlate(values, values[:count], "valid")
    for row in range(1, rows):
        gained = values[count + row - 1] * values[count + row - 1 : count + rows - 1]
        lost = values[row - 1] * values[row - 1 : rows - 1]
        products[row, row:] = products[row - 1, row - 1 : -1] + gained - lost
        products[row:, row] = products[row, row:]
    products[1:, 0] = products[0, 1:]
    totals = np.concatenate([[0.0], values.cumsum()])
    sums = totals[count:] - totals[:rows]
    across = products[last]
    return products - across - across[:, np.newaxis] + across[last], sums - sums[last]
