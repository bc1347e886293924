"""The ten shapes: RNN, GRU and LSTM, inference and training, everybody in turn."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor, nn

import seqloom
from bench.kernels import keras_jax, onnx_runtime
from bench.kernels.rows import CELLS, Effort, Job, Shape, compare, timed
from seqloom.cli.bench import inference, training
from seqloom.cli.timing import Call, Times

__all__ = ["SHAPES", "jobs", "random_state"]

SHAPES = (
    Shape(64, 200, 128, 256),
    Shape(1000, 50, 1, 32),
    Shape(170, 10, 25, 25, layers=2),
    Shape(51, 20, 42, 100),
    Shape(1, 5, 128, 128),
    Shape(32, 100, 256, 512),
    Shape(1, 1000, 128, 256),
    Shape(64, 50, 500, 500),
    Shape(8, 2000, 256, 256, layers=2),
    Shape(32, 100, 32, 64),
)
QUICK = (SHAPES[2], SHAPES[4])
MOST = {"fp32": 1e-4, "bf16": 5e-2}
"""Relative distance from torch's answer; here only a wrong answer is to be found, the tests ask for far more."""


def jobs(quick: bool) -> list[Job]:
    """One for each shape, cell and pass."""
    return [
        Job("scan", cell, what, shape, partial(measure, cell, shape, what))
        for shape in (QUICK if quick else SHAPES)
        for cell in CELLS
        for what in ("inference", "training")
    ]


def measure(cell: str, shape: Shape, what: str, effort: Effort) -> Mapping[str, Times]:
    """torch in fp32 and bf16, ours in both, and whom else there is."""
    torch.manual_seed(1)
    theirs = getattr(nn, cell)(shape.inputs, shape.hidden, shape.layers)
    layers = {
        "torch": theirs,
        "fp32": getattr(seqloom, cell)(shape.inputs, shape.hidden, shape.layers),
        "bf16": getattr(seqloom, cell)(shape.inputs, shape.hidden, shape.layers, precision="bfloat16"),
    }
    for layer in layers.values():
        layer.load_state_dict(theirs.state_dict())
    layers["torch bf16"] = deepcopy(theirs).to(torch.bfloat16)
    x = torch.randn(shape.time, shape.batch, shape.inputs)
    if what == "inference":
        calls = _inference(cell, layers, x, effort)
    else:
        calls = _training(cell, layers, x, shape)
    with torch.no_grad() if what == "inference" else nullcontext():
        return timed(calls, effort)


@torch.no_grad()
def _inference(cell: str, layers: Mapping[str, nn.Module], x: Tensor, effort: Effort) -> dict[str, Call]:
    theirs = layers["torch"]
    wanted = theirs(x)[0]
    for name, most in MOST.items():
        compare(f"{cell} {name}", layers[name](x)[0], wanted, most)
    calls = {name: inference(layer, x.to(next(layer.parameters()).dtype)) for name, layer in layers.items()}
    for name, other in (("onnxruntime", onnx_runtime), ("keras", keras_jax)):
        if other.available():
            run = other.inference(cell, theirs, x, effort.threads)
            compare(f"{cell} {name}", run(), wanted, MOST["fp32"])
            calls[name] = Call(run)
    return calls


def _training(cell: str, layers: Mapping[str, nn.Module], x: Tensor, shape: Shape) -> dict[str, Call]:
    state = random_state(cell, shape)
    gradient = torch.randn(shape.time, shape.batch, shape.hidden)
    calls: dict[str, Call] = {}
    leaves: dict[str, dict[str, Tensor]] = {}
    for name, layer in layers.items():
        dtype = next(layer.parameters()).dtype
        input, *states = (leaf.to(dtype).clone().requires_grad_() for leaf in (x, *state))
        calls[name] = training(layer, input, tuple(states) if cell == "LSTM" else states[0], gradient.to(dtype))
        leaves[name] = {"input": input, "state": states[0], **dict(layer.named_parameters())}
    for name in ("torch", *MOST):
        calls[name].run()
        for leaf, own in leaves[name].items():
            compare(f"{cell} {name}, gradient of {leaf}", own.grad, leaves["torch"][leaf].grad, MOST.get(name, 0.0))
    if keras_jax.available():
        run = keras_jax.training(cell, layers["torch"], x, state, gradient)
        compare(f"{cell} keras, gradient of input", run(), leaves["torch"]["input"].grad, MOST["fp32"])
        calls["keras"] = Call(run)
    return calls


def random_state(cell: str, shape: Shape) -> tuple[Tensor, ...]:
    """States before the first step, [L, B, H] each."""
    count = 2 if cell == "LSTM" else 1
    return tuple(0.1 * torch.randn(shape.layers, shape.batch, shape.hidden) for _ in range(count))
