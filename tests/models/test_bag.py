from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from seqloom.models import bag
from seqloom.models.bag import bag_of_ngrams, majority

GOOD, BAD, DULL = ["great fun", "loved it"], ["not great", "hated it"], ["just dull", "so dull"]


def reviews(count: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts of three labels; "great" alone misleads, "not great" does not."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, size=count)
    words = ["film", "the", "plot", "an", "actor", "영화", "and"]
    texts = []
    for label in labels:
        noise = random.choice(words, size=6).tolist()
        noise.insert(random.integers(0, 7), random.choice((BAD, GOOD, DULL)[label]))
        texts.append(" ".join(noise))
    return texts, labels.tolist()


def test_hashed_ngrams_are_the_different_ngrams_of_each_text():
    texts = ["a b a b", "", "B, a", "c"]
    present = bag._bags(texts, False, 1 << 22)
    # a b / a-b b-a / a-b-a b-a-b; nothing; b , a / b-, ,-a / b-,-a; c
    np.testing.assert_array_equal(np.diff(present.indptr), [6, 0, 6, 1])
    rows = [set(present[row].indices.tolist()) for row in range(4)]
    assert len(rows[0] & rows[2]) == 2
    np.testing.assert_array_equal(present.data, np.ones(13))


def test_characters_hold_to_their_own_text():
    present = bag._bags(["가나", "가", "나"], True, 1 << 22)
    # " 가나 ": blank, 가, 나; 3 pairs; 2 triples; 1 of four
    np.testing.assert_array_equal(np.diff(present.indptr), [9, 5, 5])


def test_chunks_do_not_change_the_bag(monkeypatch):
    texts = reviews(50)[0]
    whole = bag._bags(texts, False, 1 << 20)
    monkeypatch.setattr(bag, "_CHUNK", 100)
    assert (whole != bag._bags(texts, False, 1 << 20)).nnz == 0


def test_the_ratio_by_hand():
    present = bag._bags(["x", "x", "y"], False, 1 << 20)
    present, used = bag._compact(present)
    ratio = bag._log_count_ratio(present, np.array([True, True, False]))
    # p = (1 + 2, 1 + 0) / 4 and q = (1 + 0, 1 + 1) / 3 for x and y
    assert sorted(ratio.tolist()) == pytest.approx([np.log(1 / 4 * 3 / 2), np.log(3 / 4 * 3)])
    assert len(used) == 2


@pytest.mark.parametrize("characters", [False, True])
@pytest.mark.parametrize("labels", [2, 3])
def test_it_learns_what_ngrams_tell(characters, labels):
    texts, truth = reviews(600)
    kept = [i for i, label in enumerate(truth) if label < labels]
    texts, truth = [texts[i] for i in kept], [truth[i] for i in kept]
    half = len(texts) // 2
    model = bag_of_ngrams(texts[:half], truth[:half], characters=characters)
    found = model.probabilities(texts[half:])
    assert found.shape == (len(texts) - half, labels)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.mean(found.argmax(axis=1) == truth[half:]) > 0.98
    assert model.note == ""


def test_the_same_data_give_the_same_bag():
    texts, labels = reviews(200)
    first = bag_of_ngrams(texts, labels, characters=False).probabilities(texts)
    np.testing.assert_array_equal(first, bag_of_ngrams(texts, labels, characters=False).probabilities(texts))


def test_texts_of_nothing_known_get_the_prior_alone():
    texts, labels = reviews(300)
    model = bag_of_ngrams(texts, labels, characters=False)
    nothing, unseen = model.probabilities(["", "zzz qqq"])
    np.testing.assert_array_equal(nothing, unseen)
    assert np.isfinite(nothing).all()


def test_labels_that_training_lacks_are_improbable_not_impossible():
    found = bag_of_ngrams(["a b", "c d", "a c"], [0, 2, 0], characters=False).probabilities(["a b", "d"])
    assert found.shape == (2, 3)
    assert np.all((found[:, 1] > 0) & (found[:, 1] < 0.3))
    assert bag_of_ngrams(["a", "b"], [0, 0], characters=False).probabilities(["a"]).tolist() == [[1.0]]
    assert bag_of_ngrams(["a", "b"], [1, 1], characters=True).probabilities(["a"])[0, 1] > 0.8


def test_many_labels_share_the_memory():
    assert bag._features(2) == 1 << 22
    assert bag._features(3) == bag._features(64) == 1 << 20
    assert bag._features(1000) * 1000 <= 1 << 26


def test_too_little_time_means_fewer_rows_and_a_note():
    texts, labels = reviews(40_000)
    model = bag_of_ngrams(texts, labels, characters=True, seconds=0.01)  # the trial alone takes longer
    assert "of 40,000 rows" in model.note
    enough = bag_of_ngrams(texts[:3000], labels[:3000], characters=False, seconds=1000)
    assert enough.note == ""


def test_majority():
    np.testing.assert_array_equal(majority([0, 2, 2, 2], 4), [0.25, 0, 0.75, 0])


def test_real_reviews(shared_data):
    with gzip.open(shared_data / "imdb" / "dev.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts, labels = [row["text"] for row in rows], [int(row["label"]) for row in rows]
    found = bag_of_ngrams(texts[:2000], labels[:2000], characters=False).probabilities(texts[2000:])
    assert np.mean(found.argmax(axis=1) == labels[2000:]) > 0.82
