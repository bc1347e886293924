"""Holes are filled along a line or cut out, and nothing is invented."""

from __future__ import annotations

import numpy as np

from seqloom.data.missing import cuts, fill

NAN = float("nan")


def test_filled_by_hand() -> None:
    values = np.array([[NAN, 0.0], [1.0, 1.0], [NAN, 1.0], [4.0, NAN], [6.0, 0.0], [8.0, NAN]])
    found = fill(values, np.array([3, 4, 5, 7, 9, 10]), np.array([False, True]))
    # the first row lacks the first column, the last one the second; steps 6 and 8 had no row
    np.testing.assert_allclose(found.values, [[1, 1], [2, 1], [3, 1], [4, 1], [5, 1], [6, 0]])
    assert found.positions.tolist() == [4, 5, 6, 7, 8, 9]
    assert found.rows.tolist() == [1, 2, -1, 3, -1, 4]
    assert found.filled.tolist() == [False, True, True, True, True, False]
    assert (found.made, found.longest, found.ends) == (1 + 2 + 1 + 2, 4, 2)


def test_a_column_of_nothing_leaves_nothing() -> None:
    found = fill(np.array([[1.0, NAN], [2.0, NAN]]), np.array([0, 1]), np.zeros(2, dtype=bool))
    assert len(found.values) == 0 and found.ends == 2


def test_columns_that_never_meet_leave_nothing() -> None:
    found = fill(np.array([[1.0, NAN], [NAN, 2.0]]), np.array([0, 1]), np.zeros(2, dtype=bool))
    assert len(found.values) == 0 and found.ends == 2


def test_cuts_by_hand() -> None:
    complete = np.array([False, True, True, True, False, True, True])
    assert [piece.tolist() for piece in cuts(complete, np.array([0, 1, 2, 5, 6, 7, 8]))] == [[1, 2], [3], [5, 6]]
    assert cuts(np.zeros(3, dtype=bool), np.arange(3)) == []


def test_a_filled_row_never_changes_the_rows_before_the_hole() -> None:
    values = np.random.default_rng(1).normal(size=(30, 2))
    values[10:13, 0] = NAN
    other = values.copy()
    other[13:] += 100  # the future of the hole
    one, two = (fill(array, np.arange(30), np.zeros(2, dtype=bool)) for array in (values, other))
    differs = (one.values != two.values).any(axis=1)
    assert differs.nonzero()[0].tolist() == list(range(10, 30))
    assert one.filled.nonzero()[0].tolist() == [10, 11, 12]  # so these rows are told
