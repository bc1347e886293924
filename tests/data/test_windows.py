from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data.windows import SeriesWindows, series_windows, streams, windows
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


def gathered(series, index, size):
    return np.stack([series[number][start : start + size] for number, start in index])


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    look_back=st.integers(1, 9),
    horizon=st.integers(1, 7),
    stride=st.integers(1, 5),
    data=st.data(),
)
def test_series_windows_against_a_loop(lengths, look_back, horizon, stride, data):
    begin = [data.draw(st.integers(0, length)) for length in lengths]
    end = [data.draw(st.integers(0, length)) for length in lengths]
    closed = [np.random.default_rng(length).random(length) < 0.2 for length in lengths]
    wanted = []
    for number, length in enumerate(lengths):
        first = next((s for s in range(length) if s + look_back >= begin[number]), 0)
        for start in range(first, length, stride):
            targets = range(start + look_back, start + look_back + horizon)
            if targets[-1] < end[number] and not closed[number][targets[0] - 1]:
                wanted.append((number, start))
    index = series_windows(lengths, look_back, horizon, stride=stride, begin=begin, end=end, closed=closed)
    assert index.shape == (len(wanted), 2)
    assert list(map(tuple, index.tolist())) == wanted
    everything = series_windows(lengths, look_back, horizon)
    assert len(everything) == sum(max(0, length - look_back - horizon + 1) for length in lengths)


def test_a_batch_is_gathered_out_of_one_array():
    random = np.random.default_rng(2)
    series = [random.normal(size=(rows, 3)).astype(np.float32) for rows in (17, 5, 9, 30)]
    windows_of = SeriesWindows(series, 7)
    index = series_windows([len(values) for values in series], 4, 3)
    assert set(index[:, 0].tolist()) == {0, 2, 3}  # the second is too short
    chosen = index[random.permutation(len(index))[:11]]
    batch = windows_of.gather(chosen)
    assert batch.dtype == np.float32 and batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, gathered(series, chosen, 7))
    batch[:] = 0  # a batch is a copy, and the series stay
    np.testing.assert_array_equal(windows_of.gather(chosen), gathered(series, chosen, 7))
    assert windows_of.gather(index[:0]).shape == (0, 7, 3)


@pytest.mark.parametrize("index", [(0, 11), (1, 0), (0, -1)])
def test_a_window_never_runs_into_the_next_series(index):
    windows_of = SeriesWindows([np.zeros((17, 2)), np.ones((5, 2)), np.ones((30, 2))], 7)
    with pytest.raises(ShapeError, match="over the end of its series"):
        windows_of.gather(np.array([index]))


def test_windows_of_series_that_are_too_short():
    assert SeriesWindows([np.zeros((3, 2))], 7).gather(np.zeros((0, 2), dtype=np.int64)).shape == (0, 7, 2)
    with pytest.raises(ShapeError, match="at least 1"):
        series_windows([9], 3, 0)


def test_long_series_are_held_once():
    import tracemalloc

    values = np.zeros((69_680, 7), dtype=np.float32)
    tracemalloc.start()
    windows_of = SeriesWindows([values], 1440)
    index = series_windows([len(values)], 720, 720)
    for start in range(0, 640, 64):
        windows_of.gather(index[start : start + 64])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(index) == 68_241
    assert peak < 3 * values.nbytes + 64 * 1440 * 7 * 4 * 2  # all windows together would take 2.7 GB
