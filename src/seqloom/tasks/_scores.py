"""How a classifier is judged: loss, accuracy, F1, confusion, and its most confident mistakes."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.tasks.base import Examples

__all__ = ["binomial_error", "details", "metrics"]

MISTAKES = 20
"""So many of the most confident mistakes are kept for the report."""


def metrics(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> dict[str, float]:
    """Loss (nats a record), accuracy and macro F1 of class probabilities ``[N, classes]``.

    Macro F1 is the mean over the classes that occur among the targets or the predictions.
    """
    right = probabilities[np.arange(len(targets)), targets]
    predicted = probabilities.argmax(axis=1)
    table = per_label(confusion(predicted, targets, probabilities.shape[1]))
    present = [row["f1"] for row in table if row["records"] or row["predicted"]]
    return {
        "loss": float(-np.log(np.maximum(right, 1e-12)).mean()),
        "accuracy": float((predicted == targets).mean()),
        "macro_f1": float(np.mean(present)),
    }


def confusion(predicted: NDArray[np.int64], targets: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """How often each true class (row) was taken for each class (column)."""
    return np.bincount(targets * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_label(counts: NDArray[np.int64]) -> list[dict[str, float]]:
    """Precision, recall and F1 of every class of a confusion matrix; 0 where nothing can be divided by."""
    rows = []
    for index in range(len(counts)):
        hit, records, predicted = counts[index, index], counts[index].sum(), counts[:, index].sum()
        rows.append(
            {
                "precision": float(hit / predicted) if predicted else 0.0,
                "recall": float(hit / records) if records else 0.0,
                "f1": float(2 * hit / (records + predicted)) if records + predicted else 0.0,
                "records": int(records),
                "predicted": int(predicted),
            }
        )
    return rows


def details(probabilities: NDArray[np.float64], examples: Examples, labels: list[str]) -> dict[str, Any]:
    """What the report shows beside the metrics."""
    predicted = probabilities.argmax(axis=1)
    counts = confusion(predicted, examples.targets, len(labels))
    wrong = np.flatnonzero(predicted != examples.targets)
    confident = wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:MISTAKES]
    mistakes = [
        {
            "text": examples.texts[index],
            "label": labels[examples.targets[index]],
            "predicted": labels[predicted[index]],
            "probability": float(probabilities[index, predicted[index]]),
            "line": examples.lines[index],
        }
        for index in confident
    ]
    return {
        "confusion": {"labels": labels, "counts": counts.tolist()},
        "per_label": [{"label": label, **row} for label, row in zip(labels, per_label(counts), strict=True)],
        "mistakes": mistakes,
    }


def binomial_error(accuracy: float, count: int) -> float:
    """Half of the 95 % interval of a share: 1.96 standard errors (normal approximation)."""
    return 1.96 * sqrt(accuracy * (1 - accuracy) / count) if count else 0.0
