"""The length of a season, found in the training part of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_period"]

LEAST = 0.3
"""The autocorrelation that a season has at least."""
BETTER = 0.05
"""By so much a longer season must be better than a shorter one: 168 hours repeat what 24 hours do."""


def find_period(series: Sequence[NDArray[np.floating[Any]]], candidates: Sequence[int] | None = None) -> int:
    """The number of rows after which series [N, C] repeat themselves; 1 where they do not.

    A moving average of one season is taken away first, so that a trend or a random walk is no season. What is left
    must resemble itself one season later: the mean of its autocorrelations over targets and series.

    Args:
        candidates: lengths to choose from, as ``Frequency.periods`` has them; None to look at all lengths that the
            series can show three times.
    """
    longest = max((len(values) for values in series), default=0) // 3
    if candidates is None:
        candidates = _peaks(series, longest)
    best, score = 1, LEAST - BETTER
    for period in sorted(set(candidates)):
        if 2 <= period <= longest:
            found = _correlation(series, period)
            if found > score + BETTER:
                best, score = period, found
    return best


def _correlation(series: Sequence[NDArray[np.floating[Any]]], period: int) -> float:
    """The mean autocorrelation one period apart, of what a moving average over a period leaves."""
    found, weights = [], []
    for values in series:
        if len(values) < 3 * period:
            continue
        rest = _without_trend(np.asarray(values, dtype=np.float64), period)
        power = (rest**2).sum(axis=0)
        scale = np.abs(values).max(axis=0) ** 2 * len(rest)
        moved = power > 1e-18 * np.maximum(scale, 1e-300)  # a constant leaves nothing but rounding
        if moved.any():
            products = (rest[period:] * rest[:-period]).sum(axis=0)[moved] * len(rest) / (len(rest) - period)
            found.append(float((products / power[moved]).mean()))
            weights.append(len(rest))
    return float(np.average(found, weights=weights)) if found else 0.0


def _without_trend(values: NDArray[np.float64], period: int) -> NDArray[np.float64]:
    """Values [N, C] less their centred average over one period, without the ends: an even one has half weights there.

    The classical decomposition: Brockwell and Davis 2016, Introduction to Time Series and Forecasting, section 1.5.2.
    """
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values - values.mean(axis=0)]), axis=0)
    whole = (sums[period:] - sums[:-period]) / period
    centred = values - values.mean(axis=0)
    half = period // 2
    if period % 2:
        return np.asarray(centred[half : half + len(whole)] - whole)
    return np.asarray(centred[half : half + len(whole) - 1] - (whole[:-1] + whole[1:]) / 2)


def _peaks(series: Sequence[NDArray[np.floating[Any]]], longest: int) -> list[int]:
    """Lags at which the mean autocorrelation of the series, without their straight trend, has a peak."""
    total = np.zeros(longest + 2)
    for values in series:
        if len(values) < longest + 2:
            continue
        time = np.linspace(-1, 1, len(values))[:, None]
        rest = values - values.mean(axis=0)
        rest = rest - time * (time * rest).sum(axis=0) / (time**2).sum()
        size = 1 << (2 * len(values) - 1).bit_length()
        spectrum = np.abs(np.fft.rfft(rest, size, axis=0)) ** 2
        lagged = np.fft.irfft(spectrum, size, axis=0)[: longest + 2]
        total += (lagged / np.maximum(lagged[0], 1e-300)).mean(axis=1) * len(values)
    inner = total[1:-1]
    peaks = np.flatnonzero((inner > total[:-2]) & (inner >= total[2:]) & (inner > 0)) + 1
    strongest = peaks[np.argsort(-total[peaks], kind="stable")][:20]
    return sorted(strongest.tolist())
