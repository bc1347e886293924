"""What is measured: shapes, rows, and the jobs that give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from time import sleep
from typing import NamedTuple

from torch import Tensor

from seqloom.cli.timing import Call, Times, in_turn

__all__ = ["CELLS", "GATES", "Effort", "Job", "Row", "Shape", "compare", "timed"]

GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
CELLS = tuple(GATES)


class Shape(NamedTuple):
    """[B, T, I, H] and L layers."""

    batch: int
    time: int
    inputs: int
    hidden: int
    layers: int = 1

    def __str__(self) -> str:
        sizes = f"({self.batch}, {self.time:,}, {self.inputs}, {self.hidden})"
        return sizes if self.layers == 1 else f"{sizes} {self.layers} layers"

    def work(self, cell: str, passes: int = 1) -> float:
        """Operations of the matrix products: 2 B T G H (I + H) a layer and pass; training counts as three passes."""
        depth = self.inputs + self.hidden + (self.layers - 1) * 2 * self.hidden
        return passes * 2.0 * self.batch * self.time * GATES[cell] * self.hidden * depth


class Effort(NamedTuple):
    """How long to measure."""

    rounds: int = 9
    seconds: float = 0.3
    threads: int = 2


@dataclass(frozen=True)
class Row:
    """One case: what each candidate took, in seconds (of peak memory: bytes)."""

    kind: str
    cell: str
    what: str
    shape: Shape
    values: Mapping[str, float]
    spread: float = 0.0
    """The largest distance between quartiles as a share of the median, over torch.nn and ours."""

    def ratio(self, name: str, to: str = "torch") -> float:
        """How many times ``to`` takes what ``name`` takes; NaN where one was not measured."""
        return self.values.get(to, float("nan")) / self.values.get(name, float("nan"))


class Job(NamedTuple):
    """Measures a row when it is run."""

    kind: str
    cell: str
    what: str
    shape: Shape
    measure: Callable[[Effort], Mapping[str, Times] | Mapping[str, float]]

    @property
    def name(self) -> str:
        return f"{self.kind} {self.cell} {self.what} {self.shape}"

    def run(self, effort: Effort) -> Row:
        """Measures."""
        found = self.measure(effort)
        values = {name: value.median if isinstance(value, Times) else value for name, value in found.items()}
        spreads = [value.spread for name, value in found.items() if isinstance(value, Times) and name not in OTHERS]
        return Row(self.kind, self.cell, self.what, self.shape, values, max(spreads, default=0.0))


OTHERS = ("torch bf16", "onnxruntime", "keras")
"""Candidates that no figure is held against: for information."""
OTHERS_SECONDS = 10.0
"""Of them no more than three samples are taken once these have taken so long; torch's bf16 can take 13 s a call."""


SPIN_ON = ("onnxruntime", "onnxruntime 2", "keras")
"""Candidates with threads of their own, which like torch's spin on for some milliseconds after the work is done."""
SETTLED = 0.02
"""Seconds after which no thread spins any more."""


def timed(calls: Mapping[str, Call], effort: Effort) -> dict[str, Times]:
    """Times the calls in turn, but each of those with spinning threads of its own by itself, when all have settled.

    A sleep before each sample would let all of them take turns; but behind it short calls take up to twice as long for
    some milliseconds, as cores and threads wake slowly.
    """
    limited = {name: replace(call, limit=OTHERS_SECONDS) if name in OTHERS else call for name, call in calls.items()}
    alone = [name for name in SPIN_ON if name in limited]
    groups = [{name: call for name, call in limited.items() if name not in alone}]
    groups += [{name: limited[name]} for name in alone]
    times: dict[str, Times] = {}
    for group in groups:
        times |= in_turn(group, rounds=effort.rounds, seconds=effort.seconds)
        if alone:
            sleep(SETTLED)
    return times


def compare(what: str, found: Tensor, wanted: Tensor, most: float) -> None:
    """Holds an answer to torch's, so that no time is taken of a wrong one.

    Raises:
        AssertionError: the relative distance (L2) is above ``most``.
    """
    found, wanted = found.detach().double(), wanted.detach().double()
    distance = float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))
    if not distance <= most:  # NaN too
        raise AssertionError(f"{what}: {distance:.1e} (relative L2) from torch's answer; allowed: {most:.0e}")
