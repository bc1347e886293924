"""The sentence of the verdict is true for every case, and says plainly when the model does not win."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seqloom.report.verdict import judge, show, show_error


def accuracy(ours: float | None, *baselines: float, error: float | None = 0.013) -> dict[str, Any]:
    rows = [{"name": "this model", "value": ours, "error": error}]
    rows += [{"name": f"rule {place}", "value": value} for place, value in enumerate(baselines, 1)]
    return {"metric": "accuracy", "higher_is_better": True, "rows": rows}


def loss(ours: float, *baselines: float) -> dict[str, Any]:
    return {**accuracy(ours, *baselines, error=None), "metric": "loss", "higher_is_better": False}


def test_win() -> None:
    found = judge(accuracy(0.91, 0.50, 0.887, error=0.012))
    assert found.beats is True
    assert found.sentence == "Beats the best baseline (rule 2) by 2.3 points (error 1.2)."
    assert found.remark == ""


def test_win_within_the_error_is_told() -> None:
    found = judge(accuracy(0.896, 0.887))
    assert found.sentence == "Beats the best baseline (rule 1) by 0.9 points (error 1.3)."
    assert "smaller than the error" in found.remark


def test_loss_of_the_model_is_told() -> None:
    found = judge(accuracy(0.80, 0.887, 0.5))
    assert found.beats is False
    assert found.sentence == "Does not beat the best baseline (rule 1), which is better by 8.7 points (error 1.3)."
    assert "Take the baseline" in found.remark


def test_draw_is_no_win() -> None:
    found = judge(accuracy(0.5, 0.5))
    assert found.beats is False
    assert found.sentence == "Does not beat the best baseline (rule 1): both score 50.0 %."


def test_lower_is_better() -> None:
    found = judge(loss(1.48, 3.33, 1.7346))
    assert found.beats is True
    assert found.sentence == "Beats the best baseline (rule 2) by 0.255 nats."
    assert judge(loss(1.8, 1.7345)).beats is False


def test_tiny_lead_does_not_read_as_zero() -> None:
    assert "less than 0.1 points" in judge(accuracy(0.88701, 0.887)).sentence


def test_nothing_to_compare_with() -> None:
    assert judge(accuracy(0.9)).beats is None
    assert "no baseline" in judge(accuracy(0.9, math.nan)).sentence


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_model_without_a_score(value: float | None) -> None:
    found = judge(accuracy(value, 0.887))
    assert found.beats is None
    assert found.sentence == "The model has no score."


def test_numbers_as_people_read_them() -> None:
    assert (show("accuracy", 0.89642), show("loss", 1.4803), show("perplexity", 12345.678)) == (
        "89.6 %",
        "1.480",
        "12,345.7",
    )
    assert (show("loss", None), show_error("accuracy", 0.01284), show_error("loss", None)) == (
        "not a number",
        "1.3",
        "",
    )
