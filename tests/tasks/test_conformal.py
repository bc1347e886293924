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
    truth = np.array([[[1.0], [2.0]], [[np.nan], [9.0]], [[3.0], [6.0]]])
    made = Conformal.fit(np.zeros((3, 2, 1, 1)), truth, (0.5, 0.99), positive=False)
    assert made is not None
    assert made.count == 2
    # spreads 2 and 4, scores 0.5, 0.5, 1.5, 1.5: the greatest
    np.testing.assert_allclose(made.offsets[1].ravel(), [3, 6])
    assert Conformal.fit(np.zeros((1, 2, 1, 1)), truth[1:2], (0.5,), positive=False) is None


def of_steps(errors: np.ndarray, levels: tuple[float, ...] = (0.1, 0.5, 0.9)) -> np.ndarray:
    """The offsets [A, F] learnt from errors [W, F] of one target."""
    made = Conformal.fit(np.zeros((*errors.shape, 1, 1)), errors[..., None], levels, positive=False)
    assert made is not None
    return made.offsets[..., 0]


def test_few_windows_borrow_from_neighbouring_steps_by_hand() -> None:
    # mean sizes 1, 4 and 3: ascending 1, 3.5, 3.5; the middle one is (1 + 3.5 + 3.5) / 3
    errors = np.array([[1.0, -4.0, 3.0], [-1.0, 4.0, -3.0], [1.0, -4.0, 3.0], [-1.0, 4.0, -3.0]])
    spread = np.array([1.0, 8 / 3, 3.5])
    scores = np.sort((errors / spread).ravel())  # 12 of 4 windows and 3 steps, each window weighing a fifth
    found = of_steps(errors, (0.25, 0.5, 0.7))
    np.testing.assert_allclose(found[2], spread * scores[11 - 1])  # number ceil(5 * 0.7 * 3) = 11
    np.testing.assert_allclose(found[0], spread * scores[1 - 1])  # number floor(5 * 0.25 * 3) - 3 + 1 = 1
    np.testing.assert_allclose(found[1], 0)


@pytest.mark.parametrize("windows", [3, 17, 60])
def test_the_widths_of_few_windows_do_not_jump(windows: int) -> None:
    """Each step for itself, the widths would fall and rise again by a tenth of themselves and more at nearly all."""
    errors = np.random.default_rng(windows).standard_t(4, size=(windows, 24)) * np.sqrt(np.arange(1, 25))
    low, _, high = of_steps(errors)
    widths = high - low
    bend = np.abs(np.diff(widths, 2)).mean() / widths.mean()
    ordered = np.sort(errors, axis=0)
    alone = ordered[min(windows, int(np.ceil((windows + 1) * 0.9))) - 1] - ordered[max(1, int((windows + 1) * 0.1)) - 1]
    assert bend < 0.03
    assert bend < 0.2 * np.abs(np.diff(alone, 2)).mean() / alone.mean()
    assert (np.diff(widths) > -0.03 * widths.mean()).all()
    assert widths[-1] > 2.5 * widths[0]  # the square root of 24 is 4.9: it is not ironed out


def test_many_windows_leave_each_step_to_itself() -> None:
    errors = np.random.default_rng(5).normal(size=(1_003, 4)) * np.array([5.0, 1.0, 3.0, 2.0])
    ordered = np.sort(errors, axis=0)
    low, _, high = of_steps(errors)
    np.testing.assert_allclose(low, ordered[int(1_004 * 0.1) - 1])
    np.testing.assert_allclose(high, ordered[int(np.ceil(1_004 * 0.9)) - 1])


@pytest.mark.parametrize("windows", [5, 20, 120])
def test_the_promise_is_kept_by_few_windows(windows: int) -> None:
    """On windows held out, at every step, of errors that grow with the step; never much below what is promised."""
    random = np.random.default_rng(6)
    inside = np.zeros(9)
    repeats = 200
    for _ in range(repeats):
        errors = (random.normal(size=(windows + 20, 9)) + random.normal(size=(windows + 20, 1))).cumsum(axis=1)
        low, _, high = of_steps(errors[:windows])
        inside += ((errors[windows:] >= low) & (errors[windows:] <= high)).mean(axis=0) / repeats
    assert inside.min() > 0.77
    assert inside.mean() > 0.79
    assert inside.mean() < (0.98 if windows == 5 else 0.87 if windows == 20 else 0.83)


def test_errors_of_trained_quantiles_borrow_too() -> None:
    random = np.random.default_rng(7)
    truth = random.normal(size=(30, 12, 2)) * np.array([1.0, 100.0])
    said = np.stack([truth * 0 - np.array([1.0, 100.0]), truth * 0, truth * 0 + np.array([1.0, 100.0])], axis=3)
    made = Conformal.fit(said, truth, (0.1, 0.5, 0.9), positive=False)
    assert made is not None
    bounds = made.widen(said[:1], (0.1, 0.5, 0.9))[0]  # [F, C, 3]
    for target, size in enumerate((1.0, 100.0)):
        widths = (bounds[:, target, 2] - bounds[:, target, 0]) / size
        assert np.abs(np.diff(widths, 2)).mean() < 0.03
        np.testing.assert_allclose(widths.mean(), 2 * 1.28, rtol=0.25)


def test_errors_that_are_all_zero() -> None:
    np.testing.assert_array_equal(of_steps(np.zeros((4, 5))), np.zeros((3, 5)))


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
