from __future__ import annotations

import numpy as np
import pytest

from seqloom.models.pool import Pool


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores)
    return powers / powers.sum(axis=1, keepdims=True)


def classifiers(count: int, first: float, second: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The probabilities of two classifiers, and labels drawn from their pool with the weights given, K = 3."""
    random = np.random.default_rng(seed)
    one, other = random.normal(0, 2, (count, 3)), random.normal(0, 2, (count, 3))
    pooled = softmax(first * one + second * other)
    targets = (pooled.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return softmax(one), softmax(other), targets


def test_pooled_by_hand():
    found = Pool(2.0, 0.5).probabilities(np.array([[0.5, 0.25, 0.25]]), np.array([[0.04, 0.64, 0.32]]))
    weights = np.array([0.25 * 0.2, 0.0625 * 0.8, 0.0625 * 0.32**0.5])
    np.testing.assert_allclose(found, [weights / weights.sum()], rtol=1e-12)


def test_the_weights_that_made_the_labels_come_out():
    pool = Pool.fit(*classifiers(20_000, 0.4, 1.2))
    assert (pool.first, pool.second) == (pytest.approx(0.4, abs=0.06), pytest.approx(1.2, abs=0.06))


def test_no_weights_nearby_have_less_loss():
    one, other, targets = classifiers(400, 0.8, 0.3)
    pool = Pool.fit(one, other, targets)

    def loss(first: float, second: float) -> float:
        found = Pool(first, second).probabilities(one, other)
        prior = 10 * ((first - 0.5) ** 2 + (second - 0.5) ** 2)
        return float(prior - np.log(found[np.arange(len(targets)), targets]).sum())

    least = loss(pool.first, pool.second)
    for step in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02)):
        assert loss(pool.first + step[0], pool.second + step[1]) > least


def test_a_classifier_that_misleads_is_not_heard():
    one, other, targets = classifiers(2_000, 1.0, -1.0)
    pool = Pool.fit(one, other, targets)
    assert pool.second == 0
    assert pool.first > 0.5


def test_few_records_leave_an_equal_share():
    one, other, _ = classifiers(2, 1.0, 1.0)
    pool = Pool.fit(one, other, np.array([0, 2]))
    assert 0.3 < pool.first < 0.7
    assert 0.3 < pool.second < 0.7
    nobody = Pool.fit(one[:0], other[:0], np.array([], dtype=np.int64))
    assert (nobody.first, nobody.second) == (0.5, 0.5)


def test_what_is_impossible_stays_finite():
    one, other = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.5, 0.5]])
    found = Pool.fit(one, other, np.array([1, 1])).probabilities(one, other)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
