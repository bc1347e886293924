"""The rules beside a forecast: within the time they may take, and the linear one kept for later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seqloom import files
from seqloom.models.simple_forecasts import Ridge
from seqloom.predict import load
from seqloom.run import Run
from seqloom.tasks import _forecast_baselines as baselines
from seqloom.training.loop import Interrupted
from seqloom.training.train import resume, train
from tests.tasks.forecasting import SMALL, fitted, waves, write


def test_without_time_they_are_judged_on_a_few_windows_and_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, first, _, test = fitted(write(tmp_path / "a.csv", waves(4000)), test=0.3)
    monkeypatch.setattr("seqloom.models.simple_forecasts.PIECE", 500)
    whole = task.baselines(first, test, seconds=None)
    assert [score.note for score in whole] == [None] * 4
    hurried = task.baselines(first, test, seconds=0.0)
    told = "; ".join(filter(None, (score.note for score in hurried)))
    assert "judged on 512 of 1,195 windows" in told, told
    assert "of the training part, all that the budget has time for" in told
    exact, near = ({score.name: score.value for score in each} for each in (whole, hurried))
    assert exact.keys() == near.keys()
    for name, value in exact.items():
        assert near[name] == pytest.approx(value, rel=0.2)


def test_with_time_enough_they_are_judged_on_all(tmp_path: Path) -> None:
    task, first, _, test = fitted(write(tmp_path / "a.csv", waves(300)))
    whole, bounded = (task.baselines(first, test, seconds=seconds) for seconds in (None, 1e9))
    for one, other in zip(whole, bounded, strict=True):
        assert (one.name, one.note) == (other.name, other.note)
        assert one.value == pytest.approx(other.value, rel=1e-12)


def test_a_backtest_shows_the_rules_of_the_verdict(tmp_path: Path) -> None:
    """From all origins of the test part: the same rules on the same windows come to the same figures."""
    file = write(tmp_path / "a.csv", waves(300))
    run = train(file, out=tmp_path / "run", horizon=6, look_back=12, **SMALL)
    found = load(run.path).backtest(file, origins=500)
    verdict = {row["name"]: row["value"] for row in files.read_json(run.summary)["verdict"]["rows"][1:]}
    assert {row["name"] for row in found["baselines"]} == verdict.keys()
    assert "linear, same look-back" in verdict
    for row in found["baselines"]:
        assert row["standard_mae"] == pytest.approx(verdict[row["name"]], rel=1e-5)
    assert not any("linear" in note for note in found["forecast"]["notes"])


def test_a_linear_map_is_kept_in_the_run_unless_it_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    ridge = Ridge(random.normal(size=(5, 3)), random.normal(size=3))
    assert baselines.load_linear(tmp_path) is None
    monkeypatch.setattr(baselines, "MOST_KEPT", 14)
    baselines.save_linear(ridge, tmp_path)
    assert baselines.load_linear(tmp_path) is None
    monkeypatch.setattr(baselines, "MOST_KEPT", 15)
    baselines.save_linear(ridge, tmp_path)
    again = baselines.load_linear(tmp_path)
    assert again is not None
    np.testing.assert_allclose(again.weights, ridge.weights, rtol=1e-6)
    np.testing.assert_allclose(again.bias, ridge.bias, rtol=1e-6)


def test_a_run_without_the_map_says_so(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", waves(120))
    run = train(file, out=tmp_path / "run", split=0.0, test=0.0, horizon=6, look_back=12, **SMALL)
    assert "the linear rule is not shown: the run did not keep it" in load(run.path).backtest(file)["forecast"]["notes"]


def test_a_resumed_training_has_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, out = write(tmp_path / "a.csv", waves(200)), tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr("seqloom.training.loop.Loop.fit", _interrupted)
        with pytest.raises(Interrupted):
            train(file, out=out, horizon=6, look_back=12, **SMALL)
    finished = resume(Run.open(out), quiet=True)
    assert {row["name"] for row in load(finished.path).backtest(file)["baselines"]} >= {"linear, same look-back"}


def _interrupted(loop: object) -> str:
    raise Interrupted("stopped")
