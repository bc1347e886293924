"""``seqloom bench``."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from seqloom.cli.output import note, print_json, print_table
from seqloom.cli.timing import Call, in_turn
from seqloom.cli.usage import Whole
from seqloom.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.layers.recurrent import State

__all__ = ["bench", "inference", "training"]

LAYERS = ("RNN", "GRU", "LSTM")
"""The layers that torch.nn and seqloom both have."""
SHAPES = ((1, 1, 128, 256), (1, 200, 128, 256), (32, 100, 64, 128), (64, 200, 128, 256))
"""[B, T, I, H]: one step of a stream, one sequence alone, a small batch, a large one."""


def bench(*, threads: Whole | None = None, seconds: float = 0.3, json: bool = False) -> None:
    """Time seqloom's recurrent layers beside torch.nn's, on this machine.

    All get the same weights and the same input, one layer, one direction. They take turns, and the median of at least
    nine times counts. Training is the forward scan and all gradients; weights count as changed before each, as an
    optimizer leaves them. bf16: our products of bfloat16 numbers, sums and states in float32.

    Args:
        threads: Processor threads; as many as torch takes by itself when not given.
        seconds: Time for each row, at least.
        json: Print the rows as JSON.
    """
    if threads is not None and threads < 1:
        raise SettingError(f"--threads is {threads}; allowed: at least 1")
    if not 0 < seconds <= 3600:
        raise SettingError(f"--seconds is {seconds}; allowed: above 0, at most 3600")
    import torch

    from seqloom.kernels import isa

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads or before)
        note(f"torch {torch.__version__}, {isa()}, {torch.get_num_threads()} threads; milliseconds, medians")
        rows = [row for shape in SHAPES for name in LAYERS for row in _compare(name, shape, seconds)]
    finally:
        torch.set_num_threads(before)
    if json:
        print_json(rows)
    else:
        print_table(rows)


def _compare(name: str, shape: tuple[int, int, int, int], seconds: float) -> list[dict[str, Any]]:
    """A row for inference and, where there is more than one step, one for training."""
    import torch

    import seqloom

    batch, time, features, hidden = shape
    theirs: nn.Module = getattr(torch.nn, name)(features, hidden)
    layers = {
        "torch.nn": theirs,
        "seqloom": getattr(seqloom, name)(features, hidden),
        "bf16": getattr(seqloom, name)(features, hidden, precision="bfloat16"),
    }
    x, gradient = torch.randn(time, batch, features), torch.randn(time, batch, hidden)
    rows = []
    for what in ("inference", "training") if time > 1 else ("inference",):
        calls = {}
        for each, layer in layers.items():
            layer.load_state_dict(theirs.state_dict())
            input = x.clone().requires_grad_(what == "training")
            calls[each] = training(layer, input, None, gradient) if what == "training" else inference(layer, input)
        with nullcontext() if what == "training" else torch.no_grad():
            times = {each: found.median * 1e3 for each, found in in_turn(calls, seconds=seconds).items()}
        sizes = {"B": batch, "T": time, "I": features, "H": hidden}
        row: dict[str, Any] = {"layer": name, "pass": what, **sizes, "torch.nn": round(times["torch.nn"], 4)}
        for each, ratio in (("seqloom", "times as fast"), ("bf16", "bf16 times as fast")):
            row |= {each: round(times[each], 4), ratio: round(times["torch.nn"] / times[each], 2)}
        rows.append(row)
    return rows


def inference(layer: nn.Module, input: Tensor) -> Call:
    """The layer alone; to be timed under ``torch.no_grad()``."""
    layer.eval()
    return Call(lambda: layer(input))


def training(layer: nn.Module, input: Tensor, state: State | None, gradient: Tensor) -> Call:
    """The layer, and the gradients of its weights and of what requires them of the input and the state.

    Before each call, and not timed, the old gradients are dropped and the weights count as changed: kernels that
    prepare weights must do so within the call, as they must behind every step of an optimizer.

    Args:
        layer: a recurrent layer as torch.nn's.
        input: [T, B, I].
        state: the states before the first step, or None.
        gradient: of the layer's output, [T, B, D*H].
    """
    import torch

    layer.train()
    weights = list(layer.parameters())
    states = () if state is None else (state,) if isinstance(state, torch.Tensor) else state
    leaves = [*weights, input, *states]

    @torch.no_grad()
    def as_after_a_step() -> None:
        for weight in weights:
            weight.view(-1)[:1].add_(0)
        for leaf in leaves:
            leaf.grad = None

    return Call(lambda: layer(input, state)[0].backward(gradient), as_after_a_step)
