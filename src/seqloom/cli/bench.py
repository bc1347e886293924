"""``seqloom bench``."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from seqloom.cli.output import note, print_json, print_table
from seqloom.cli.usage import Whole
from seqloom.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

TORCH = {"elman": "RNN", "gru": "GRU", "lstm": "LSTM"}
"""The cells that torch.nn has too, and what it calls their layers."""
SHAPES = ((1, 100, 64, 128), (32, 100, 64, 128), (64, 100, 128, 256))
"""[B, T, I, H]: one sequence alone, a small batch, a large one."""


def bench(*, threads: Whole | None = None, seconds: float = 0.5, json: bool = False) -> None:
    """Time seqloom's recurrent layers beside torch.nn's, on this machine.

    Both get the same weights and the same input, one layer, one direction, float32. They take turns, and the fastest
    time of each counts: other work on the machine only ever makes a time longer.

    Args:
        threads: Processor threads; as many as torch takes by itself when not given.
        seconds: Time for each number, at least.
        json: Print the rows as JSON.
    """
    if threads is not None and threads < 1:
        raise SettingError(f"--threads is {threads}; allowed: at least 1")
    if not 0 < seconds <= 3600:
        raise SettingError(f"--seconds is {seconds}; allowed: above 0, at most 3600")
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    note(f"torch {torch.__version__}, {torch.get_num_threads()} threads; milliseconds, the fastest of several")
    rows = [row for shape in SHAPES for cell in TORCH for row in _compare(cell, shape, seconds)]
    if json:
        print_json(rows)
    else:
        print_table(rows)


def _compare(cell: str, shape: tuple[int, int, int, int], seconds: float) -> list[dict[str, Any]]:
    import torch

    from seqloom.layers.recurrent import Recurrent

    batch, time, inputs, hidden = shape
    theirs: nn.Module = getattr(torch.nn, TORCH[cell])(inputs, hidden)
    ours = Recurrent(cell, inputs, hidden)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(time, batch, inputs)

    def forward(layer: nn.Module) -> None:
        with torch.no_grad():
            layer(x)

    def train(layer: nn.Module) -> None:
        layer.zero_grad()
        layer(x)[0].sum().backward()

    rows = []
    for what, run in (("forward", forward), ("forward and backward", train)):
        torch_time, our_time = _fastest(run, theirs, ours, seconds)
        ratio = round(torch_time / our_time, 2)
        sizes = {"B": batch, "T": time, "I": inputs, "H": hidden}
        times = {"torch.nn": round(torch_time * 1e3, 3), "seqloom": round(our_time * 1e3, 3)}
        rows.append({"cell": cell, "pass": what, **sizes, **times, "times as fast": ratio})
    return rows


def _fastest(
    run: Callable[[nn.Module], None], first: nn.Module, second: nn.Module, seconds: float
) -> tuple[float, float]:
    for layer in (first, second):  # the first time costs more than all others
        run(layer)
    best = [float("inf"), float("inf")]
    end = perf_counter() + 2 * seconds
    rounds = 0
    while rounds < 3 or perf_counter() < end:
        for index, layer in enumerate((first, second)):
            start = perf_counter()
            run(layer)
            best[index] = min(best[index], perf_counter() - start)
        rounds += 1
    return best[0], best[1]
