"""Forecasts behind the end of series, and backtests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqloom import files
from seqloom.errors import DataError, SettingError
from seqloom.predict import load
from seqloom.run import Run
from seqloom.training.train import train
from tests.tasks.forecasting import SMALL, START, waves, write


def test_every_series_goes_on_from_its_end(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f"{name},2024-{month:02}-{day:02},{day * scale + month}" for name, scale in (("x", 1), ("서울", 100))
            for month in range(1, 5) for day in range(1, 29)]  # fmt: skip
    file.write_text("city,date,sales\n" + "\n".join(rows) + "\n", "utf-8")
    settings = SMALL | {"horizon": 2, "look_back": 5, "frequency": "daily", "missing": "drop"}
    run = train(file, out=tmp_path / "run", **settings)
    found = list(load(run.path).predict_file(file))
    heads = [(row["series"], row["time"], row["step"]) for row in found]
    assert heads == [
        (name, f"2024-04-{day}T00:00:00", step) for name in ("x", "서울") for step, day in ((1, 29), (2, 30))
    ]


def test_a_column_known_in_advance_is_needed_as_far_as_the_horizon(tmp_path: Path) -> None:
    columns = waves(150) | {"holiday": (np.arange(150) % 7 == 0).astype(int).tolist()}
    file = write(tmp_path / "a.csv", columns)
    settings = SMALL | {"horizon": 6, "look_back": 12, "target": "load", "known": "holiday"}
    predictor = load(train(file, out=tmp_path / "run", **settings).path)
    with pytest.raises(
        DataError, match="the series has too few rows to be forecast from: 0 of 6 known in advance"
    ) as refused:
        list(predictor.predict_file(file))
    assert refused.value.code == "D058"
    ahead = {name: values[:100] + [None] * 6 for name, values in columns.items()}
    ahead["holiday"] = columns["holiday"][:106]
    found = list(predictor.predict_file(write(tmp_path / "b.csv", ahead)))
    assert [row["time"] for row in found][:2] == ["2024-01-05T04:00:00", "2024-01-05T05:00:00"]
    ahead["holiday"][100:106] = [1 - value for value in ahead["holiday"][100:106]]
    other = list(predictor.predict_file(write(tmp_path / "c.csv", ahead)))
    assert [row["load"] for row in found] != [row["load"] for row in other]  # it is read


def test_exactly_the_look_back_is_enough_and_more_rows_change_nothing(run: Run, tmp_path: Path) -> None:
    predictor, table = load(run.path), waves(60, seed=8)
    whole = list(predictor.predict_file(write(tmp_path / "a.csv", table)))
    last = {name: values[-12:] for name, values in table.items()}
    exact = list(predictor.predict_file(write(tmp_path / "b.csv", last, START + 48)))
    assert exact == whole
    swapped = dict(reversed(last.items()))
    assert list(predictor.predict_file(write(tmp_path / "c.csv", swapped, START + 48))) == whole
    short = {name: values[-11:] for name, values in table.items()}
    with pytest.raises(DataError, match="too few rows to be forecast from: 11 of 12 without") as refused:
        list(predictor.predict_file(write(tmp_path / "d.csv", short)))
    assert refused.value.code == "D058"


def test_a_backtest_leaves_out_what_training_saw(run: Run, folder: Path, tmp_path: Path) -> None:
    predictor = load(run.path)
    found = predictor.backtest(folder / "waves.csv", origins=10)
    assert (found["origins"], found["count"]) == (10, 10)
    assert found["forecast"]["notes"][-1].startswith("origins in the 40 of 400 rows")
    first = found["forecast"]["samples"][0]["times"][-6]
    assert first == str(START + 360) + ":00:00"
    names = {"naive", "drift", "seasonal naive (24)", "linear, same look-back"}
    assert {row["name"] for row in found["baselines"]} == names
    fresh = predictor.backtest(write(tmp_path / "b.csv", waves(100), START + 1000), origins=7)
    assert (fresh["origins"], fresh["forecast"]["samples"][0]["times"][-6]) == (7, str(START + 1012) + ":00:00")
    before = predictor.backtest(write(tmp_path / "c.csv", waves(100)), origins=500)
    assert before["origins"] == 83
    assert "may have seen them" in before["forecast"]["notes"][-1]
    with pytest.raises(SettingError, match="0 origins"):
        predictor.backtest(folder / "waves.csv", origins=0)


def test_what_is_asked_of_the_wrong_run(run: Run, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="horizon 7 is asked for, but this run was trained for 6"):
        load(run.path).predict([], horizon=7)
    with pytest.raises(SettingError, match="one table"):
        load(run.path).predict({"time": []})  # type: ignore[arg-type]
    poem = tmp_path / "poem.txt"
    poem.write_text("나는 강을 보았다\nthe river ran on\n" * 20, "utf-8")
    language = train(poem, out=tmp_path / "poem", epochs=1, hidden=6, window=16, threads=1, quiet=True)
    for ask in (
        lambda predictor: predictor.step({}),
        lambda predictor: predictor.backtest(poem),
        lambda predictor: predictor.predict(["a"], quantiles=[0.1]),
    ):
        with pytest.raises(SettingError, match="is a run of language, which"):
            ask(load(language.path))


def test_an_empty_table_is_refused(run: Run) -> None:
    with pytest.raises(SettingError, match="and rows"):
        load(run.path).predict([{"time": [], "load": [], "heat": []}])


def test_times_are_told_as_the_instants_they_are(tmp_path: Path) -> None:
    """The clock of Seoul in the file: in forecasts, rows one by one, samples of the report and backtests."""
    table = waves(120)
    file = write(tmp_path / "seoul.csv", table, START, "+09:00")
    run = train(file, out=tmp_path / "run", horizon=6, look_back=12, **SMALL)
    predictor = load(run.path)
    wanted = [f"{START + 120 + step}:00:00+09:00" for step in range(6)]
    found = list(predictor.predict_file(file))
    assert [row["time"] for row in found] == wanted
    same = write(tmp_path / "utc.csv", table, START - 9, "Z")  # the same instants
    assert list(predictor.predict_file(same)) == found
    for hour in range(108, 120):
        row = {name: values[hour] for name, values in table.items()}
        answer = predictor.step({"time": f"{START - 9 + hour}:00Z", **row})
    assert answer is not None
    assert (answer["origin"], answer["time"]) == (f"{START + 119}:00:00+09:00", wanted)
    summary = files.read_json(run.summary)
    assert summary["data"]["facts"]["time"] == "time, hourly, 2024-01-01 00:00+09:00 to 2024-01-05 23:00+09:00"
    times = summary["evaluation"]["forecast"]["samples"][0]["times"]
    assert times[-6] == f"{START + 108}:00:00+09:00"
    assert predictor.backtest(same, origins=1)["forecast"]["samples"][0]["times"][-6:] == times[-6:]
    assert "2024-01-05 12:00+09:00" in run.report.read_text("utf-8")
    with pytest.raises(DataError, match="has no offset from UTC, and those of the training had one"):
        list(predictor.predict_file(write(tmp_path / "naive.csv", table)))
