"""The schedule under a clock that the test turns, and one real training against the real clock."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import pytest

import seqloom
from seqloom.training import budget
from seqloom.training.budget import EVALUATION_SHARE, FINAL_EVALUATIONS, RECENT, REPORT_SECONDS, Clock, Schedule


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(budget, "perf_counter", time)
    return time


def lived(
    time: Time, seconds: float, speed: Callable[[float], float], evaluation: float = 0.0, used: float = 0.0
) -> Iterator[tuple[float, bool]]:
    """Trains until it is done: progress after each step, and whether an evaluation followed.

    ``speed`` gives the seconds of a step at a time since the command began.
    """
    clock = Clock(seconds, used)
    schedule = Schedule(SimpleNamespace(epochs=None, most_epochs=0, budget=seconds), 100, clock)
    for step in range(1, 10**6):
        spent = speed(clock.elapsed())
        time.now += spent
        schedule.advance(step, spent)
        due = schedule.evaluation_due()
        if due:
            time.now += evaluation
            schedule.evaluation_done(evaluation)
        yield schedule.progress, due
        if schedule.done():
            return
    raise AssertionError("it never ended")


SPEEDS = {
    "steady": lambda seconds: 0.05,
    "halves": lambda seconds: 0.05 if seconds < 150 else 0.1,
    "doubles": lambda seconds: 0.1 if seconds < 150 else 0.05,
    "a tenth for a while": lambda seconds: 0.5 if 100 < seconds < 140 else 0.05,
    "uneven": lambda seconds: 0.02 + 0.06 * random.Random(seconds).random(),
}


@pytest.mark.parametrize("evaluation", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("speed", SPEEDS)
def test_it_reaches_the_end_with_the_budget_and_never_goes_back(time: Time, speed: str, evaluation: float) -> None:
    start = time.now
    steps = list(lived(time, 300.0, SPEEDS[speed], evaluation, used=20.0))
    progress = [place for place, _ in steps]
    assert progress[-1] == 1.0
    assert all(one <= two for one, two in pairwise(progress))
    assert max(two - one for one, two in pairwise([0.0, *progress])) < 0.02  # and makes no leap to get there
    # What is left is what comes behind: the last evaluation of the training is done, one more is to come.
    left = 300.0 - (time.now - start) - 20.0
    assert left == pytest.approx(REPORT_SECONDS + (FINAL_EVALUATIONS - 1) * evaluation, abs=3.0)


def test_a_speed_that_halves_half_way_bends_the_way_and_not_the_end(time: Time) -> None:
    at_half = [place for place, _ in lived(time, 300.0, SPEEDS["halves"])]
    until_then = sum(place < 0.5 for place in at_half)
    after = len(at_half) - until_then
    assert until_then == pytest.approx(2 * after, rel=0.2)  # the same time for each half, at half the speed


def test_evaluations_are_about_ten_and_evenly_spaced(time: Time) -> None:
    steps = list(lived(time, 300.0, SPEEDS["steady"], 0.5))
    places = [place for place, due in steps if due]
    assert 9 <= len(places) <= 11
    assert places[-1] == 1.0
    assert all(0.08 <= two - one <= 0.13 for one, two in pairwise([0.0, *places[:-1]]))


def test_evaluations_that_take_long_are_fewer(time: Time) -> None:
    places = [place for place, due in lived(time, 300.0, SPEEDS["steady"], 20.0) if due]
    assert len(places) * 20.0 <= 300.0 * EVALUATION_SHARE + 2 * 20.0
    assert places[-1] == 1.0


def test_long_budgets_are_evaluated_more_often(time: Time) -> None:
    places = [place for place, due in lived(time, 7200.0, lambda seconds: 1.0) if due]
    assert 55 <= len(places) <= 61


def test_a_budget_that_is_spent_already_takes_one_step_and_ends(time: Time) -> None:
    assert list(lived(time, 5.0, SPEEDS["steady"], used=9.0)) == [(1.0, True)]


def test_it_goes_on_from_a_checkpoint(time: Time) -> None:
    settings = SimpleNamespace(epochs=None, most_epochs=0, budget=300.0)
    first = Schedule(settings, 100, Clock(300.0))
    for step in range(1, 1001):
        time.now += 0.05
        first.advance(step, 0.05)
        if first.evaluation_due():
            first.evaluation_done(4.0)
    second = Schedule(settings, 100, Clock(300.0))
    second.restore(json.loads(json.dumps(first.to_values())))
    assert (second.progress, second.evaluated, second.spacing) == (first.progress, first.evaluated, first.spacing)
    second.advance(1001, 0.05)
    second.advance(1002, 0.05)
    assert first.progress <= second.progress < first.progress + 0.01


def test_the_time_left_is_that_of_the_clock(time: Time) -> None:
    schedule = Schedule(SimpleNamespace(epochs=None, most_epochs=0, budget=100.0), 10, Clock(100.0))
    for step in range(1, RECENT):
        time.now += 0.1
        schedule.advance(step, 0.1)
    assert schedule.step_seconds == pytest.approx(0.1)
    assert schedule.seconds_to_end() == pytest.approx(100.0 - (RECENT - 1) * 0.1)
    assert schedule.steps_left() == pytest.approx((100.0 - (RECENT - 1) * 0.1 - REPORT_SECONDS) / 0.1)
    time.now += 200
    assert schedule.seconds_to_end() == 0


# --- epochs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "per_epoch"), [(1, 1), (1, 7), (3, 7), (10, 3), (12, 5), (40, 1), (7, 100)])
def test_with_epochs_everything_depends_on_the_steps_alone(time: Time, epochs: int, per_epoch: int) -> None:
    def lived(speed: Callable[[], float]) -> list[tuple[float, bool]]:
        clock = Clock(None)
        schedule = Schedule(SimpleNamespace(epochs=epochs, most_epochs=0, budget=None), per_epoch, clock)
        found = []
        for step in range(1, epochs * per_epoch + 1):
            assert not schedule.done()
            time.now += (spent := speed())
            schedule.advance(step, spent)
            found.append((schedule.progress, schedule.evaluation_due()))
            if schedule.evaluation_due():
                schedule.evaluation_done(spent)
        assert schedule.done()
        return found

    draw = random.Random(1)
    steady, uneven = lived(lambda: 0.1), lived(lambda: draw.random() * 100)
    assert steady == uneven
    assert [place for place, _ in steady] == [step / (epochs * per_epoch) for step in range(1, epochs * per_epoch + 1)]
    evaluations = [place for place, due in steady if due]
    assert len(evaluations) == min(max(10, epochs), epochs * per_epoch)
    assert evaluations[-1] == 1.0
    if epochs >= 10:  # at the end of each epoch
        assert evaluations == pytest.approx([(epoch + 1) / epochs for epoch in range(epochs)])


def test_with_epochs_the_steps_to_come_are_known() -> None:
    schedule = Schedule(SimpleNamespace(epochs=2, most_epochs=0, budget=None), 50, Clock(None))
    for step in range(1, 41):
        schedule.advance(step, 9.0 if step == 1 else 0.5)  # the first step says nothing
    assert schedule.steps_left() == 60
    assert schedule.step_seconds == pytest.approx(0.5)


def test_the_clock() -> None:
    assert Clock(None).left() == float("inf")
    clock = Clock(10.0, used=4.0)
    assert 4.0 <= clock.elapsed() < 4.5
    assert 5.5 < clock.left() <= 6.0


# --- the real clock ---------------------------------------------------------------------------------------------------


def test_a_real_training_keeps_its_budget(tmp_path: Path) -> None:
    draw = random.Random(5)
    words = ["가을", "바람이", "불면", "the", "leaves", "fall", "하나씩", "and", "slowly", "아래로"]
    text = "\n".join(" ".join(draw.choice(words) for _ in range(9)) for _ in range(800))
    (tmp_path / "text.txt").write_text(text, "utf-8")
    environment = os.environ | {"PYTHONPATH": str(Path(seqloom.__file__).parents[1])}
    command = [sys.executable, "-m", "seqloom", "train", "text.txt", "--budget", "12s", "--patience", "0"]
    sizes = ["--hidden", "48", "--threads", "1", "--out", "run"]
    start = perf_counter()
    subprocess.run([*command, *sizes], cwd=tmp_path, env=environment, check=True, capture_output=True)
    seconds = perf_counter() - start
    assert 9 < seconds < 13.5 + 3  # 3 s for Python to start on a busy machine
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["stopped"] == "budget"
    reports = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert 5 <= sum(report["part"] == "valid" for report in reports) <= 12
    assert reports[-1]["seconds"] < 12


def test_most_epochs_end_it_before_the_clock_does(time: Time) -> None:
    """Twenty epochs of 100 steps at a tenth of a second: 200 of 1,000 seconds; progress is the share of the steps."""
    schedule = Schedule(SimpleNamespace(epochs=None, most_epochs=20, budget=1000.0), 100, Clock(1000.0))
    for step in range(1, 2001):
        assert not schedule.done()
        time.now += 0.1
        schedule.advance(step, 0.1)
        assert schedule.progress == pytest.approx(step / 2000)
        assert schedule.steps_left() == 2000 - step
    assert schedule.done()
    assert time.now - 1000.0 == pytest.approx(200.0)
    assert schedule.ended_by_most(2000)


def test_small_data_gets_more_than_most_epochs(time: Time) -> None:
    schedule = Schedule(SimpleNamespace(epochs=None, most_epochs=2, budget=1000.0), 7, Clock(1000.0))
    steps = 0
    while not schedule.done():
        steps += 1
        time.now += 0.1
        schedule.advance(steps, 0.1)
    assert steps == budget.LEAST_STEPS


def test_the_clock_ends_it_before_most_epochs_do(time: Time) -> None:
    schedule = Schedule(SimpleNamespace(epochs=None, most_epochs=20, budget=50.0), 1000, Clock(50.0))
    steps = 0
    while not schedule.done():
        steps += 1
        time.now += 0.1
        schedule.advance(steps, 0.1)
    assert 50 - REPORT_SECONDS - 0.2 <= time.now - 1000.0 <= 50 - REPORT_SECONDS + 0.2
    assert not schedule.ended_by_most(steps)
