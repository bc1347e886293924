"""The season of a series is found, and a random walk, a trend and a constant have none."""

from __future__ import annotations

import numpy as np
import pytest

from seqloom.data.period import find_period


def wave(rows: int, period: float, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (np.sin(2 * np.pi * np.arange(rows) / period) + random.normal(0, noise, rows))[:, None]


@pytest.mark.parametrize("period", [7, 24])
def test_a_noisy_wave_with_a_trend(period: int) -> None:
    values = wave(24 * 40, period) + np.arange(24 * 40)[:, None] * 0.05
    assert find_period([values], (7, 24, 168)) == period
    assert find_period([values]) % period == 0 and find_period([values]) <= 2 * period


def test_days_and_weeks_of_hours() -> None:
    hours = np.arange(24 * 7 * 10)
    day = np.sin(2 * np.pi * hours / 24)[:, None]
    assert find_period([day], (24, 168)) == 24  # a week repeats no more than its days
    weekend = np.where(hours // 24 % 7 >= 5, 0.1, 1.0)[:, None]
    assert find_period([day * weekend], (24, 168)) == 168


def test_what_has_no_season() -> None:
    random = np.random.default_rng(5)
    walk = random.normal(size=(2_000, 1)).cumsum(axis=0)
    assert find_period([walk], (5, 24, 168)) == 1
    assert find_period([random.normal(size=(2_000, 2))], (5, 24, 168)) == 1
    assert find_period([np.full((200, 1), 0.1)], (7, 24)) == 1
    assert find_period([np.full((200, 1), 0.1)]) == 1
    assert find_period([np.arange(500.0)[:, None]], (7, 24)) == 1
    assert find_period([wave(71, 24)], (24,)) == 1  # shorter than three seasons
    assert find_period([], (24,)) == 1


def test_targets_and_series_are_taken_together() -> None:
    both = np.concatenate([wave(300, 12, 0.1), np.full((300, 1), 3.0)], axis=1)
    assert find_period([both, both[:200], both[:5]], (12, 30)) == 12
    assert find_period([wave(600, 25, 0.05)]) == 25


def test_the_future_changes_nothing() -> None:
    values = wave(1_000, 24)
    other = values.copy()
    other[700:] = wave(300, 7, seed=1) * 10
    assert find_period([values[:700]], (7, 24)) == find_period([other[:700]], (7, 24)) == 24
