"""Rows one by one: what comes out is what a file gives, the state is carried, and a row costs the same at any place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.errors import DataError, SettingError
from seqloom.predict import Predictor, load
from seqloom.training.train import train

SMALL = {"hidden": 8, "dropout": 0.0, "batch": 16, "epochs": 1, "threads": 1, "quiet": True, "task": "forecast"}
START = np.datetime64("2024-01-01T00", "h")


def rows_of(count: int, name: str | None = None, seed: int = 1) -> list[dict[str, Any]]:
    random = np.random.default_rng(seed)
    values = 50 + random.normal(size=(count, 2)).cumsum(axis=0)
    winds = random.choice(["N", "S"], count)
    head = {} if name is None else {"site": name}
    return [
        {**head, "time": str(START + hour) + ":00", "load": float(values[hour, 0]), "heat": float(values[hour, 1])}
        | {"wind": str(winds[hour])}
        for hour in range(count)
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\n", "utf-8")
    return path


def trained(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Predictor:
    given = SMALL | {"target": "load", "past": "heat,wind", "horizon": 4, "look_back": 9} | settings
    return load(train(write(folder / "a.csv", rows), out=folder / "run", **given).path)


def alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value[0], float):
            np.testing.assert_allclose(value, other[name], rtol=1e-5)
        else:
            assert value == other[name]


@pytest.mark.parametrize("transform", ["none", "difference", "returns"])
@pytest.mark.parametrize("model", ["segment", "last-step", "linear"])
def test_a_row_gives_what_the_rows_up_to_it_give(tmp_path: Path, model: str, transform: str) -> None:
    predictor = trained(tmp_path, rows_of(120), model=model, transform=transform, calendar=True)
    fresh = rows_of(31, seed=2)
    for number, row in enumerate(fresh, start=1):
        found = predictor.step(row)
        assert (found is None) == (number < 9)
        if found is not None:
            table = {name: [row[name] for row in fresh[:number]] for name in fresh[0]}
            (whole,) = predictor.predict([table])
            assert found.pop("origin") == row["time"] + ":00"
            alike(found, whole)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("transform", ["none", "difference"])
def test_a_state_is_carried_over_all_rows(tmp_path: Path, cell: str, transform: str) -> None:
    predictor = trained(tmp_path, rows_of(120), model="every-step", cell=cell, transform=transform, calendar=True)
    fresh = rows_of(9, seed=3)
    found = [predictor.step(row) for row in fresh]
    assert None not in found  # it can say something from the first row on
    table = {name: [row[name] for row in fresh] for name in fresh[0]}
    (whole,) = predictor.predict([table])
    last = found[-1]
    assert last is not None
    last.pop("origin")
    alike(last, whole)  # nine rows are the look-back: the state has seen the same
    changed = [{**fresh[0], "load": fresh[0]["load"] + 5}, *fresh[1:]]
    predictor.reset()
    other = [predictor.step(row) for row in changed][-1]
    assert other is not None
    assert other["load"] != last["load"]  # it remembers the first row


def test_series_side_by_side_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = rows_of(60, "a", seed=1), rows_of(60, "b", seed=2)
    predictor = trained(tmp_path, one + two, model="every-step")
    alone = [predictor.step(row) for row in one[:20]]
    predictor.reset()
    mixed = [predictor.step(row) for pair in zip(one[:20], two[:20], strict=True) for row in pair]
    assert mixed[::2] == alone
    assert {row["series"] for row in mixed if row} == {"a", "b"}


def test_what_is_kept_does_not_grow(tmp_path: Path) -> None:
    predictor = trained(tmp_path, rows_of(120))
    for row in rows_of(100, seed=4):
        predictor.step(row)
    (memory,) = predictor._stream().series.values()
    assert memory.rows.shape == (18, 4)


BAD = {
    "a column is missing": ({"heat": 1.0, "wind": "N"}, "D026", '"load"'),
    "text": ({"load": "oops"}, "D012", '"oops"'),
    "a number with marks between thousands": ({"load": "1_000"}, "D012", '"1_000"'),
    "a truth": ({"load": True}, "D012", '"True"'),
    "infinite": ({"load": float("inf")}, "D057", "infinite"),
    "missing": ({"load": None}, "D056", "missing"),
    "a new word": ({"wind": "E"}, "D060", '"E"'),
    "twice": ({"time": "2024-01-01T04:00"}, "D053", "occurs twice"),
    "out of order": ({"time": "2024-01-01T01:00"}, "D052", "out of order"),
    "a gap": ({"time": "2024-01-01T09:00"}, "D054", "4 rows are missing"),
    "off the step": ({"time": "2024-01-01T05:30"}, "D055", "hourly"),
    "no time": ({"time": "noon"}, "D050", '"noon"'),
}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return trained(tmp_path_factory.mktemp("refusing"), rows_of(120))


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_an_error_with_its_number(refusing: Predictor, name: str) -> None:
    change, code, told = BAD[name]
    refusing.reset()
    rows = rows_of(6)
    for row in rows[:5]:
        refusing.step(row)
    bad = change if name == "a column is missing" else rows[5] | change
    with pytest.raises(DataError) as refused:
        refusing.step({"time": rows[5]["time"]} | bad)
    assert (refused.value.code, refused.value.line) == (code, 6)
    assert told in refused.value.message


def test_rows_that_are_to_be_skipped_are(tmp_path: Path) -> None:
    predictor = trained(tmp_path, rows_of(120), bad_rows="skip", look_back=2)
    rows = rows_of(4)
    assert predictor.step(rows[0]) is None
    assert predictor.step(rows[1] | {"load": "oops"}) is None
    assert predictor.step(rows[1]) is not None
    assert predictor.step(rows[0]) is None
    assert predictor.step(rows[2]) is not None


def test_behind_a_gap_memory_begins_anew_where_gaps_may_be(tmp_path: Path) -> None:
    predictor = trained(tmp_path, rows_of(120), missing="drop", look_back=3)
    rows = rows_of(12)
    assert [predictor.step(row) is None for row in rows[:4]] == [True, True, False, False]
    assert [predictor.step(row) is None for row in rows[6:10]] == [True, True, False, False]
    assert predictor.step(rows[10] | {"heat": ""}) is None
    assert predictor.step(rows[11]) is None


def test_rows_cannot_tell_what_is_known_in_advance(tmp_path: Path) -> None:
    predictor = trained(tmp_path, rows_of(120), past="wind", known="heat")
    with pytest.raises(SettingError, match="heat in advance"):
        predictor.step(rows_of(1)[0])


def test_days_are_read_in_the_order_of_the_training(tmp_path: Path) -> None:
    dates = np.arange("2020-01-01", "2020-06-01", dtype="datetime64[D]").astype(object)
    rows = [{"time": date.strftime("%m/%d/%Y"), "load": 5.0 + date.day % 7} for date in dates]
    predictor = trained(tmp_path, rows, past=())
    found = [predictor.step(row) for row in rows[31:41]]
    assert found[-1] is not None
    assert found[-1]["origin"] == "2020-02-10T00:00:00"
    table = {name: [row[name] for row in rows[31:41]] for name in rows[0]}
    alike(predictor.predict([table])[0], {name: value for name, value in found[-1].items() if name != "origin"})
