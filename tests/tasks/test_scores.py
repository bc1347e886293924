"""The scores of a classifier against scikit-learn's."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from seqloom.tasks import _scores as scores
from seqloom.tasks.base import Examples


def drawn(records: int, classes: int, seed: int, used: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and targets; of the classes only the first ``used`` occur among the targets."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(classes, 0.5), size=records)
    return probabilities, random.integers(0, used or classes, size=records)


@given(st.integers(1, 60), st.integers(2, 7), st.integers(0, 2**31))
def test_metrics_are_those_of_scikit_learn(records: int, classes: int, seed: int) -> None:
    probabilities, targets = drawn(records, classes, seed)
    found = scores.metrics(probabilities, targets)
    predicted = probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro", zero_division=0))
    clipped = np.maximum(probabilities, 1e-12)
    clipped /= clipped.sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(log_loss(targets, clipped, labels=range(classes)), rel=1e-6, abs=1e-9)


@given(st.integers(1, 60), st.integers(2, 7), st.integers(0, 2**31))
def test_confusion_and_each_label_are_those_of_scikit_learn(records: int, classes: int, seed: int) -> None:
    probabilities, targets = drawn(records, classes, seed, used=classes - 1)
    predicted = probabilities.argmax(axis=1)
    counts = scores.confusion(predicted, targets, classes)
    assert np.array_equal(counts, confusion_matrix(targets, predicted, labels=range(classes)))
    wanted = precision_recall_fscore_support(targets, predicted, labels=range(classes), zero_division=0)
    for index, row in enumerate(scores.per_label(counts)):
        assert [row[name] for name in ("precision", "recall", "f1", "records")] == pytest.approx(
            [column[index] for column in wanted]
        )
        assert row["predicted"] == (predicted == index).sum()


def test_by_hand() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.25, 0.5, 0.25], [1.0, 0.0, 0.0]])
    found = scores.metrics(probabilities, np.array([0, 1, 0, 0]))
    assert found["loss"] == pytest.approx(-np.log(0.5 * 0.8 * 0.25 * 1.0) / 4)
    assert found["accuracy"] == 0.75
    assert found["macro_f1"] == pytest.approx((4 / 5 + 2 / 3) / 2)  # the third class occurs nowhere


def test_a_probability_of_zero_costs_much_and_not_infinity() -> None:
    assert scores.metrics(np.array([[1.0, 0.0]]), np.array([1]))["loss"] == pytest.approx(12 * np.log(10))


def test_what_is_not_a_number_stays_so() -> None:
    assert np.isnan(scores.metrics(np.array([[np.nan, np.nan]]), np.array([1]))["loss"])


def test_the_most_confident_mistakes_come_first() -> None:
    probabilities = np.array([[0.4, 0.6], [0.9, 0.1], [0.1, 0.9], [0.3, 0.7], [0.8, 0.2]])
    targets = np.array([0, 1, 1, 0, 0])
    texts = ["가", "b", "c", "라", "e"]
    examples = Examples([np.zeros(1, dtype=np.int32)] * 5, targets, texts, [2, 3, 5, 8, 9], 0)
    found = scores.details(probabilities, examples, ["나쁨", "good"])
    assert found["mistakes"] == [
        {"text": "b", "label": "good", "predicted": "나쁨", "probability": 0.9, "line": 3},
        {"text": "라", "label": "나쁨", "predicted": "good", "probability": 0.7, "line": 8},
        {"text": "가", "label": "나쁨", "predicted": "good", "probability": 0.6, "line": 2},
    ]
    assert found["confusion"] == {"labels": ["나쁨", "good"], "counts": [[1, 2], [1, 1]]}
    assert [row["label"] for row in found["per_label"]] == ["나쁨", "good"]


def test_no_more_mistakes_than_the_report_shows() -> None:
    records = 3 * scores.MISTAKES
    probabilities = np.linspace(0.5, 0.99, records)[:, None] * [1, 0] + [0, 0.001]
    examples = Examples(
        [np.zeros(1, np.int32)] * records, np.ones(records, np.int64), ["x"] * records, [1] * records, 0
    )
    mistakes = scores.details(probabilities, examples, ["a", "b"])["mistakes"]
    assert len(mistakes) == scores.MISTAKES
    assert mistakes[0]["probability"] == pytest.approx(0.99)


def test_binomial_error() -> None:
    assert scores.binomial_error(0.9, 2500) == pytest.approx(1.96 * sqrt(0.9 * 0.1 / 2500))
    assert scores.binomial_error(1.0, 10) == 0
    assert scores.binomial_error(0.0, 0) == 0
