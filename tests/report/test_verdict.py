"""The sentence of the verdict is true for every case, and says plainly when the model does not win."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seqloom.report.verdict import judge, metric_name, show, show_error


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


def error(metric: str, ours: float, *baselines: float) -> dict[str, Any]:
    return {**loss(ours, *baselines), "metric": metric}


def test_errors_of_forecasts_are_told_apart_in_percent() -> None:
    assert judge(error("mae", 0.09, 0.2, 0.1)).sentence == (
        "Beats the best baseline (rule 2) by 10.0 % (MAE 0.09000 against 0.1000)."
    )
    found = judge(error("mase", 1.25, 1.0))
    assert (found.beats, found.sentence) == (
        False,
        "Does not beat the best baseline (rule 1), which is better by 20.0 % (MASE 1.250 against 1.000).",
    )
    assert "less than 0.1 % (MAE 31,415 against 31,416)" in judge(error("mae", 31_415.0, 31_416.0)).sentence
    assert "by 66.7 % (sMAPE 1.0 % against 3.0 %)" in judge(error("smape", 0.01, 0.03)).sentence


def test_errors_of_zero_divide_nothing() -> None:
    assert judge(error("mae", 0.0, 0.0)).sentence.endswith("both score 0.")
    assert "100.0 % (MAE 0 against 2.000)" in judge(error("mae", 0.0, 2.0)).sentence


def test_errors_of_any_size() -> None:
    values = (0.00012345, 0.462, 12.3456, 999.96, 31_415.9, 0.0)
    assert [show("mae", value) for value in values] == ["0.0001234", "0.4620", "12.35", "1000", "31,416", "0"]
    assert [show_error("mae", value) for value in (0.04271, 1.0, 99.4, 1234.5)] == ["0.043", "1", "99", "1,234"]
    assert (show("coverage", 0.8), show("smape", 0.034), metric_name("macro_f1")) == ("80.0 %", "3.4 %", "macro f1")


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
