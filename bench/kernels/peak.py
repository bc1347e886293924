"""The fp32 matrix-product peak of this machine, as it shows in this process."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter

import torch

from bench.kernels.rows import Row

__all__ = ["matrix_product", "own_best", "share"]

SIZES = (1024, 2048)
TRIES = 5


def matrix_product() -> float:
    """Operations a second of ``torch.mm`` on large square matrices: the fastest of several."""
    fastest = 0.0
    for size in SIZES:
        left, right, out = (torch.ones(size, size) for _ in range(3))
        for _ in range(TRIES):
            start = perf_counter()
            torch.mm(left, right, out=out)
            fastest = max(fastest, 2.0 * size**3 / (perf_counter() - start))
    return fastest


def own_best(rows: Iterable[Row]) -> float:
    """Operations a second of our own fp32 products, in the fastest of all scans; 0 without a scan."""
    return max((_rate(row) for row in rows if row.kind == "scan"), default=0.0)


def share(row: Row, peak: float) -> float:
    """Our fp32 rate as a share of the peak."""
    return _rate(row) / peak


def _rate(row: Row) -> float:
    return row.shape.work(row.cell, 3 if row.what == "training" else 1) / row.values["fp32"]
