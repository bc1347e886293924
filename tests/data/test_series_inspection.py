"""What a table says about its series before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from seqloom.data.inspect import Inspection, inspect
from seqloom.data.series_inspection import StandIn


def seen(folder: Path, content: str, name: str = "power.csv") -> Inspection:
    path = folder / name
    path.write_text(content, "utf-8")
    found = inspect(path)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    return found


def hours(count: int = 400) -> list[str]:
    stamps = np.datetime64("2020-03-02T00:00") + np.arange(count) * np.timedelta64(1, "h")
    return [f"{stamp},{np.sin(2 * np.pi * hour / 24):.4f},5" for hour, stamp in enumerate(stamps)]


def table(rows: list[str], header: str = "time,load,rate") -> str:
    return "\n".join([header, *rows]) + "\n"


def test_a_forecast_in_lines(tmp_path: Path) -> None:
    found = seen(tmp_path, table(hours()))
    assert (found.seen, found.text, found.label) == ("forecast", None, None)
    assert found.lines()[:3] == [
        "400 rows; time: time, hourly, 2020-03-02 to 2020-03-18 15:00",
        "targets: load, rate; season of 24 rows",
        "constant: rate (MASE is undefined there)",
    ]


def test_what_a_training_would_refuse_is_told(tmp_path: Path) -> None:
    rows = hours()
    rows[50] = rows[50].replace(rows[50].split(",")[1], "NA")
    del rows[100:103]
    found = seen(tmp_path, table(rows))
    assert found.series is not None and (found.series.missing, found.series.gaps) == (1, 3)
    assert "1 value missing, 3 rows missing in gaps" in found.lines()
    assert any(line.startswith("D054 at line 102: a gap") for line in found.lines())
    backwards = seen(tmp_path, table(hours()[::-1]))
    assert any("run backwards" in line for line in backwards.lines())


def test_a_number_that_may_stand_for_missing(tmp_path: Path) -> None:
    rows = hours()
    rows[7] = rows[7].rsplit(",", 2)[0] + ",-9999,5"
    told = (
        "-9999 occurs 1 time in load, far below all else: if it stands for a missing value, pass --missing-value -9999"
    )
    assert told in seen(tmp_path, table(rows)).lines()


def test_numbers_that_may_stand_for_missing_in_several_columns(tmp_path: Path) -> None:
    rows = hours()
    rows[7] = rows[7].rsplit(",", 1)[0] + ",-999"
    rows[8] = rows[8].rsplit(",", 2)[0] + ",-9999,-999"
    found = seen(tmp_path, table(rows)).series
    assert found is not None and found.stand_ins == (StandIn("load", -9999, 1), StandIn("rate", -999, 2))


def test_a_column_of_numbers_that_tells_series_apart_is_named(tmp_path: Path) -> None:
    rows = []
    for hour, row in enumerate(hours(60)):
        rows += [f"{row.split(',')[0]},{10 + unit % 3},{unit},{hour % 9 + unit}.5" for unit in (3, 1, 2, 7)]
    content = table(rows, "time,kind,unit_number,load")
    (line,) = [line for line in seen(tmp_path, content).lines() if "D053" in line]
    assert "help: if the file holds several series, name their column: --series unit_number; or fix the row" in line
    hidden = table([row.replace(",", ",7,", 1) for row in hours(60) for _ in "ab"], "time,unit,load,rate")
    (line,) = [line for line in seen(tmp_path, hidden).lines() if "D053" in line]
    assert "name the column that tells them apart with --series" in line


def test_several_series(tmp_path: Path) -> None:
    rows = [f"{row.split(',')[0]},{shop},{shop}.{hour % 9}" for hour, row in enumerate(hours(60)) for shop in (1, 2)]
    assert (
        seen(tmp_path, table(rows, "time,store,load")).lines()[0].startswith("120 rows; 2 series by store; time: time")
    )


@pytest.mark.parametrize("name", ["wave.csv", "wave.txt", "wave.jsonl"])
def test_nothing_but_numbers(tmp_path: Path, name: str) -> None:
    values = [f"{np.sin(2 * np.pi * row / 25):.5f}" for row in range(200)]
    if name.endswith("jsonl"):
        values = [json.dumps({"y": float(value)}) for value in values]
    content = "\n".join((["y"] if name.endswith("csv") else []) + values)
    found = seen(tmp_path, content, name)
    assert found.seen == "forecast" and found.series is not None
    assert found.series.period == 25 and found.series.frequency is None
    assert found.series.roles.targets == ("text" if name.endswith("txt") else "y",)


def test_what_is_no_forecast(tmp_path: Path) -> None:
    assert seen(tmp_path, "3\n4\n", "two.txt").seen == "language"
    assert (
        seen(tmp_path, "review,label\n좋은 영화였다,1\n나쁜 영화였다,0\n좋은 시간이었다,1\n그저 그랬다,0\n").seen
        == "classify"
    )
    irises = "\n".join(f"{row * 0.37:.2f},{row * 0.11:.2f},{'ab'[row % 2]}" for row in range(30))
    assert seen(tmp_path, f"length,width,kind\n{irises}\n").seen is None


def test_the_air_of_beijing(shared_data: Path) -> None:
    found = inspect(shared_data / "beijing_pm25" / "pollution.csv.gz")
    assert found.series is not None and found.series.period == 24 and found.series.missing == 2_067
    assert found.series.roles.time == ("year", "month", "day", "hour")
