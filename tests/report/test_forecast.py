"""The page of a forecast run: every section, what is not defined, names in any script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqloom import run as runs
from seqloom.report import forecast, page
from tests.report.reader import Page


def change(path: Path, **details: Any) -> dict[str, str]:
    """The sections of a run's page with other details."""
    run = runs.Run.open(path)
    summary = runs.read_json(run.summary)
    summary["evaluation"]["forecast"] |= details
    runs.write_json(run.summary, summary)
    found: dict[str, str] = Page(page.write(path)).sections
    return found


def test_every_section_is_there_in_its_order(forecast_run: Path) -> None:
    sections = Page(page.write(forecast_run)).sections
    assert list(sections)[:9] == [
        *("", "verdict", "curves", "forecasts", "steps", "targets", "residuals", "calibration", "worst"),
    ]
    assert "Beats the best baseline (linear) by 12.3 % (MAE 0.4123 against 0.4702)." in sections["verdict"]
    assert "0.4123 MAE" in sections["verdict"] and "12,346" in sections["verdict"]
    assert "1,719 forecasts of the test part" in sections["verdict"]
    assert "Nothing was learned or chosen on the test part." in sections["verdict"]
    assert "frequency hourly" in sections["forecasts"] and "interval 80 %" in sections["forecasts"]
    assert "OT · 2026-03-03 to 2026-03-03 23:00" in sections["forecasts"]
    assert "HUFL <b> · 2026-03-04 07:00" in sections["forecasts"]
    assert "MAE of seasonal naive (24)" in sections["steps"] and "MASE not defined" in sections["evaluation"]
    assert "24 0.5400 0.6400 0.4980" in sections["steps"]
    assert "OT 0.4200 0.5300 0.8100 3.4 %" in sections["targets"]
    assert "HUFL <b> 0.4200 0.5300 not defined 3.4 %" in sections["targets"]
    assert "Residuals of OT" in sections["residuals"]
    assert "Mean 0.2000, standard deviation 0.5000" in sections["residuals"]
    assert "80 % promised, 78.2 % came true" in sections["calibration"]
    assert "MAE 2.170" in sections["worst"]
    assert "time date, hourly" in sections["data"] and "repeated texts" not in sections["data"]
    assert "In standard deviations of each target" in sections["steps"]
    assert "loss" not in sections["verdict"]  # that of the model alone says nothing
    assert "coverage 78.2 %" in sections["evaluation"] and "standardised MSE 0.3811" in sections["evaluation"]
    assert f"seqloom backtest {forecast_run} FILE" in sections["commands"]


def test_a_forecast_without_intervals_has_no_calibration(korean_forecast_run: Path) -> None:
    sections = Page(page.write(korean_forecast_run)).sections
    assert "calibration" not in sections
    assert "기온 (℃) · 서울 · 2026-03-03" in sections["forecasts"]
    assert "기온 (℃)" in sections["targets"] and "standard deviations" not in sections["steps"]
    assert "Residuals of 기온" in sections["residuals"]


def test_without_fonts_the_page_still_names_the_columns(korean_forecast_run: Path, no_fonts: None) -> None:
    assert "기온 (℃) · 서울" in Page(page.write(korean_forecast_run)).sections["forecasts"]


def test_rows_without_times_say_no_dates(forecast_run: Path) -> None:
    path = runs.Run.open(forecast_run).summary
    samples = runs.read_json(path)["evaluation"]["forecast"]["samples"]
    sections = change(forecast_run, samples=[{**samples[0], "times": None}], frequency=None, period=None)
    assert "2026" not in sections["forecasts"]
    assert "frequency" not in sections["forecasts"] and "season" not in sections["forecasts"]
    assert "season, rows none" in change(forecast_run, period=1)["forecasts"]


def test_what_is_not_there_has_no_section(forecast_run: Path) -> None:
    sections = change(forecast_run, samples=[], by_step=[], residuals=None, worst=[], per_target=[], calibration=[])
    assert not {"steps", "targets", "residuals", "calibration", "worst"} & set(sections)


def test_one_step_has_no_course(forecast_run: Path) -> None:
    assert "steps" not in change(forecast_run, by_step=[{"step": 1, "mae": 0.4, "rmse": 0.5, "naive": 0.6}])


def test_notes_are_told(forecast_run: Path) -> None:
    assert "MASE is not defined" in change(forecast_run, notes=["MASE is not defined"])["forecasts"]


@pytest.mark.parametrize(
    ("time", "told"),
    [("2026-03-01T00:00:00", "2026-03-01"), ("2026-03-01T13:30:00", "2026-03-01 13:30"),
     ("2026-03-01T13:30:05", "2026-03-01 13:30:05"), ("2026-03-01", "2026-03-01"),
     ("2026-03-01T13:30:00.000000", "2026-03-01 13:30"), ("2026-03-01T13:30:05.250000", "2026-03-01 13:30:05.250000")],
)  # fmt: skip
def test_times_without_what_they_do_not_need(time: str, told: str) -> None:
    assert forecast._moment(time) == told


def test_a_few_steps_stand_for_all() -> None:
    rows = [{"step": step} for step in range(1, 721)]
    assert [row["step"] for row in forecast._chosen(rows)] == [1, 104, 206, 309, 412, 515, 617, 720]
    assert forecast._chosen(rows[:3]) == rows[:3]
