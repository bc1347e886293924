"""Quantiles around a forecast from the errors that a model made on the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from seqloom import files
from seqloom.errors import SettingError

__all__ = ["ENOUGH", "GRID", "Conformal"]

Array = NDArray[np.float64]

GRID = tuple(round(level / 100, 2) for level in range(1, 100))
"""The levels that are kept for a model that says one value a step."""
FILE = "intervals.safetensors"
ENOUGH = 1_000
"""Errors that a bound is learnt from, if the windows and the steps near by have so many."""


@dataclass(frozen=True, eq=False)
class Conformal:
    """Split-conformal prediction: what must be added to a forecast so that a share of what comes lies below.

    Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", section 4.1; each side on its own as in
    Romano, Patterson and Candes 2019, "Conformalized Quantile Regression", arXiv:1905.03222, theorem 2. Of n errors
    in ascending order, level a takes number ceil((n + 1) a), and below one half number floor((n + 1) a). The promise
    holds for windows that could change places with those of the validation part; a series that changes breaks it.

    Of few windows the errors of one step say little, and the bounds would jump from step to step. So with fewer than
    ``ENOUGH`` windows, step f borrows the errors of its neighbours, m steps in all with m n >= ENOUGH (or all steps):

        s_f = mean |e_wf| over windows w, made to ascend in f and then smooth        the spread of a step
        q_a = number ceil((n + 1) a m) of the m n scores e_wg / s_g, g near f        the offset is s_f q_a

    Scores scaled by a spread: Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, arXiv:1604.04173, section 5.2. Each
    window weighs 1 / (n + 1), however many steps it lends: hierarchical conformal prediction, Lee, Barber and Willett
    2023, arXiv:2306.06342; the promise is then kept on average over the m steps. It is not exact, since the spread is
    learnt from the same errors. That the spread of a forecast does not shrink with the step: Box, Jenkins, Reinsel and
    Ljung, "Time Series Analysis", chapter 5; made to ascend by isotonic regression.

    Attributes:
        levels: ascending, [A].
        offsets: for each level, step and target, [A, F, C].
        count: windows that they were learnt from.
        positive: whether errors are those of logarithms, and offsets factors: for values above 0.
    """

    levels: tuple[float, ...]
    offsets: Array
    count: int
    positive: bool

    @classmethod
    def fit(cls, forecasts: Array, truth: Array, levels: Sequence[float], *, positive: bool) -> Self | None:
        """Learns from windows.

        Args:
            forecasts: [W, F, C, 1], one value for all levels; or one for each level, [W, F, C, A].
            truth: [W, F, C]; windows with a NaN are left out.
            levels: ascending, A of them.
            positive: whether all values lie above 0 by their nature.

        Returns:
            None where no window is left.
        """
        whole = ~np.isnan(truth).any(axis=(1, 2))
        count = int(whole.sum())
        if not count:
            return None
        errors = _levelled(truth[whole], positive)[..., None] - _levelled(forecasts[whole], positive)
        offsets = _order_statistics(errors, levels)
        if errors.shape[-1] == 1:  # the forecast itself is the median: no bound lies on its other side
            sides = np.sign(np.array(levels) - 0.5)[:, None, None]
            offsets = np.where(offsets * sides > 0, offsets, 0.0)
        return cls(tuple(levels), offsets, count, positive)

    def widen(self, forecasts: Array, levels: Sequence[float]) -> Array:
        """The quantiles [B, F, C, levels] of forecasts [B, F, C, 1], or [B, F, C, levels] with one for each.

        Raises:
            SettingError: a level is outside of those that were learnt.
        """
        for level in levels:
            if not self.levels[0] <= level <= self.levels[-1]:
                raise SettingError(
                    f"quantile {level:g} is asked for",
                    help=f"this run gives quantiles from {self.levels[0]:g} to {self.levels[-1]:g}",
                )
        offsets = np.stack([self._offset(level) for level in levels], axis=-1)  # [F, C, levels]
        moved = _levelled(forecasts, self.positive) + offsets
        return np.exp(moved) if self.positive else moved

    def _offset(self, level: float) -> Array:
        after = int(np.searchsorted(self.levels, level - 1e-9))
        before = max(0, after - 1)
        if abs(self.levels[after] - level) < 1e-9 or before == after:
            return np.asarray(self.offsets[after])
        share = (level - self.levels[before]) / (self.levels[after] - self.levels[before])
        return np.asarray((1 - share) * self.offsets[before] + share * self.offsets[after])

    def save(self, folder: Path) -> None:
        """Writes ``intervals.safetensors`` into the folder."""
        from safetensors.numpy import save

        tensors = {
            "levels": np.array(self.levels),
            "offsets": self.offsets.astype(np.float32),
            "count": np.array([self.count]),
            "positive": np.array([int(self.positive)]),
        }
        files.write_bytes(folder / FILE, save(tensors))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """What ``save`` wrote; None if it did not."""
        from safetensors.numpy import load_file

        if not (folder / FILE).exists():
            return None
        found = load_file(folder / FILE)
        offsets = found["offsets"].astype(np.float64)
        return cls(tuple(found["levels"].tolist()), offsets, int(found["count"][0]), bool(found["positive"][0]))


def _order_statistics(errors: Array, levels: Sequence[float]) -> Array:
    """What to add for each level [A, F, C], from errors [W, F, C, 1], or [W, F, C, A] with some for each level."""
    count, horizon, _, columns = errors.shape
    aside = min(horizon - 1, ceil((ENOUGH / count - 1) / 2)) if count < ENOUGH else 0
    middle = int(np.abs(np.array(levels) - 0.5).argmin()) if columns > 1 else 0
    spread = _spread(errors[..., middle], aside)  # [F, C]
    scores = errors / spread[..., None]
    steps = min(horizon, 2 * aside + 1)  # m
    places = [_place(level, count, steps) for level in levels]
    offsets = np.empty((len(levels), *spread.shape))
    first = -1
    for step in range(horizon):
        start = min(max(0, step - aside), horizon - steps)
        if start != first:
            ordered = np.sort(scores[:, start : start + steps].reshape(count * steps, -1, columns), axis=0)
            first = start
        for number, place in enumerate(places):
            offsets[number, step] = ordered[place, :, number if columns > 1 else 0] * spread[step]
    return offsets


def _place(level: float, count: int, steps: int) -> int:
    """The place from 0 on, among scores of some windows and steps in ascending order, that a level takes."""
    share = (count + 1) * level * steps
    place = floor(share) - steps + 1 if level < 0.5 else ceil(share)
    return min(count * steps, max(1, place)) - 1


def _spread(errors: Array, aside: int) -> Array:
    """The mean size of errors [W, F, C] at each step [F, C], ascending and smooth; 1 where no neighbour is asked."""
    if not aside:
        return np.ones(errors.shape[1:])
    from sklearn.isotonic import isotonic_regression

    sizes = np.abs(errors).mean(axis=0)
    ascending = np.stack([isotonic_regression(column) for column in sizes.T], axis=-1)
    # A mean over as many steps on both sides, fewer at the ends, keeps the order.
    sums = np.concatenate([np.zeros((1, sizes.shape[1])), ascending.cumsum(axis=0)])
    steps = np.arange(len(sizes))
    sides = np.minimum(aside, np.minimum(steps, steps[::-1]))
    smooth = (sums[steps + sides + 1] - sums[steps - sides]) / (2 * sides + 1)[:, None]
    return np.where(smooth > 0, smooth, 1.0)


def _levelled(values: Array, positive: bool) -> Array:
    return np.log(np.maximum(values, np.finfo(np.float64).tiny)) if positive else values
