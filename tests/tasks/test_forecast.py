"""The forecast task as a whole: what a run says, what its settings do, and that no forecast knows the future."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqloom import files
from seqloom.errors import SettingError
from seqloom.predict import load
from seqloom.run import Run
from seqloom.tasks.forecast import ForecastSettings
from seqloom.training.train import train
from tests.tasks.forecasting import SMALL, START, waves, write


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
