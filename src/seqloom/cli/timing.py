"""Times several calls in turn, so that what disturbs a machine for a while disturbs all of them alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, inf
from statistics import median, quantiles
from time import perf_counter
from typing import Any

__all__ = ["Call", "Times", "in_turn"]

SAMPLE_SECONDS = 2e-3
"""A sample lasts at least so long: shorter calls are repeated within it."""
LONG = 0.02
"""A shorter call is made once before each sample, to bring weights and threads back."""


@dataclass(frozen=True)
class Call:
    """What is timed."""

    run: Callable[[], Any]
    before: Callable[[], Any] | None = None
    """Done before each call, and not timed."""
    limit: float = inf
    """Seconds after which no more samples are taken of this call, if there are three."""


@dataclass(frozen=True)
class Times:
    """Seconds of one call, a sample each round."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def spread(self) -> float:
        """The distance between the quartiles, as a share of the median; 0 of a single sample."""
        if len(self.samples) < 2:
            return 0.0
        first, _, third = quantiles(self.samples, n=4, method="inclusive")
        return (third - first) / self.median


def in_turn(calls: Mapping[str, Call], *, rounds: int = 9, seconds: float = 0.3) -> dict[str, Times]:
    """Times each call once a round.

    Args:
        calls: what to time, by name.
        rounds: at least so many samples of each.
        seconds: rounds go on until all samples together have taken so long.

    Returns:
        The times of each call, under its name.
    """
    expected = {name: _warm_up(call) for name, call in calls.items()}
    repeats = {name: ceil(SAMPLE_SECONDS / taken) for name, taken in expected.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    spent, done = 0.0, 0
    with _no_garbage_collection():
        while done < rounds or spent < seconds:
            for name, call in calls.items():
                if len(samples[name]) >= 3 and repeats[name] * sum(samples[name]) > call.limit:
                    continue
                if expected[name] < LONG:
                    _sample(call, 1)
                taken = _sample(call, repeats[name])
                samples[name].append(taken)
                spent += taken * repeats[name]
            done += 1
    return {name: Times(tuple(found)) for name, found in samples.items()}


def _warm_up(call: Call) -> float:
    """Calls once, for memory and caches, and then so often that the clock can tell how long a call takes."""
    _sample(call, 1)
    repeats, taken = 1, _sample(call, 1)
    while taken * repeats < SAMPLE_SECONDS:
        repeats *= 2
        taken = _sample(call, repeats)
    return taken


def _sample(call: Call, repeats: int) -> float:
    """Seconds of one call, the mean of several."""
    total = 0.0
    if call.before is None:
        start = perf_counter()
        for _ in range(repeats):
            call.run()
        total = perf_counter() - start
    else:
        for _ in range(repeats):
            call.before()
            start = perf_counter()
            call.run()
            total += perf_counter() - start
    return total / repeats


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
