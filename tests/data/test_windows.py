from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data.windows import streams, windows
from seqloom.errors import ShapeError


def test_streams_by_hand():
    items = list(streams(np.arange(100, 112), 2, 3, offset=1))
    np.testing.assert_array_equal(items[0][0], [[101, 102, 103], [106, 107, 108]])
    np.testing.assert_array_equal(items[0][1], [[102, 103, 104], [107, 108, 109]])
    np.testing.assert_array_equal(items[1][0], [[104, 105], [109, 110]])
    np.testing.assert_array_equal(items[1][1], [[105, 106], [110, 111]])
    assert len(items) == 2


@given(count=st.integers(2, 200), batch=st.integers(1, 9), window=st.integers(1, 30), offset=st.integers(0, 20))
def test_streams_miss_nothing_and_repeat_nothing(count, batch, window, offset):
    tokens = np.arange(count)
    if count < offset + batch + 1:
        with pytest.raises(ShapeError, match=str(offset + batch + 1)):
            streams(tokens, batch, window, offset=offset)
        return
    items = list(streams(tokens, batch, window, offset=offset))
    targets = np.concatenate([target.ravel() for _, target in items])
    assert len(set(targets)) == len(targets)
    assert min(targets) == offset + 1
    assert count - 1 - offset - len(targets) < batch  # what is left does not fill a column of rows
    for inputs, target in items:
        assert inputs.shape == target.shape and inputs.shape[0] == batch and 1 <= inputs.shape[1] <= window
        np.testing.assert_array_equal(inputs + 1, target)
    for (before, _), (after, _) in pairwise(items):
        assert before.shape[1] == window
        np.testing.assert_array_equal(before[:, -1] + 1, after[:, 0])


def test_one_row_scores_the_whole_text():
    tokens = np.arange(50)
    targets = [target for _, target in streams(tokens, 1, 7)]
    np.testing.assert_array_equal(np.concatenate(targets, axis=1)[0], tokens[1:])


@given(count=st.integers(2, 60), window=st.integers(1, 12), stride=st.integers(1, 7))
def test_windows_against_a_loop(count, window, stride):
    tokens = np.arange(count) * 3
    if count < window + 1:
        with pytest.raises(ShapeError):
            windows(tokens, window, stride)
        return
    inputs, targets = windows(tokens, window, stride)
    expected = [tokens[start : start + window] for start in range(0, count - window, stride)]
    np.testing.assert_array_equal(inputs, expected)
    np.testing.assert_array_equal(
        targets, [tokens[start + 1 : start + 1 + window] for start in range(0, count - window, stride)]
    )
    assert len(inputs) == (count - window - 1) // stride + 1


def test_both_are_views():
    tokens = np.arange(1000)
    assert all(np.shares_memory(array, tokens) for array in windows(tokens, 10))
    assert all(np.shares_memory(array, tokens) for item in streams(tokens, 4, 10) for array in item)


@pytest.mark.parametrize("sizes", [(0, 5), (2, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(ShapeError):
        streams(np.arange(9), *sizes)
    with pytest.raises(ShapeError):
        windows(np.arange(9), *sizes)
