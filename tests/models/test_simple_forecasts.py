"""The baselines: by hand, and the linear one beside the solution over windows that are laid out."""

from __future__ import annotations

import numpy as np
import pytest

from seqloom.errors import ShapeError
from seqloom.models.simple_forecasts import Ridge, drift, naive, seasonal_naive


def look_backs() -> np.ndarray:
    """[2, 4, 2]"""
    return np.array(
        [[[1.0, 10.0], [2.0, 30.0], [4.0, 20.0], [7.0, 40.0]], [[0.0, 5.0], [0.0, 4.0], [0.0, 9.0], [3.0, -1.0]]]
    )


def test_naive_repeats_the_last_value():
    assert naive(look_backs(), 3).tolist() == [[[7.0, 40.0]] * 3, [[3.0, -1.0]] * 3]


def test_seasonal_naive_repeats_the_last_season():
    given = seasonal_naive(look_backs(), 5, 3)
    assert given[0].tolist() == [[2.0, 30.0], [4.0, 20.0], [7.0, 40.0], [2.0, 30.0], [4.0, 20.0]]
    assert np.array_equal(seasonal_naive(look_backs(), 5, 1), naive(look_backs(), 5))


@pytest.mark.parametrize("period", [0, 5])
def test_a_season_longer_than_the_look_back(period):
    with pytest.raises(ShapeError, match=rf"season of {period} rows cannot be seen in a look-back of 4"):
        seasonal_naive(look_backs(), 5, period)


def test_drift_draws_the_line_on():
    given = drift(look_backs(), 2)
    assert given[0].tolist() == [[9.0, 50.0], [11.0, 60.0]]
    assert given[1].tolist() == [[4.0, -3.0], [5.0, -5.0]]
    assert np.array_equal(drift(look_backs()[:, -1:], 2), naive(look_backs(), 2))


def series(*lengths: int) -> list[np.ndarray]:
    generator = np.random.default_rng(3)
    return [generator.normal(50, 3, (length, 2)).cumsum(axis=0) for length in lengths]


def windows(arrays: list[np.ndarray], look_back: int, horizon: int) -> np.ndarray:
    """Every window of every channel less its last value of the look-back, [M, T+F]."""
    rows = look_back + horizon
    cut = [a[s : s + rows, c] for a in arrays for c in range(a.shape[1]) for s in range(len(a) - rows + 1)]
    return np.stack([one - one[look_back - 1] for one in cut])


@pytest.mark.parametrize(("look_back", "horizon"), [(5, 3), (4, 1), (1, 2)])
def test_the_linear_model_is_the_solution_over_all_windows(look_back, horizon):
    arrays = series(31, 6, 17, 12)
    ridge = Ridge.fit(arrays, look_back, horizon, penalty=0.01)
    both = windows([a for a in arrays if len(a) >= look_back + horizon], look_back, horizon)
    read, said = both[:, :look_back], both[:, look_back:]
    centred = read - read.mean(axis=0)
    strength = 0.01 * np.square(centred).mean() or 1.0
    weights = np.linalg.solve(
        centred.T @ centred / len(both) + strength * np.eye(look_back),
        centred.T @ (said - said.mean(axis=0)) / len(both),
    )
    np.testing.assert_allclose(ridge.weights, weights, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ridge.bias, said.mean(axis=0) - read.mean(axis=0) @ weights, rtol=1e-7, atol=1e-7)
    values = np.random.default_rng(4).normal(size=(3, look_back, 2))
    given = ridge.forecast(values)
    assert given.shape == (3, horizon, 2)
    by_hand = (values[2, :, 1] - values[2, -1, 1]) @ ridge.weights + ridge.bias + values[2, -1, 1]
    np.testing.assert_allclose(given[2, :, 1], by_hand)


def test_the_linear_model_finds_a_wave():
    """A sine of any phase is a linear map of two of its values; its level does not matter."""
    times = np.arange(400)
    wave = np.sin(times * 2 * np.pi / 25)[:, np.newaxis]
    ridge = Ridge.fit([wave], 30, 10, penalty=1e-9)
    given = ridge.forecast(1000 + wave[np.newaxis, 70:100].astype(np.float32))
    np.testing.assert_allclose(given[0], 1000 + wave[100:110], atol=1e-3)


def test_a_constant_series_stays_as_it_is():
    ridge = Ridge.fit([np.full((20, 1), 7.5)], 4, 2)
    np.testing.assert_allclose(ridge.forecast(np.full((1, 4, 1), 7.5)), 7.5)


def test_too_few_rows():
    with pytest.raises(ShapeError, match="longest series has 8 rows; look-back 6 and horizon 3 need 9"):
        Ridge.fit(series(8, 3), 6, 3)


def test_pieces_of_a_long_series_are_the_whole_of_it(monkeypatch):
    arrays = series(57, 23)
    whole = Ridge.fit(arrays, 5, 3)
    monkeypatch.setattr("seqloom.models.simple_forecasts.PIECE", 7)
    cut = Ridge.fit(arrays, 5, 3)
    np.testing.assert_allclose(cut.weights, whole.weights, rtol=1e-9)
    np.testing.assert_allclose(cut.bias, whole.bias, rtol=1e-7, atol=1e-9)
    assert whole.share == cut.share == 1


def test_without_time_one_piece_is_enough_and_the_share_is_told(monkeypatch):
    monkeypatch.setattr("seqloom.models.simple_forecasts.PIECE", 7)
    found = Ridge.fit(series(57), 5, 3, seconds=0)
    assert found.share in (7 / 100, 1 / 100)  # 50 windows of each of two channels; the last piece has one
    assert found.weights.shape == (5, 3)
