"""The forecast task: parts by time, nothing of the future in what is learnt, covariates, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqloom import files
from seqloom.data.read import read
from seqloom.errors import DataError, SettingError
from seqloom.predict import load
from seqloom.run import Run
from seqloom.tasks.forecast import Forecast, ForecastSettings
from seqloom.training.train import train

SMALL = {"hidden": 8, "dropout": 0.0, "batch": 16, "epochs": 2, "threads": 1, "quiet": True, "task": "forecast"}
START = np.datetime64("2024-01-01T00", "h")


def write(path: Path, columns: dict[str, Any], start: np.datetime64 = START) -> Path:
    """A table of hourly rows."""
    count = len(next(iter(columns.values())))
    times = [str(start + hour).replace("T", " ") + ":00" for hour in range(count)]
    table = {"time": times} | columns
    rows = zip(*(["" if value is None else value for value in values] for values in table.values()), strict=True)
    path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    return path


def waves(count: int, seed: int = 1) -> dict[str, Any]:
    """Two columns with a day in them, and noise."""
    random = np.random.default_rng(seed)
    hours = np.arange(count)
    day = np.sin(2 * np.pi * hours / 24)
    return {
        "load": (20 + 5 * day + random.normal(size=count)).round(4).tolist(),
        "heat": (300 + 40 * np.roll(day, 5) + 9 * random.normal(size=count)).round(4).tolist(),
    }


def fitted(file: Path, **settings: Any) -> tuple[Forecast, Any, Any, Any]:
    """A task after its preparation, with its three parts."""
    task = Forecast(ForecastSettings.parse({"horizon": 6, "look_back": 12} | settings))
    data = task.check(read(file), use="train")
    first, valid, _ = task.split(data)
    task.fit(first)
    return task, first, valid, task.held_out(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forecast")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return train(write(folder / "waves.csv", waves(400)), out=folder / "run", horizon=6, look_back=12, **SMALL)


# --- parts ------------------------------------------------------------------------------------------------------------


def test_parts_lie_one_behind_the_other_and_their_targets_never_overlap(tmp_path: Path) -> None:
    task, *parts = fitted(write(tmp_path / "a.csv", waves(200)), split=0.2, test=0.1)
    assert [(part.begin, part.end) for part in parts] == [((0,), (140,)), ((140,), (180,)), ((180,), (200,))]
    targets = []
    for part in parts:
        windows = task.encode(part)
        rows = {row + 12 + step for row in windows.index[:, 1].tolist() for step in range(6)}
        targets.append(rows)
        assert (min(rows), max(rows)) == (part.begin[0] or 12, part.end[0] - 1)  # all of it, and nothing beyond
        assert len(windows) == len(rows) - 5
    assert not targets[0] & targets[1]
    assert not targets[1] & targets[2]


def test_the_published_split(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("value\n" + "\n".join(str(row % 91) for row in range(14_400)) + "\n", "utf-8")
    task, *parts = fitted(file, split=0.2, test=0.2, horizon=96, look_back=96, period=24)
    assert [len(part) for part in parts] == [8640, 2880, 2880]
    assert [len(task.encode(part)) for part in parts] == [8640 - 191, 2880 - 95, 2880 - 95]


def test_each_series_is_split_for_itself_and_a_part_has_a_horizon_at_least(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    rows = [f"a,{n},{n % 7}" for n in range(100)] + [f"b,{n},{n % 5}" for n in range(40)]
    file.write_text("id,value,x\n" + "\n".join(rows) + "\n", "utf-8")
    _, *parts = fitted(file, series="id", target="value,x", period=1)
    assert [(part.begin, part.end) for part in parts] == [
        ((0, 0), (80, 28)),
        ((80, 28), (90, 34)),
        ((90, 34), (100, 40)),
    ]


def test_pieces_of_one_series_are_split_together(tmp_path: Path) -> None:
    columns = waves(100)
    columns["load"][40] = columns["load"][85] = None
    _, *parts = fitted(write(tmp_path / "a.csv", columns), missing="drop", split=0.2, test=0.2, period=1)
    # pieces of 40, 44 and 14 rows: 98 in all, 20 and 20 at the end
    assert [(part.begin, part.end) for part in parts] == [
        ((0, 0, 0), (40, 18, 0)),
        ((40, 18, 0), (40, 38, 0)),
        ((40, 38, 0), (40, 44, 14)),
    ]


def test_without_shares_it_is_validated_on_what_it_was_trained_on(tmp_path: Path) -> None:
    task, first, valid, test = fitted(write(tmp_path / "a.csv", waves(100)), split=0, test=0)
    assert (first.begin, first.end) == (valid.begin, valid.end) == ((0,), (100,))
    assert test is None
    assert task.split(first)[2].startswith("none")


# --- no leak ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["none", "log", "box-cox", "difference", "returns"])
def test_the_future_changes_nothing_that_was_learnt_from_the_past(tmp_path: Path, transform: str) -> None:
    columns = waves(300)
    settings = {"transform": transform, "past": "heat", "target": "load", "calendar": True}
    task, *_ = fitted(write(tmp_path / "a.csv", columns), **settings)
    random = np.random.default_rng(9)
    changed = {name: values[:240] + (900 + 50 * random.random(60)).tolist() for name, values in columns.items()}
    other, *_ = fitted(write(tmp_path / "b.csv", changed), **settings)
    assert json.dumps(task.preparation.to_json()) == json.dumps(other.preparation.to_json())
    assert task.settings == other.settings  # the period and the look-back too
    assert task.preparation.period == 24


def test_what_is_filled_between_two_parts_changes_nothing_that_was_learnt(tmp_path: Path) -> None:
    learnt = []
    for behind in (20.0, 9000.0):
        columns = waves(200)
        columns["load"][150:] = [behind] * 50
        columns["load"][133:150] = [None] * 17  # over the end of the training part, at row 140
        settings = {"split": 0.2, "test": 0.1, "missing": "interpolate"}
        task, first, valid, _ = fitted(write(tmp_path / "a.csv", columns), **settings)
        assert (first.end, valid.begin, valid.end) == ((133,), (133,), (180,))
        learnt.append(task.preparation.to_json())
    assert learnt[0]["targets"] == learnt[1]["targets"]
    assert learnt[0]["scales"] == learnt[1]["scales"]


def test_series_that_are_too_short_are_told(tmp_path: Path) -> None:
    rows = [f"a,{n},{n % 7}" for n in range(100)] + [f"b,{n},{n % 5}" for n in range(3)]
    (tmp_path / "a.csv").write_text("id,value,x\n" + "\n".join(rows) + "\n", "utf-8")
    task, *_ = fitted(tmp_path / "a.csv", series="id", target="value,x", period=1)
    assert "too short to learn from, 1 of 2 series: b" in task.facts()["note"]


def test_the_future_changes_no_forecast_of_the_past(run: Run, tmp_path: Path) -> None:
    columns = waves(400)
    changed = {name: values[:360] + [value * 3 + 7 for value in values[360:]] for name, values in columns.items()}
    predictor = load(run.path)
    one, two = (
        predictor.task.encode(predictor.task.read(write(tmp_path / f"{name}.csv", table)))
        for name, table in (("a", columns), ("b", changed))
    )
    past = one.index[one.index[:, 1] + 12 <= 360]
    assert len(past) == 349
    judge = predictor.task.judge(predictor.model)  # type: ignore[attr-defined]
    for index in (past[:200], past[200:]):
        before = [windows.history(index, 1)[:, 0] for windows in (one, two)]
        np.testing.assert_array_equal(*before)
        said = [
            judge.forecast(windows.gather(index), rows)[0] for windows, rows in zip((one, two), before, strict=True)
        ]
        np.testing.assert_array_equal(*said)
    assert not np.array_equal(one.truth(past), two.truth(past))


def test_no_forecast_starts_from_a_row_that_was_filled_in_and_none_is_judged_by_it(tmp_path: Path) -> None:
    columns = waves(120)
    columns["load"][50:53] = [None] * 3
    task, first, *_ = fitted(write(tmp_path / "a.csv", columns), missing="interpolate", period=1)
    windows = task.encode(first)
    origins = set((windows.index[:, 1] + 11).tolist())
    assert not origins & {50, 51, 52}
    assert {49, 53} <= origins
    truth = windows.truth(np.array([[0, 36]]))  # rows 48 to 53
    assert np.isnan(truth[0, :, 0]).tolist() == [False, False, True, True, True, False]


# --- windows in the units of the model -------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["none", "log", "box-cox", "difference", "returns"])
@pytest.mark.parametrize("scale", ["none", "standard", "min-max"])
def test_what_comes_out_of_the_model_is_turned_back(tmp_path: Path, transform: str, scale: str) -> None:
    task, _, _, test = fitted(write(tmp_path / "a.csv", waves(200)), transform=transform, scale=scale)
    windows = task.encode(test)
    index = windows.index[:3]
    batch = windows.gather(index)
    foretold = batch.values[:, 12:, :, None].double().numpy()
    found = task.preparation.undo(foretold, windows.history(index, 1)[:, 0])[..., 0]
    np.testing.assert_allclose(found, windows.truth(index), rtol=1e-5)


def test_a_window_of_differences_looks_the_same_wherever_the_series_began(tmp_path: Path) -> None:
    task, first, *_ = fitted(write(tmp_path / "a.csv", waves(200)), transform="difference")
    windows = task.encode(first)
    later = windows.gather(np.array([[0, 30]])).values[0, :12]
    cut = {name: values[30:] for name, values in waves(200).items()}
    data = task.check(read(write(tmp_path / "b.csv", cut, START + 30)))
    begun = task.preparation.windows(data, 12, 6).gather(np.array([[0, 0]])).values[0, :12]
    torch.testing.assert_close(later, begun)


def test_covariates_stand_where_the_model_reads_them(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    words = random.choice(["NW", "SE", "cv"], 100).tolist()
    columns = waves(100) | {"wind": words, "holiday": (np.arange(100) % 7 == 0).astype(int).tolist()}
    file = write(tmp_path / "a.csv", columns)
    task, first, *_ = fitted(file, target="load", past="heat,wind", known="holiday", calendar=True, period=24)
    batch = task.encode(first).gather(np.array([[0, 5]]))
    assert batch.values.shape == (1, 18, 1)
    assert batch.past is not None
    assert batch.past.shape == (1, 12, 4)
    assert batch.known is not None
    assert batch.known.shape == (1, 18, 1 + task.preparation.calendar_width)
    heat = np.array(columns["heat"])
    trained = heat[: first.end[0]]
    np.testing.assert_allclose(batch.past[0, :, 0], (heat[5:17] - trained.mean()) / trained.std(), rtol=1e-5)
    for row in range(12):
        assert int(batch.past[0, row, 1:].argmax()) == sorted(set(words)).index(words[5 + row])
    assert (batch.known[0, :, 0] > 0).tolist() == [hour % 7 == 0 for hour in range(5, 23)]


# --- a whole run ------------------------------------------------------------------------------------------------------


def test_what_a_run_says(run: Run) -> None:
    summary = files.read_json(run.summary)
    verdict, evaluation = summary["verdict"], summary["evaluation"]
    assert (verdict["part"], verdict["metric"], verdict["higher_is_better"]) == ("test", "standard_mae", False)
    names = [row["name"] for row in verdict["rows"]]
    assert names[0] == "this model"
    assert set(names[1:]) == {"naive", "drift", "seasonal naive (24)", "linear, same look-back"}
    values = [row["value"] for row in verdict["rows"][1:]]
    assert values == sorted(values)
    told = {"mae", "rmse", "mase", "smape"}
    assert all(told <= row["metrics"].keys() for row in verdict["rows"])
    assert {"pinball", "coverage"} <= verdict["rows"][0]["metrics"].keys()
    assert summary["split"]["train"] + summary["split"]["valid"] + summary["split"]["test"] == 400
    for name in ("loss", "mae", "rmse", "mase", "smape", "standard_mse", "standard_mae", "pinball", "coverage"):
        assert isinstance(evaluation[name], float), name
    details = evaluation["forecast"]
    assert (details["targets"], details["horizon"], details["look_back"]) == (["load", "heat"], 6, 12)
    assert (details["frequency"], details["period"], details["level"]) == ("hourly", 24, 0.8)
    assert [row["step"] for row in details["by_step"]] == [1, 2, 3, 4, 5, 6]
    assert [row["level"] for row in details["calibration"]] == [round(0.1 * n, 1) for n in range(1, 10)]
    for sample in details["samples"] + details["worst"]:
        assert len(sample["times"]) == len(sample["history"]) + 6
        assert {len(sample[name]) for name in ("actual", "forecast", "lower", "upper", "naive")} == {6}
    assert summary["data"]["facts"]["time"].startswith("time, hourly, 2024-01-01")


def test_the_figures_of_the_verdict_are_those_of_its_forecasts(run: Run) -> None:
    predictor = load(run.path)
    table = waves(400)
    details = files.read_json(run.summary)["evaluation"]["forecast"]
    sample = details["samples"][0]
    origin = int((np.datetime64(sample["times"][-6], "h") - START).astype(int))
    times = [str(START + hour) + ":00" for hour in range(origin)]
    given = {"time": times} | {name: values[:origin] for name, values in table.items()}
    (found,) = predictor.predict([given])
    np.testing.assert_allclose(found[sample["target"]], sample["forecast"], rtol=1e-5)
    np.testing.assert_allclose(found[f"{sample['target']} 0.9"], sample["upper"], rtol=1e-5)
    np.testing.assert_allclose(sample["actual"], table[sample["target"]][origin : origin + 6])


def test_a_constant_series_is_told_and_its_mase_is_not_a_number_nowhere(tmp_path: Path) -> None:
    run = train(
        write(tmp_path / "a.csv", {"level": [5.0] * 120}), out=tmp_path / "run", horizon=3, look_back=6, **SMALL
    )
    evaluation = files.read_json(run.summary)["evaluation"]
    assert evaluation["mase"] is None
    assert "MASE is undefined" in evaluation["forecast"]["notes"][0]
    assert "NaN" not in run.summary.read_text("utf-8") + run.metrics.read_text("utf-8")
    assert load(run.path).predict_file(tmp_path / "a.csv")


def test_a_validation_file_judges_and_the_whole_file_trains(tmp_path: Path) -> None:
    file, valid = write(tmp_path / "a.csv", waves(100)), write(tmp_path / "b.csv", waves(60, seed=5), START + 100)
    run = train(file, valid=str(valid), out=tmp_path / "run", horizon=6, look_back=12, **SMALL)
    summary = files.read_json(run.summary)
    assert summary["verdict"]["part"] == "valid"
    assert (summary["split"]["train"], summary["split"]["valid"]) == (100, 60)
    assert summary["verdict"]["records"] == 60 - 17


def test_trained_quantiles_do_not_cross_and_only_they_are_given(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", waves(200))
    settings = SMALL | {"horizon": 6, "look_back": 12, "loss": "quantile", "quantiles": "0.05,0.5,0.8,0.95"}
    run = train(file, out=tmp_path / "run", conformal=False, **settings)
    predictor = load(run.path)
    rows = list(predictor.predict_file(file))
    for row in rows:
        assert row["load 0.05"] <= row["load"] <= row["load 0.8"] <= row["load 0.95"]
    assert "load 0.8" not in next(predictor.predict_file(file, quantiles=(0.05,)))
    with pytest.raises(SettingError, match="it gives 0.05, 0.5, 0.8, 0.95".replace(".", r"\.")):
        list(predictor.predict_file(file, quantiles=(0.1,)))
    calibration = files.read_json(run.summary)["evaluation"]["forecast"]["calibration"]
    assert [row["level"] for row in calibration] == [0.9]


def test_without_anything_held_out_there_are_no_intervals(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", waves(100))
    run = train(file, out=tmp_path / "run", split=0.0, test=0.0, horizon=6, look_back=12, **SMALL)
    assert "no intervals" in files.read_json(run.summary)["evaluation"]["forecast"]["notes"][-1]
    assert set(next(load(run.path).predict_file(file))) == {"time", "step", "load", "heat"}
    with pytest.raises(SettingError, match="does not give it"):
        list(load(run.path).predict_file(file, quantiles="0.1"))


@pytest.mark.parametrize("quantiles", ["0.1,0.9", "0.9,0.5,0.1", "0.5,0.5", "0,0.5", "0.5,1", "", "half"])
def test_quantiles_that_are_none(quantiles: str) -> None:
    with pytest.raises(SettingError):
        ForecastSettings.parse({"quantiles": quantiles})


# --- continuing series ------------------------------------------------------------------------------------------------


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
    with pytest.raises(DataError, match=r"6 rows known in advance are needed .* there are 0") as refused:
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
    with pytest.raises(DataError, match="reads 12 rows, and the series has 11") as refused:
        list(predictor.predict_file(write(tmp_path / "d.csv", short)))
    assert refused.value.code == "D058"


def test_a_backtest_leaves_out_what_training_saw(run: Run, folder: Path, tmp_path: Path) -> None:
    predictor = load(run.path)
    found = predictor.backtest(folder / "waves.csv", origins=10)
    assert (found["origins"], found["count"]) == (10, 10)
    assert found["forecast"]["notes"][-1].startswith("origins in the 40 of 400 rows")
    first = found["forecast"]["samples"][0]["times"][-6]
    assert first == str(START + 360) + ":00:00"
    assert {row["name"] for row in found["baselines"]} == {"naive", "drift", "seasonal naive (24)"}
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
