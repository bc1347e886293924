from __future__ import annotations

import csv
import gzip

import numpy as np
import pytest

from seqloom.models import bag
from seqloom.models.bag import BagOfNgrams, bag_of_ngrams, majority

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
    present = bag._bags(texts, False)
    # a b / a-b b-a / a-b-a b-a-b; nothing; b , a / b-, ,-a / b-,-a; c
    np.testing.assert_array_equal(np.diff(present.indptr), [6, 0, 6, 1])
    rows = [set(present[row].indices.tolist()) for row in range(4)]
    assert len(rows[0] & rows[2]) == 2
    np.testing.assert_array_equal(present.data, np.ones(13))


def test_characters_hold_to_their_own_text():
    present = bag._bags(["가나", "가", "나"], True)
    # " 가나 ": blank, 가, 나; 3 pairs; 2 triples; 1 of four
    np.testing.assert_array_equal(np.diff(present.indptr), [9, 5, 5])


def test_chunks_do_not_change_the_bag(monkeypatch):
    texts = reviews(50)[0]
    whole = bag._bags(texts, False)
    monkeypatch.setattr(bag, "_CHUNK", 100)
    assert (whole != bag._bags(texts, False)).nnz == 0


def test_the_ratio_by_hand():
    present = bag._bags(["x", "x", "y"], False)
    columns = bag._known(present, 1)
    present = bag._of_columns(present, columns)
    ratio = bag._log_count_ratio(present, np.array([True, True, False]))
    # p = (1 + 2, 1 + 0) / 4 and q = (1 + 0, 1 + 1) / 3 for x and y
    assert sorted(ratio.tolist()) == pytest.approx([np.log(1 / 4 * 3 / 2), np.log(3 / 4 * 3)])
    assert columns.dtype == np.int32
    assert len(columns) == 2


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


def test_texts_without_any_ngram_leave_the_prior():
    found = bag_of_ngrams(["", "", ""], [0, 1, 0], characters=False).probabilities(["", "a film"])
    np.testing.assert_allclose(found, [[2.5 / 4, 1.5 / 4]] * 2, rtol=1e-12)


@pytest.mark.parametrize("labels", [2, 7])
def test_labels_are_reckoned_some_at_a_time(monkeypatch, labels):
    texts, _ = reviews(60)
    model = bag_of_ngrams(texts, [n % labels for n in range(60)], characters=True)
    wanted = model.probabilities(texts[:9])
    one_by_one = [model.probabilities([text])[0] for text in texts[:9]]
    np.testing.assert_allclose(one_by_one, wanted, rtol=1e-12)
    monkeypatch.setattr(bag, "_CHUNK", 1)
    np.testing.assert_allclose(model.probabilities(texts[:9]), wanted, rtol=1e-12)


def test_labels_that_training_lacks_are_improbable_not_impossible():
    found = bag_of_ngrams(["a b", "c d", "a c"], [0, 2, 0], characters=False).probabilities(["a b", "d"])
    assert found.shape == (2, 3)
    assert np.all((found[:, 1] > 0) & (found[:, 1] < 0.3))
    assert bag_of_ngrams(["a", "b"], [0, 0], characters=False).probabilities(["a"]).tolist() == [[1.0]]
    assert bag_of_ngrams(["a", "b"], [1, 1], characters=True).probabilities(["a"])[0, 1] > 0.8


def test_the_ngrams_that_most_texts_hold_are_known(monkeypatch):
    texts = ["a b", "a b", "a c", "a d"]  # a in 4 texts, b and a-b in 2, four others in 1
    present = bag._bags(texts, False)
    assert len(bag._known(present, 1)) == 7
    monkeypatch.setattr(bag, "ROOM", 3)
    three = bag._known(present, 1)
    held = np.bincount(present.indices, minlength=1 << bag.BITS)
    assert sorted(held[three].tolist()) == [2, 2, 4]
    assert np.all(np.diff(three) > 0)
    monkeypatch.setattr(bag, "ROOM", 4)
    assert held[bag._known(present, 4)].tolist() == [4]  # four regressions of one n-gram each


def test_the_bags_of_known_columns_by_hand():
    from scipy.sparse import csr_matrix

    present = csr_matrix(np.array([[0, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], dtype=np.float32))
    found = bag._of_columns(present, np.array([1, 2, 4], dtype=np.int32))
    np.testing.assert_array_equal(found.toarray(), [[1, 0, 1], [0, 0, 0], [0, 0, 1]])
    none = bag._of_columns(present, np.empty(0, dtype=np.int32))
    assert none.shape == (3, 0)
    assert none.nnz == 0


@pytest.mark.parametrize("labels", [2, 3])
def test_probabilities_are_those_of_the_equation(labels):
    texts, truth = reviews(300)
    kept = [i for i, label in enumerate(truth) if label < labels]
    texts, truth = [texts[i] for i in kept], [truth[i] for i in kept]
    model = bag_of_ngrams(texts, truth, characters=False)
    rows = bag._of_columns(bag._bags(texts[:20], False), model.columns).toarray().astype(np.float64)
    assert (rows.sum(axis=1) > 10).all()
    lengths = np.sqrt(rows @ (model.ratios.T.astype(np.float64) ** 2))
    odds = 1 / (1 + np.exp(-(rows @ model.weights.T.astype(np.float64) / lengths + model.bias)))
    expected = np.concatenate([1 - odds, odds], axis=1) if labels == 2 else odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(texts[:20]), expected, rtol=1e-5)


@pytest.mark.parametrize("characters", [False, True])
def test_tensors_give_the_bag_back(characters):
    texts, labels = reviews(200)
    model = bag_of_ngrams(texts, labels, characters=characters)
    again = BagOfNgrams.from_tensors(model.to_tensors())
    np.testing.assert_array_equal(again.probabilities(texts), model.probabilities(texts))
    tensors = model.to_tensors()
    with pytest.raises(ValueError, match="do not fit each other"):
        BagOfNgrams.from_tensors(tensors | {"weights": tensors["weights"][:, 1:]})
    with pytest.raises(KeyError):
        BagOfNgrams.from_tensors({name: tensor for name, tensor in tensors.items() if name != "bias"})


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
