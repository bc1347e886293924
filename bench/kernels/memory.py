"""Peak memory of one training step, measured in a process of its own.

    python -m bench.kernels.memory {torch|seqloom} CELL B T I H L THREADS

prints by how many bytes the process grew at most over one forward scan with all gradients, beyond the weights, the
input and the gradient that came in.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.kernels.rows import CELLS, Effort, Job, Shape

__all__ = ["jobs"]

SHAPES = (Shape(64, 200, 128, 256), Shape(32, 100, 256, 512))
QUICK = (Shape(64, 50, 32, 64),)


def jobs(quick: bool) -> list[Job]:
    """One for each shape and cell."""
    shapes = QUICK if quick else SHAPES
    return [Job("memory", cell, "training", shape, partial(measure, cell, shape)) for shape in shapes for cell in CELLS]


def measure(cell: str, shape: Shape, effort: Effort) -> Mapping[str, float]:
    """Bytes that torch's layer and ours need at most; nothing where the system does not tell."""
    if not Path("/proc/self/clear_refs").exists():
        return {}
    return {name: _in_new_process(who, cell, shape, effort) for name, who in (("torch", "torch"), ("fp32", "seqloom"))}


def _in_new_process(who: str, cell: str, shape: Shape, effort: Effort) -> float:
    arguments = [who, cell, *map(str, shape), str(effort.threads)]
    command = [sys.executable, "-m", "bench.kernels.memory", *arguments]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def growth(who: str, cell: str, shape: Shape, threads: int) -> int:
    """Bytes by which this process grows at most over one training step."""
    import torch

    import seqloom
    from seqloom.cli.bench import training

    torch.set_num_threads(threads)
    kind = getattr(torch.nn if who == "torch" else seqloom, cell)
    # A tiny step first: what is made once in a process is no part of the peak.
    for sizes in (Shape(4, 3, shape.inputs, 8, shape.layers), shape):
        layer = kind(sizes.inputs, sizes.hidden, sizes.layers)
        x = torch.randn(sizes.time, sizes.batch, sizes.inputs, requires_grad=True)
        call = training(layer, x, None, torch.randn(sizes.time, sizes.batch, sizes.hidden))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew here (man 5 proc)
        before = _status("VmRSS")
        call.run()
        peak = _status("VmHWM") - before
    return peak


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status does not tell {name}")


if __name__ == "__main__":
    who, cell, *sizes, threads = sys.argv[1:]
    print(growth(who, cell, Shape(*map(int, sizes)), int(threads)))
