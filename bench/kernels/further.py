"""Unequal lengths, both directions, layers, one step of a stream, and a call that has next to nothing to compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqloom
from bench.kernels import onnx_runtime
from bench.kernels.rows import CELLS, Effort, Job, Shape, compare, timed
from seqloom.cli.bench import inference, training
from seqloom.cli.timing import Call, Times

__all__ = ["jobs"]

RAGGED = Shape(64, 200, 128, 256)
QUICK_RAGGED = Shape(6, 20, 16, 24)
STEP = Shape(1, 1, 128, 256)
LEAST = Shape(1, 1, 1, 1)
BOTH_WAYS = (Shape(1, 200, 64, 64), Shape(32, 50, 300, 256))
LAYERS = Shape(1, 500, 64, 64, layers=2)


def jobs(quick: bool) -> list[Job]:
    """One for each cell and question."""
    ragged = QUICK_RAGGED if quick else RAGGED
    return [
        *(Job("lengths", cell, "training", ragged, partial(lengths, cell, ragged)) for cell in CELLS),
        *(
            Job("directions", cell, what, shape, partial(stacked, cell, shape, what, True))
            for shape in BOTH_WAYS[: 1 if quick else None]
            for cell in CELLS
            for what in ("inference", "training")
        ),
        *(
            Job("layers", cell, "inference", LAYERS, partial(stacked, cell, LAYERS, "inference", False))
            for cell in CELLS
        ),
        *(Job("step", cell, "inference", STEP, partial(step, cell)) for cell in CELLS),
        *(Job("overhead", cell, "inference", LEAST, partial(overhead, cell, False)) for cell in CELLS),
        *(Job("overhead", cell, "with gradients", LEAST, partial(overhead, cell, True)) for cell in CELLS),
    ]


class _Packed(nn.Module):
    """torch's layer on rows of unequal length: a padded batch in, a padded batch out."""

    def __init__(self, layer: nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, input: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        output, last = self.layer(pack_padded_sequence(input, self.lengths), state)
        return pad_packed_sequence(output, total_length=input.shape[0])[0], last


class _Ragged(nn.Module):
    """Our layer on the same."""

    def __init__(self, layer: nn.Module, lengths: Tensor) -> None:
        super().__init__()
        self.layer, self.lengths = layer, lengths

    def forward(self, input: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        return self.layer(input, state, lengths=self.lengths)


def lengths(cell: str, shape: Shape, effort: Effort) -> Mapping[str, Times]:
    """Lengths drawn uniformly from T/4 to T; torch gets the rows sorted, as it wants them, and ours as they came."""
    torch.manual_seed(1)
    theirs = getattr(nn, cell)(shape.inputs, shape.hidden)
    ours = getattr(seqloom, cell)(shape.inputs, shape.hidden)
    ours.load_state_dict(theirs.state_dict())
    ends = torch.randint(shape.time // 4, shape.time + 1, (shape.batch,))
    descending, order = ends.sort(descending=True)
    x = torch.randn(shape.time, shape.batch, shape.inputs)
    gradient = torch.randn(shape.time, shape.batch, shape.hidden)
    candidates = {
        "torch": (_Packed(theirs, descending), order),
        "torch dense": (theirs, order),
        "fp32": (_Ragged(ours, ends), slice(None)),
        "fp32 dense": (ours, slice(None)),
    }
    calls, inputs = {}, {}
    for name, (layer, rows) in candidates.items():
        inputs[name] = x[:, rows].clone().requires_grad_()
        calls[name] = training(layer, inputs[name], None, gradient[:, rows].contiguous())
    for each, wanted in (("fp32", "torch"), ("fp32 dense", "torch dense")):
        for name in (each, wanted):
            _call(calls[name])
        in_order = inputs[each].grad[:, order]
        compare(f"{cell} {each}, gradient of the input", in_order, inputs[wanted].grad, 1e-4)
        compare(f"{cell} {each}, gradient of weight_hh", ours.weight_hh_l0.grad, theirs.weight_hh_l0.grad, 1e-4)
    return timed(calls, effort)


def _call(call: Call) -> None:
    if call.before is not None:
        call.before()
    call.run()


def stacked(cell: str, shape: Shape, what: str, bidirectional: bool, effort: Effort) -> Mapping[str, Times]:
    """A layer that reads both ways, or several layers of few rows."""
    torch.manual_seed(1)
    theirs = getattr(nn, cell)(shape.inputs, shape.hidden, shape.layers, bidirectional=bidirectional)
    ours = getattr(seqloom, cell)(shape.inputs, shape.hidden, shape.layers, bidirectional=bidirectional)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape.time, shape.batch, shape.inputs)
    candidates = {"torch": theirs, "fp32": ours}
    if what == "inference":
        with torch.no_grad():
            compare(f"{cell} of layers or directions", ours(x)[0], theirs(x)[0], 1e-4)
            return timed({name: inference(layer, x) for name, layer in candidates.items()}, effort)
    gradient = torch.randn(shape.time, shape.batch, shape.hidden * (1 + bidirectional))
    inputs = {name: x.clone().requires_grad_() for name in candidates}
    calls = {name: training(layer, inputs[name], None, gradient) for name, layer in candidates.items()}
    for call in calls.values():
        _call(call)
    wanted = inputs["torch"].grad
    compare(f"{cell} of layers or directions, gradient of the input", inputs["fp32"].grad, wanted, 1e-4)
    return timed(calls, effort)


def step(cell: str, effort: Effort) -> Mapping[str, Times]:
    """Each call takes the state that the one before it left."""
    torch.manual_seed(1)
    theirs = getattr(nn, cell)(STEP.inputs, STEP.hidden).eval()
    alone = getattr(nn, f"{cell}Cell")(STEP.inputs, STEP.hidden)
    alone.load_state_dict({name.removesuffix("_l0"): weight for name, weight in theirs.state_dict().items()})
    x = torch.randn(1, 1, STEP.inputs)
    steps: dict[str, Callable[[], Any]] = {"torch": _cell(cell, alone, x[0]), "torch layer": _layer(theirs, x)}
    for name, precision in (("fp32", "float32"), ("bf16", "bfloat16")):
        ours = getattr(seqloom, cell)(STEP.inputs, STEP.hidden, precision=precision).eval()
        ours.load_state_dict(theirs.state_dict())
        steps[f"{name} step"], steps[f"{name} layer"] = _step(ours, x[0]), _layer(ours, x)
    if onnx_runtime.available():
        for threads in (1, 2):
            steps[f"onnxruntime {threads}"] = onnx_runtime.step(cell, theirs, x, threads=threads)
    with torch.inference_mode():
        wanted = theirs(x)[0].view(-1)
        for name, once in steps.items():
            compare(f"{cell} {name}", torch.as_tensor(once()).view(-1), wanted, 5e-2 if "bf16" in name else 1e-4)
        return timed({name: Call(once) for name, once in steps.items()}, effort)


def _cell(cell: str, layer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    state: Any = None

    def once() -> Tensor:
        nonlocal state
        state = layer(x, state)
        return state[0] if cell == "LSTM" else state

    return once


def _layer(layer: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    state: Any = None

    def once() -> Tensor:
        nonlocal state
        output, state = layer(x, state)
        return output

    return once


def _step(layer: Any, x: Tensor) -> Callable[[], Tensor]:
    state: Any = None

    def once() -> Tensor:
        nonlocal state
        output, state = layer.step(x, state)
        return output

    return once


def overhead(cell: str, gradients: bool, effort: Effort) -> Mapping[str, Times]:
    """One row, one step, one feature, one unit: the call itself, with or without what autograd records of it."""
    theirs, ours = getattr(nn, cell)(1, 1), getattr(seqloom, cell)(1, 1)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 1, 1)
    with torch.set_grad_enabled(gradients):
        compare(f"{cell}, one step", ours(x)[0], theirs(x)[0], 1e-4)
        return timed({"torch": Call(lambda: theirs(x)), "fp32": Call(lambda: ours(x))}, effort)
