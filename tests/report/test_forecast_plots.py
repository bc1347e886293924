"""Plots of forecasts name what they show, put dates on the axes, and have gaps where there are no numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.report import fonts
from seqloom.report import forecast_plots as plots
from seqloom.report.canvas import COLOURS


def texts(draw: Callable[[BytesIO], None]) -> list[str]:
    """The texts of a plot, which matplotlib repeats as comments beside their outlines."""
    target = BytesIO()
    draw(target)
    svg = target.getvalue()
    assert svg.rstrip().endswith(b"</svg>")
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def sample(**other: Any) -> dict[str, Any]:
    """Three days of hours, known up to the last six."""
    rows = [float(row % 24) for row in range(72)]
    times = [f"2026-02-{27 + row // 24:02}T{row % 24:02}:00:00" for row in range(48)]
    times += [f"2026-03-01T{hour:02}:00:00" for hour in range(24)]
    future = rows[66:]
    found = {"target": "OT", "times": times, "history": rows[:66], "actual": future, "forecast": future}
    return {**found, "naive": future, "lower": future, "upper": future, **other}


def test_a_forecast_names_its_lines_and_has_dates() -> None:
    found = texts(lambda target: plots.forecast(sample(), target))
    assert {"known", "what came", "simple rule", "forecast", "interval", "OT"} <= set(found)
    assert any("Mar" in text for text in found) and any("2026" in text for text in found)
    assert "rows from the last one known" not in found


def test_without_times_rows_are_counted_from_the_origin() -> None:
    found = texts(lambda target: plots.forecast(sample(times=None, lower=None, upper=None, naive=None), target))
    assert "rows from the last one known" in found
    assert not {"interval", "simple rule"} & set(found)
    assert plots._places(None, 3, 2).tolist() == [-2, -1, 0, 1, 2]


def test_places_are_the_times_of_the_rows_that_are_shown() -> None:
    times = ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
    assert plots._places(times, 1, 2).tolist() == np.array(times[1:], dtype="datetime64[us]").tolist()


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_a_horizon_of_one_and_little_history(rows: int) -> None:
    one = sample(history=[1.0] * rows, actual=[2.0], forecast=[2.1], naive=[1.0], lower=[1.5], upper=[2.5], times=None)
    found = texts(lambda target: plots.forecast(one, target))
    assert {"forecast", "interval"} <= set(found)


def test_what_is_missing_is_a_gap() -> None:
    gaps = sample(history=[1.0, None, 3.0], actual=[None] * 6, times=None)
    texts(lambda target: plots.forecast(gaps, target))
    assert np.isnan(plots._numbers([1.0, None])).tolist() == [False, True]


def test_names_are_no_mathematics_and_need_a_font(no_fonts: None) -> None:
    assert "$x$" in texts(lambda target: plots.forecast(sample(target="$x$"), target))
    found = texts(lambda target: plots.forecast(sample(target="기온"), target))
    assert all(text.isascii() or text.startswith("−") for text in found)


def test_a_korean_name_is_drawn_where_a_font_has_it() -> None:
    if fonts.hangul() is None:
        pytest.skip("no font with Hangul is installed")
    assert "기온" in texts(lambda target: plots.forecast(sample(target="기온"), target))
    assert "MAE, 기온" in texts(lambda target: plots.error_by_step([{"step": 1, "mae": 2.0}], target, unit="기온"))


@pytest.mark.parametrize(("zone", "told"), [("+09:00", "UTC+09:00"), ("Z", "UTC"), ("", None)])
def test_times_stand_by_their_own_clock(zone: str, told: str | None) -> None:
    found = texts(lambda target: plots.forecast(sample(times=[f"{time}{zone}" for time in sample()["times"]]), target))
    assert [text for text in found if text.startswith("UTC")] == ([] if told is None else [told])
    assert [text for text in texts(lambda target: plots.forecast(sample(), target)) if ":" in text] == [
        text for text in found if ":" in text and not text.startswith("UTC")
    ]


def test_errors_by_step_begin_at_zero_and_name_their_unit() -> None:
    rows = [{"step": step, "mae": 5.0 + step, "rmse": 9.0, "naive": 7.0} for step in range(1, 13)]
    found = texts(lambda target: plots.error_by_step(rows, target, unit="kWh"))
    assert {"steps ahead", "MAE, kWh", "this model", "best simple rule", "0"} <= set(found)
    alone = texts(lambda target: plots.error_by_step([{"step": 1, "mae": 0.5, "naive": None}], target))
    assert "best simple rule" not in alone and "MAE" in alone


def test_residuals_have_a_normal_curve_where_they_spread() -> None:
    found = {"edges": [-1.0, 0.0, 1.0], "counts": [4, 6], "mean": 0.1, "standard_deviation": 0.6}
    assert "normal curve" in texts(lambda target: plots.residuals(found, target))
    found |= {"standard_deviation": 0.0}
    assert "normal curve" not in texts(lambda target: plots.residuals(found, target))


def test_calibration_shows_promise_and_truth() -> None:
    rows = [{"level": 0.5, "coverage": 0.4}, {"level": 0.9, "coverage": 0.97}]
    assert {"promised", "came true", "exact", "100 %"} <= set(texts(lambda target: plots.calibration(rows, target)))


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_waves_of_any_number(count: int, tmp_path: Path) -> None:
    true = [[0.1 * step for step in range(51)] for _ in range(count)]
    plots.waves(true, [line[1:] for line in true], tmp_path / "waves.png")
    assert (tmp_path / "waves.png").read_bytes().startswith(b"\x89PNG")
    assert {"true", "predicted"} <= set(texts(lambda target: plots.waves(true, [line[-1:] for line in true], target)))


def test_colours_are_those_of_the_page() -> None:
    target = BytesIO()
    plots.forecast(sample(), target)
    used = set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})", target.getvalue().decode()))
    assert used <= {*COLOURS.values()}
