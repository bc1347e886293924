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

__all__ = ["GRID", "Conformal"]

Array = NDArray[np.float64]

GRID = tuple(round(level / 100, 2) for level in range(1, 100))
"""The levels that are kept for a model that says one value a step."""
FILE = "intervals.safetensors"


@dataclass(frozen=True, eq=False)
class Conformal:
    """Split-conformal prediction: what must be added to a forecast so that a share of what comes lies below.

    Vovk, Gammerman and Shafer 2005, "Algorithmic Learning in a Random World", section 4.1; each side on its own as in
    Romano, Patterson and Candes 2019, "Conformalized Quantile Regression", arXiv:1905.03222, theorem 2. Of n errors
    in ascending order, level a takes number ceil((n + 1) a), and below one half number floor((n + 1) a). The promise
    holds for windows that could change places with those of the validation part; a series that changes breaks it.

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
        ordered = np.sort(errors, axis=0)  # [W, F, C, 1 or A]
        offsets = np.empty((len(levels), *truth.shape[1:]))
        for number, level in enumerate(levels):
            place = floor((count + 1) * level) if level < 0.5 else ceil((count + 1) * level)
            column = ordered[min(count, max(1, place)) - 1, ..., number if ordered.shape[-1] > 1 else 0]
            if ordered.shape[-1] == 1:  # the forecast itself is the median: no bound lies on its other side
                column = np.minimum(column, 0) if level < 0.5 else np.maximum(column, 0) if level > 0.5 else 0 * column
            offsets[number] = column
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


def _levelled(values: Array, positive: bool) -> Array:
    return np.log(np.maximum(values, np.finfo(np.float64).tiny)) if positive else values
