"""What was measured, as a section in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.kernels.figures import Figure, Pass, figures, worse
from bench.kernels.peak import own_best, share
from bench.kernels.rows import Row
from bench.results import paragraph, table

__all__ = ["section", "summary"]


CASES = (
    "Milliseconds, and in brackets how many times as fast as torch in fp32. Spread is the largest distance between "
    "quartiles, as a share of the median, of torch fp32 and ours."
)


def section(isa: str, passes: Sequence[Pass], head: str) -> str:
    """Summary, every case and the further rows of one instruction set; of several passes the one that flatters less."""
    rows = [_worse_row(same) for same in zip(*(measured.rows for measured in passes), strict=True)]
    peak = max(measured.peak for measured in passes)
    return "\n".join(
        [
            f"## Recurrent layers beside torch.nn and others: {isa}\n",
            paragraph(head),
            summary(passes),
            _peak(passes),
            "### Every case\n",
            paragraph(CASES),
            _scans([row for row in rows if row.kind == "scan"], peak),
            *(_further(kind, [row for row in rows if row.kind == kind]) for kind in FURTHER),
        ]
    )


def summary(passes: Sequence[Pass]) -> str:
    """The figures, each pass in its column and the worse one quoted."""
    columns = [figures(measured) for measured in passes]
    head = ["figure", "limit", "aim", *(f"pass {number}" for number in range(1, len(passes) + 1))]
    several = len(passes) > 1
    lines = []
    for same in zip(*columns, strict=True):
        quoted = same[0]
        for other in same[1:]:
            quoted = worse(quoted, other)
        bound = f"at {'most' if quoted.at_most else 'least'} {quoted.limit:g}{quoted.unit}"
        aim = "" if quoted.aim is None else f"{quoted.aim:g}{quoted.unit}"
        shown = [_value(figure) for figure in same]
        quote = [_value(quoted) and f"**{_value(quoted)}**"] if several else []
        lines.append([quoted.name, bound, aim, *shown, *quote, quoted.met, quoted.note])
    return table([*head, *(["quoted"] if several else []), "met", "of what"], lines)


def _value(figure: Figure) -> str:
    if figure.value != figure.value:
        return ""
    return f"{figure.value:.1f}{figure.unit}" if figure.unit else f"{figure.value:.2f}"


def _peak(passes: Sequence[Pass]) -> str:
    shown = " and ".join(
        f"{measured.product / 1e9:.0f} (torch.mm) and {own_best(measured.rows) / 1e9:.0f} (our fastest scan)"
        for measured in passes
    )
    return paragraph(f"The fp32 peak is the faster of two, in GFLOP/s: {shown}.")


def _worse_row(same: Sequence[Row]) -> Row:
    """Of the same case in several passes the one with the lower fp32 ratio."""
    if same[0].kind == "memory" or not any("fp32" in row.values for row in same):
        return same[-1]
    return min(same, key=lambda row: row.ratio("fp32"))


def _scans(rows: Sequence[Row], peak: float) -> str:
    head = ["B, T, I, H", "layer", "pass", "torch fp32", "fp32", "of peak", "bf16", "torch bf16"]
    others = [name for name in ("onnxruntime", "keras") if any(name in row.values for row in rows)]
    shown = {"onnxruntime": "onnxruntime", "keras": "Keras on JAX"}
    lines = []
    for row in rows:
        of_peak = f"{100 * share(row, peak):.0f} %"
        cells = [str(row.shape), row.cell, row.what, _milliseconds(row.values["torch"])]
        cells += [_beside(row, "fp32"), of_peak, *(_beside(row, name) for name in ("bf16", "torch bf16", *others))]
        lines.append([*cells, f"{100 * row.spread:.0f} %"])
    return table([*head, *(shown[name] for name in others), "spread"], lines)


def _beside(row: Row, name: str) -> str:
    return f"{_milliseconds(row.values[name])} ({row.ratio(name):.2f})" if name in row.values else ""


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:,.0f}"


class _Table(NamedTuple):
    title: str
    text: str
    columns: dict[str, str]
    """What each candidate is called."""
    scale: float
    """What a value is multiplied by."""


FURTHER = {
    "lengths": _Table(
        "### Unequal lengths",
        "Training, lengths drawn uniformly from T/4 to T, milliseconds. torch gets the rows sorted, and packs and "
        "unpacks them; ours gets them in any order.",
        {"torch": "torch packed", "torch dense": "torch dense", "fp32 dense": "ours dense", "fp32": "ours"},
        1e3,
    ),
    "directions": _Table(
        "### Both directions",
        "One layer that reads both ways, milliseconds.",
        {"torch": "torch", "fp32": "ours"},
        1e3,
    ),
    "layers": _Table(
        "### Small layers, one row",
        "Milliseconds.",
        {"torch": "torch", "fp32": "ours"},
        1e3,
    ),
    "step": _Table(
        "### One step of a stream",
        "From Python, the state fed back, in inference mode, microseconds. torch cell: nn.RNNCell, GRUCell, LSTMCell; "
        "layers are called with one step.",
        {
            "torch": "torch cell",
            "torch layer": "torch layer",
            "onnxruntime 1": "onnxruntime, 1 thread",
            "onnxruntime 2": "onnxruntime, 2 threads",
            "fp32 step": "our step",
            "fp32 layer": "our layer",
            "bf16 step": "our step, bf16",
            "bf16 layer": "our layer, bf16",
        },
        1e6,
    ),
    "overhead": _Table(
        "### What a call costs",
        "One row, one step, one feature, one unit, microseconds.",
        {"torch": "torch", "fp32": "ours"},
        1e6,
    ),
    "memory": _Table(
        "### Peak memory of training",
        "MiB that a process grows by at most over one forward scan with all gradients, beyond weights, input and the "
        "gradient that comes in; each in a process of its own.",
        {"torch": "torch", "fp32": "ours"},
        1 / 2**20,
    ),
}
"""The tables behind that of the scans, by kind."""


def _further(kind: str, rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    shown = FURTHER[kind]
    there = [name for name in shown.columns if any(name in row.values for row in rows)]
    head = ["B, T, I, H", "layer", "pass", *(shown.columns[name] for name in there)]
    lines = ([str(row.shape), row.cell, row.what, *_values(row, there, shown.scale)] for row in rows)
    return f"{shown.title}\n\n{paragraph(shown.text)}\n{table(head, lines)}"


def _values(row: Row, names: Iterable[str], scale: float) -> list[str]:
    return [f"{row.values[name] * scale:.4g}" if name in row.values else "" for name in names]
