"""Forecast: parts by time, nothing of the future in what is learnt, windows in the units of the model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from seqloom.data.read import read
from tests.tasks.forecasting import START, fitted, waves, write

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


def test_a_number_that_may_stand_for_missing_is_told_before_the_training(tmp_path: Path) -> None:
    columns = waves(200)
    columns["load"][30] = columns["heat"][31] = columns["heat"][32] = -9999
    file = write(tmp_path / "a.csv", columns)
    task, *_ = fitted(file, target="load", past="heat")
    note = task.facts()["note"]
    assert "-9999 occurs 1 time in load, far below all else" in note
    assert "-9999 occurs 2 times in heat, far below all else: if it stands for a missing value" in note
    task, *_ = fitted(file, missing_value=-9999, missing="interpolate")
    assert "occurs" not in task.facts()["note"]
