"""The baselines for language models: unigrams, and n-grams smoothed after Kneser and Ney.

Both work on arrays of ids, a whole array at a time. Every distinct n-gram has a number, its rank among the n-grams of
its order; one of order n is the number of its first n - 1 words and its last word, packed in 64 bits. So any vocabulary
and any order fit, and looking up is a binary search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from seqloom.errors import ShapeError

__all__ = ["KneserNey", "Unigram"]


class Unigram:
    """How frequent each token is, whatever came before; one is added to each count (Laplace)."""

    def fit(self, ids: np.ndarray, vocabulary: int) -> Self:
        """Counts the ids [N] of a vocabulary of V.

        Raises:
            ShapeError: an id is outside the vocabulary.
        """
        _check(ids, vocabulary)
        counts = np.bincount(ids, minlength=vocabulary) + 1
        self.vocabulary = vocabulary
        self.nats = -np.log(counts / counts.sum())
        return self

    def score(self, ids: np.ndarray) -> np.ndarray:
        """The negative log-probability in nats of each of ``ids[1:]``, [N - 1].

        Raises:
            ShapeError: an id is outside the vocabulary.
        """
        _check(ids, self.vocabulary)
        nats: np.ndarray = self.nats[ids[1:]]
        return nats


@dataclass(frozen=True, eq=False)
class _Order:
    """What is known about the n-grams of one order; the number of an n-gram is its place in ``keys``.

    Attributes:
        keys: number of the first n - 1 words times V, plus the last word; sorted.
        counts: how often the n-gram occurred, or, below the highest order, after how many different words.
        discounts: what is taken off a count of 0, 1, 2 and of 3 or more.
        totals: the sum of the counts behind each context of n - 1 words.
        kept_back: the share that the discounts leave to the order below, for each context.
    """

    keys: np.ndarray
    counts: np.ndarray
    discounts: np.ndarray
    totals: np.ndarray
    kept_back: np.ndarray


class KneserNey:
    """Interpolated modified Kneser-Ney smoothing.

    Chen and Goodman (1998), "An Empirical Study of Smoothing Techniques for Language Modeling", equations 24 to 26:

        p_n(w | c) = max(count(c w) - D(count(c w)), 0) / total(c) + kept_back(c) p_{n-1}(w | c without its first word)

    with three discounts an order. Below the highest order a count is the number of different words seen before the
    n-gram. Unigrams are interpolated with the uniform distribution, so that no token has the probability 0.

    Args:
        order: the longest n-gram, n - 1 tokens of context and the one that is predicted.
    """

    def __init__(self, order: int = 5) -> None:
        self.order = order

    def fit(self, ids: np.ndarray, vocabulary: int) -> Self:
        """Counts the n-grams of ids [N] of a vocabulary of V.

        Raises:
            ShapeError: an id is outside the vocabulary.
        """
        _check(ids, vocabulary)
        self.vocabulary = vocabulary
        self.orders: list[_Order] = []
        levels = _number(ids.astype(np.int64), vocabulary, self.order)
        for n, (keys, numbers, _) in enumerate(levels):
            if n + 1 < len(levels):
                # Each distinct n-gram that is one longer counts once for the n-gram that it ends with.
                longer_first = levels[n + 1][2]
                counts = np.bincount(numbers[1:][longer_first], minlength=len(keys))
            else:
                counts = np.bincount(numbers, minlength=len(keys))
            contexts = len(levels[n - 1][0]) if n else 1
            self.orders.append(_smooth(keys, counts, contexts, vocabulary))
        return self

    def score(self, ids: np.ndarray) -> np.ndarray:
        """The negative log-probability in nats of each of ``ids[1:]``, given all before it in ``ids``, [N - 1].

        The first ones have shorter contexts.

        Raises:
            ShapeError: an id is outside the vocabulary.
        """
        _check(ids, self.vocabulary)
        words = ids.astype(np.int64)
        probability = np.full(len(words), 1 / self.vocabulary)
        context = np.zeros(len(words), dtype=np.int64)  # the number of the n - 1 words before, -1: never seen
        for level in self.orders:
            # An unseen context makes a negative key, which is never found.
            place, found = _find(level.keys, context * self.vocabulary + words)
            seen = (context >= 0) & (level.totals[context] > 0)
            behind = context[seen]
            count = np.where(found, level.counts[place], 0)[seen]
            share = (count - level.discounts[np.minimum(count, 3)]) / level.totals[behind]
            probability[seen] = share + level.kept_back[behind] * probability[seen]
            context = np.concatenate([[-1], np.where(found, place, -1)[:-1]])
        nats: np.ndarray = -np.log(probability[1:])
        return nats


def _number(ids: np.ndarray, vocabulary: int, order: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Numbers the n-grams of each order from 1 to ``order``, as far as the text is long enough for one.

    Returns:
        for each order the sorted keys of the distinct n-grams, the number of the n-gram at each position of the text
        (positions count n-grams: one fewer with each order), and the first position of each distinct n-gram.
    """
    levels = []
    before = np.zeros(len(ids), dtype=np.int64)
    for n in range(min(order, len(ids))):
        key = before[: len(ids) - n] * vocabulary + ids[n:]
        keys, first, numbers = np.unique(key, return_index=True, return_inverse=True)
        levels.append((keys, numbers, first))
        before = numbers
    return levels


def _smooth(keys: np.ndarray, counts: np.ndarray, contexts: int, vocabulary: int) -> _Order:
    """Sums the counts of one order by context and estimates its discounts."""
    context = keys // vocabulary
    discounts = _discounts(counts)
    totals = np.bincount(context, weights=counts, minlength=contexts)
    taken = np.bincount(context, weights=discounts[np.minimum(counts, 3)], minlength=contexts)
    return _Order(keys, counts, discounts, totals, taken / np.maximum(totals, 1))


def _discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts of counts 0, 1, 2 and 3 or more: Chen and Goodman, equation 26.

    Where there are too few n-grams for the estimate, 1/2, 1 and 3/2 stand in, as in KenLM.
    """
    n1, n2, n3, n4 = (np.count_nonzero(counts == n) for n in (1, 2, 3, 4))
    if min(n1, n2, n3) > 0:
        y = n1 / (n1 + 2 * n2)
        estimate = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        # Discounts above 0 leave every context something for words that it was not seen with.
        if np.all(estimate[1:] > 0):
            return estimate
    return np.array([0, 0.5, 1, 1.5])


def _find(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each wanted key stands in the sorted ``keys``, and whether it does; without it the place means nothing."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


def _check(ids: np.ndarray, vocabulary: int) -> None:
    if ids.ndim != 1 or len(ids) == 0 or ids.min() < 0 or ids.max() >= vocabulary:
        what = f"{list(ids.shape)}" if ids.size == 0 or ids.ndim != 1 else f"{ids.min()} to {ids.max()}"
        raise ShapeError(f"ids must be [N] with N >= 1 and from 0 to {vocabulary - 1}; given {what}")
