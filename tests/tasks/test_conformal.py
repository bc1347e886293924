"""Intervals from errors: order statistics worked out by hand, the promise of their coverage, and their file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqloom.errors import SettingError
from seqloom.tasks._conformal import GRID, Conformal


def fitted(errors: np.ndarray, levels: tuple[float, ...] = GRID, positive: bool = False) -> Conformal:
    """From errors [W] of one step and target."""
    truth = errors[:, None, None] + 100.0
    made = Conformal.fit(np.full((*truth.shape, 1), 100.0), truth, levels, positive=positive)
    assert made is not None
    return made


def test_by_hand() -> None:
    # nine errors: level 0.9 takes number ceil(10 * 0.9) = 9, level 0.8 number 8, level 0.25 number floor(2.5) = 2
    errors = np.array([4.0, -3, 1, 0, 2, -1, 5, 3, -2])
    made = fitted(errors, (0.1, 0.25, 0.5, 0.8, 0.9))
    np.testing.assert_allclose(made.offsets.ravel(), [-3, -2, 0, 4, 5])
    found = made.widen(np.full((1, 1, 1, 1), 7.0), (0.25, 0.5, 0.9))
    np.testing.assert_allclose(found.ravel(), [5, 7, 12])
    between = made.widen(np.zeros((1, 1, 1, 1)), (0.85,))
    np.testing.assert_allclose(between.ravel(), [4.5])


def test_no_bound_lies_on_the_other_side_of_the_forecast() -> None:
    made = fitted(np.arange(1.0, 20.0), (0.1, 0.5, 0.9))
    np.testing.assert_allclose(made.offsets.ravel(), [0, 0, 18])


def test_few_errors_give_their_extremes() -> None:
    made = fitted(np.array([-1.0, 2.0]), (0.01, 0.5, 0.99))
    np.testing.assert_allclose(made.offsets.ravel(), [-1, 0, 2])


def test_each_trained_quantile_is_moved_by_its_own_errors() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(size=(999, 1, 1))
    said = np.stack([np.full(truth.shape, -0.2), np.zeros(truth.shape), np.full(truth.shape, 3.0)], axis=3)
    made = Conformal.fit(said, truth, (0.1, 0.5, 0.9), positive=False)
    assert made is not None
    moved = made.widen(said[:1], (0.1, 0.5, 0.9)).ravel()
    ordered = np.sort(truth.ravel())
    np.testing.assert_allclose(moved, ordered[[99, 499, 899]])


@pytest.mark.parametrize("level", [0.1, 0.8])
def test_the_promise_is_kept(level: float) -> None:
    random = np.random.default_rng(2)
    low, high = (1 - level) / 2, (1 + level) / 2
    shares = []
    for _ in range(300):
        errors = random.standard_t(3, size=60)
        made = fitted(errors[:59])
        bounds = made.widen(np.full((1, 1, 1, 1), 100.0), (low, high)).ravel()
        shares.append(bounds[0] <= errors[59] + 100 <= bounds[1])
    assert np.mean(shares) == pytest.approx(level, abs=0.07)


def test_of_values_above_zero_the_bounds_are_factors() -> None:
    made = fitted(np.array([-50.0, 100.0, 0.0]), (0.25, 0.5, 0.75), positive=True)
    found = made.widen(np.full((1, 1, 1, 1), 8.0), (0.25, 0.5, 0.75)).ravel()
    np.testing.assert_allclose(found, [4, 8, 16])
    assert (made.widen(np.full((1, 1, 1, 1), 1e-9), (0.25,)) > 0).all()


def test_windows_that_are_not_whole_are_left_out() -> None:
    truth = np.array([[[1.0], [2.0]], [[np.nan], [9.0]], [[3.0], [4.0]]])
    made = Conformal.fit(np.zeros((3, 2, 1, 1)), truth, (0.5, 0.99), positive=False)
    assert made is not None
    assert made.count == 2
    np.testing.assert_allclose(made.offsets[1].ravel(), [3, 4])
    assert Conformal.fit(np.zeros((1, 2, 1, 1)), truth[1:2], (0.5,), positive=False) is None


def test_a_level_that_was_not_learnt_is_refused() -> None:
    made = fitted(np.arange(5.0))
    for level in (0.001, 0.995):
        with pytest.raises(SettingError, match=r"this run gives quantiles from 0\.01 to 0\.99") as refused:
            made.widen(np.zeros((1, 1, 1, 1)), (level,))
        assert f"{level:g}" in refused.value.message


def test_its_file(tmp_path: Path) -> None:
    made = fitted(np.random.default_rng(3).normal(size=50))
    made.save(tmp_path)
    again = Conformal.load(tmp_path)
    assert again is not None
    assert (again.levels, again.count, again.positive) == (made.levels, 50, False)
    np.testing.assert_allclose(again.offsets, made.offsets, rtol=1e-6)
    assert Conformal.load(tmp_path / "none") is None
