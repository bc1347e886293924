from __future__ import annotations

import math
import time
from collections import Counter, defaultdict

import numpy as np
import pytest

from seqloom.errors import ShapeError
from seqloom.models.ngram import KneserNey, Unigram


class PlainKneserNey:
    """Interpolated modified Kneser-Ney as the paper says it, with dictionaries and one word at a time."""

    def __init__(self, text: list[int], vocabulary: int, order: int) -> None:
        self.vocabulary, self.order = vocabulary, order
        self.counts: list[Counter[tuple[int, ...]]] = []
        for n in range(1, order + 1):
            if n == order:
                self.counts.append(Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1)))
            else:
                longer = {tuple(text[i : i + n + 1]) for i in range(len(text) - n)}
                self.counts.append(Counter(gram[1:] for gram in longer))
        self.behind = []
        for counts in self.counts:
            words = defaultdict(dict)
            for gram, count in counts.items():
                words[gram[:-1]][gram[-1]] = count
            self.behind.append(words)
        self.discounts = [self.estimate(counts) for counts in self.counts]

    @staticmethod
    def estimate(counts: Counter[tuple[int, ...]]) -> list[float]:
        of = Counter(counts.values())
        if of[1] and of[2] and of[3]:
            y = of[1] / (of[1] + 2 * of[2])
            found = [1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]]
            if min(found) > 0:
                return [0.0, *found]
        return [0.0, 0.5, 1.0, 1.5]

    def probability(self, context: tuple[int, ...], word: int) -> float:
        if len(context) > self.order - 1:
            context = context[len(context) - self.order + 1 :]
        shorter = self.probability(context[1:], word) if context else 1 / self.vocabulary
        words = self.behind[len(context)].get(context)
        if not words:
            return shorter
        discount = self.discounts[len(context)]
        total = sum(words.values())
        count = words.get(word, 0)
        left = sum(discount[min(c, 3)] for c in words.values()) / total
        return max(count - discount[min(count, 3)], 0) / total + left * shorter


def text(length: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    """A text in which what came before matters: a noisy walk."""
    random = np.random.default_rng(seed)
    steps = random.zipf(1.6, size=length)
    return (np.cumsum(steps) % vocabulary).astype(np.int32)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 4, 60, 1500])
def test_equals_the_plain_reference(order, length):
    train, valid = text(length, 35), text(80, 37, seed=1)
    reference = PlainKneserNey(train.tolist(), 38, min(order, length))
    expected = [-math.log(reference.probability(tuple(valid[:i].tolist()), valid[i])) for i in range(1, len(valid))]
    found = KneserNey(order).fit(train, 38).score(valid)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("context", [[4], [0, 1, 2, 3], [3, 5, 6, 9, 12, 0], [13, 13, 13], [4, 13, 2]])
def test_probabilities_sum_to_one(context):
    model = KneserNey(4).fit(text(700, 11), 14)  # 11, 12 and 13 never occur
    total = sum(math.exp(-model.score(np.array([*context, word]))[-1]) for word in range(14))
    assert total == pytest.approx(1, abs=1e-12)


def test_discounts_were_estimated_in_the_reference_test():
    discounts = PlainKneserNey(text(1500, 35).tolist(), 38, 5).discounts
    assert all(found != [0.0, 0.5, 1.0, 1.5] for found in discounts[1:])


def test_a_large_vocabulary_fits_in_the_keys():
    ids = np.random.default_rng(0).zipf(1.3, size=20_000) % 2_000_000_000
    model = KneserNey(5).fit(ids, 2_000_000_000)
    assert np.isfinite(model.score(ids)).all()
    assert model.score(ids).mean() < model.score(ids[::-1].copy()).mean()


def test_unigrams_by_hand():
    model = Unigram().fit(np.array([0, 0, 2]), 4)
    np.testing.assert_allclose(np.exp(-model.score(np.array([1, 0, 1, 2, 3]))), [3 / 7, 1 / 7, 2 / 7, 1 / 7])


@pytest.mark.parametrize("model", [Unigram(), KneserNey(3)])
def test_ids_outside_the_vocabulary_are_refused(model):
    for wrong in ([0, 4], [-1, 0], []):
        with pytest.raises(ShapeError, match="0 to 3"):
            model.fit(np.array(wrong, dtype=np.int64), 4)
    model.fit(np.array([0, 1, 2]), 4)
    with pytest.raises(ShapeError, match="given 0 to 4"):
        model.score(np.array([0, 4]))
    assert model.score(np.array([3])).shape == (0,)


def test_tiny_shakespeare(shared_data):
    letters = (shared_data / "tiny_shakespeare" / "input.txt").read_text("utf-8")
    ids = np.frombuffer(letters.encode(), np.uint8)
    cut = int(len(ids) * 0.9)
    started = time.process_time()
    model = KneserNey(5).fit(ids[:cut], 128)
    nats = model.score(ids[cut:]).mean()
    assert time.process_time() - started < 5
    assert 1.47 < nats < 1.58
    assert 3.3 < Unigram().fit(ids[:cut], 128).score(ids[cut:]).mean() < 3.4
