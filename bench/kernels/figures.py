"""The figures that sum a pass up, and what each must be at least (or at most)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp, log, nan
from statistics import fmean
from typing import NamedTuple

from bench.kernels.peak import own_best, share
from bench.kernels.rows import Row

__all__ = ["Figure", "Pass", "figures", "worse"]


class Pass(NamedTuple):
    """Everything measured once."""

    rows: list[Row]
    product: float
    """Operations a second of torch's matrix product."""

    @property
    def peak(self) -> float:
        """Operations a second of the fastest fp32 matrix product seen: torch's or our own."""
        return max(self.product, own_best(self.rows))


class Figure(NamedTuple):
    """One line of the summary."""

    name: str
    limit: float
    aim: float | None
    value: float
    note: str = ""
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> str:
        """Whether the limit holds, and the aim where there is one."""
        if self.value != self.value:
            return "not measured"
        if self.aim is not None and self._holds(self.aim):
            return "aim"
        return "yes" if self._holds(self.limit) else "**no**"

    def _holds(self, bound: float) -> bool:
        return self.value <= bound if self.at_most else self.value >= bound


def figures(measured: Pass) -> list[Figure]:
    """All figures of a pass; NaN where the rows were not measured."""
    rows = measured.rows
    found = []
    for name, what, limit, aim in (
        ("fp32", "training", 3.0, 4.5),
        ("fp32", "inference", 3.5, 5.5),
        ("bf16", "training", 4.5, 7.0),
        ("bf16", "inference", 5.5, 9.0),
    ):
        ratios = [row.ratio(name) for row in _of(rows, "scan") if row.what == what]
        against = ", against torch fp32" if name == "bf16" else ""
        found.append(Figure(f"{name} {what}{against}", limit, aim, _geometric_mean(ratios), f"{len(ratios)} cases"))
    found.append(Figure("the worst single case, fp32", 1.1, 1.5, *_extreme(_of(rows, "scan"), _times("fp32"), min)))
    large = [r for r in _of(rows, "scan") if r.what == "training" and r.shape.hidden >= 256 and r.shape.batch >= 32]
    shares = [100 * share(row, measured.peak) for row in large]
    note = f"{len(shares)} cases, the worst {min(shares):.0f} %" if shares else ""
    found.append(Figure("share of the fp32 peak, training", 75, 90, _geometric_mean(shares), note, unit=" %"))
    return found + _further(rows)


def _further(rows: Sequence[Row]) -> list[Figure]:
    """Each is the worst over the cells, but for the GRU's own step."""
    ragged, steps, memory = (_of(rows, kind) for kind in ("lengths", "step", "memory"))
    gru = [row for row in steps if row.cell == "GRU"]
    overhead = [row for row in _of(rows, "overhead") if row.what == "inference"]

    def of_dense(row: Row) -> float:
        return 1 / row.ratio("fp32", to="fp32 dense")

    def against_onnx(row: Row) -> float:
        others = [value for name, value in row.values.items() if name.startswith("onnxruntime")]
        return min(others, default=nan) / row.values["fp32 step"]

    return [
        Figure("unequal lengths: of our dense time", 0.75, None, *_extreme(ragged, of_dense, max), at_most=True),
        Figure("unequal lengths: against torch, packed", 4, None, *_extreme(ragged, _times("fp32"), min)),
        Figure("one step: against nn.GRUCell", 5, None, *_extreme(gru, _times("fp32 step"), min)),
        Figure("one step: against onnxruntime", 1, None, *_extreme(steps, against_onnx, min)),
        Figure(
            "a call at B 1, T 1, I 1, H 1",
            25,
            None,
            *_extreme(overhead, lambda row: 1e6 * row.values["fp32"], max),
            at_most=True,
            unit=" us",
        ),
        Figure(
            "peak memory of training, of torch's",
            1,
            None,
            *_extreme(memory, lambda row: 1 / row.ratio("fp32"), max),
            at_most=True,
        ),
    ]


def worse(one: Figure, other: Figure) -> Figure:
    """The one that flatters less."""
    return (max if one.at_most else min)(one, other, key=lambda figure: figure.value)


def _of(rows: Sequence[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.kind == kind and row.values]


def _times(name: str) -> Callable[[Row], float]:
    return lambda row: row.ratio(name)


def _extreme(rows: Sequence[Row], value: Callable[[Row], float], choose: Callable[..., Row]) -> tuple[float, str]:
    """The value of the extreme row, and which row it is."""
    rows = [row for row in rows if value(row) == value(row)]
    if not rows:
        return nan, ""
    row = choose(rows, key=value)
    return value(row), f"{row.cell} {row.what} {row.shape}"


def _geometric_mean(values: Sequence[float]) -> float:
    return exp(fmean(map(log, values))) if values else nan
