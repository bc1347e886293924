from __future__ import annotations

import pytest

from seqloom.cli import timing
from seqloom.cli.timing import Call, Times, in_turn


class Clock:
    """A clock that only the calls move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", clock)
    return clock


def test_what_is_done_before_a_call_is_not_timed(clock):
    calls = {
        "plain": Call(lambda: clock.wait(0.25)),
        "prepared": Call(lambda: clock.wait(0.5), before=lambda: clock.wait(64)),
    }
    found = in_turn(calls, rounds=5, seconds=0)
    assert found == {"plain": Times((0.25,) * 5), "prepared": Times((0.5,) * 5)}


def test_rounds_go_on_until_the_seconds_are_spent(clock):
    found = in_turn({"one": Call(lambda: clock.wait(0.25))}, rounds=2, seconds=1.75)
    assert len(found["one"].samples) == 7


def test_a_call_over_its_limit_is_left_out_after_three_rounds(clock):
    calls = {
        "slow": Call(lambda: clock.wait(8), limit=10),
        "quick": Call(lambda: clock.wait(2), limit=10),
        "free": Call(lambda: clock.wait(8)),
    }
    found = in_turn(calls, rounds=7, seconds=0)
    assert {name: len(times.samples) for name, times in found.items()} == {"slow": 3, "quick": 6, "free": 7}


def test_the_calls_take_turns(clock):
    order = []

    def call(name):
        order.append(name)
        clock.wait(1)

    in_turn({"a": Call(lambda: call("a")), "b": Call(lambda: call("b"))}, rounds=3, seconds=0)
    assert "".join(order).endswith("ababab")


def test_a_short_call_is_repeated_within_a_sample(clock):
    runs, prepared = [], []

    def run():
        runs.append(clock.now)
        clock.wait(2**-14)

    found = in_turn({"short": Call(run, before=lambda: prepared.append(clock.now))}, rounds=1, seconds=0)
    assert found["short"].samples == (2**-14,)
    assert len(runs) * 2**-14 > timing.SAMPLE_SECONDS
    assert prepared == runs


def test_median_and_spread():
    times = Times((5.0, 1.0, 2.0, 4.0, 3.0))
    assert times.median == 3.0
    assert times.spread == pytest.approx((4 - 2) / 3)
    assert Times((2.0,)).spread == 0.0
