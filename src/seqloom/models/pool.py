"""Two classifiers' probabilities as one: a logarithmic opinion pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pool"]

Array = NDArray[np.float64]

PRIOR = 10.0
"""Nats that a weight costs which is one away from an equal share: some dozens of records outweigh it."""
LEAST = 1e-12
"""No label is less probable than this before its logarithm is taken."""


@dataclass(frozen=True)
class Pool:
    """p(label) in proportion to p_1(label)^a * p_2(label)^b.

    Heskes 1998, "Selecting weighting factors in logarithmic opinion pools", equation 1, but the weights need not sum
    to one: below one together they also temper what both are too sure of.

    Attributes:
        first: a, at least 0.
        second: b, at least 0.
    """

    first: float
    second: float

    @classmethod
    def fit(cls, first: Array, second: Array, targets: NDArray[np.int64]) -> Self:
        """The weights of the least loss on records that neither classifier has learnt from.

        The loss is convex in the weights. A prior draws them to an equal share, so that few records cannot part them
        far.

        Args:
            first: the probabilities of one classifier, [N, K].
            second: those of the other, [N, K].
            targets: the true labels, [N].
        """
        from scipy.optimize import minimize
        from scipy.special import logsumexp

        logs = np.stack([_logs(first), _logs(second)])  # (2, N, K)
        true = logs[:, np.arange(len(targets)), targets]  # (2, N)

        def loss(weights: Array) -> tuple[float, Array]:
            scores = np.tensordot(weights, logs, 1)  # (N, K)
            nats = logsumexp(scores, axis=1).sum() - (weights @ true).sum()
            slope = (logs * _softmax(scores)).sum(axis=(1, 2)) - true.sum(axis=1)  # (2)
            away = weights - 0.5
            return float(nats + PRIOR * (away @ away)), slope + 2 * PRIOR * away

        found = minimize(loss, np.full(2, 0.5), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 2)
        return cls(*(round(float(weight), 6) for weight in found.x))

    def probabilities(self, first: Array, second: Array) -> Array:
        """The pooled probabilities, [N, K]."""
        return _softmax(self.first * _logs(first) + self.second * _logs(second))


def _logs(probabilities: Array) -> Array:
    return np.log(np.maximum(probabilities, LEAST))


def _softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
