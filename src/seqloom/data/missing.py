"""Series with holes: filled along a line between their edges, or cut at them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Filled", "cuts", "fill"]


class Filled(NamedTuple):
    """A series without holes."""

    values: NDArray[np.float64]
    """[M, X]."""
    rows: NDArray[np.int64]
    """The row that each row was, [M]; -1 for one that was put in."""
    positions: NDArray[np.int64]
    """The step of each row, one behind the other, [M]."""
    filled: NDArray[np.bool_]
    """Whether any value of a row was filled in, [M]."""
    made: int
    """Values filled in between the ends."""
    longest: int
    """Rows of the longest hole."""
    ends: int
    """Rows left out at the ends, where there is a value on one side only."""


def fill(values: NDArray[np.float64], positions: NDArray[np.int64], categories: NDArray[np.bool_]) -> Filled:
    """Fills the holes of a series: along a straight line, and categories with the one before.

    Nothing is invented at the ends: a row before the first value of any column, or behind the last one, is left out.
    A filled value lies between values on both sides, so it knows the one behind the hole: whoever forecasts from a
    filled row uses what was not known then (``filled`` tells these rows).

    Args:
        values: [N, X], NaN where one is missing.
        positions: the step at which each row stands, ascending, [N].
        categories: which columns hold numbers of categories, [X].
    """
    there = ~np.isnan(values)
    if not len(values) or not there.any(axis=0).all():
        none = np.zeros(0, dtype=np.int64)
        return Filled(values[:0], none, none, none.astype(bool), 0, 0, len(values))
    first = positions[int(there.argmax(axis=0).max())]
    last = positions[len(values) - 1 - int(there[::-1].argmax(axis=0).max())]
    steps = np.arange(first, last + 1)
    inside = (positions >= first) & (positions <= last)
    rows = np.full(len(steps), -1, dtype=np.int64)
    rows[positions[inside] - first] = np.flatnonzero(inside)
    known = np.zeros((len(steps), values.shape[1]), dtype=bool)
    known[rows >= 0] = there[inside]
    result = np.empty((len(steps), values.shape[1]))
    for column in range(values.shape[1]):
        at, seen = positions[there[:, column]], values[there[:, column], column]
        if categories[column]:
            result[:, column] = seen[np.searchsorted(at, steps, side="right") - 1]
        else:
            result[:, column] = np.interp(steps, at, seen)
    filled = np.asarray(~known.all(axis=1))
    return Filled(result, rows, steps, filled, int((~known).sum()), _longest(filled), len(values) - int(inside.sum()))


def cuts(complete: NDArray[np.bool_], positions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each piece that has no hole: rows that are complete [N] and one step behind each other."""
    rows = np.flatnonzero(complete)
    if not len(rows):
        return []
    return np.split(rows, np.flatnonzero(np.diff(positions[rows]) != 1) + 1)


def _longest(flags: NDArray[np.bool_]) -> int:
    """The length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if len(edges) else 0
