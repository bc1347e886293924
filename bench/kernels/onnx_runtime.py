"""onnxruntime running torch's weights: inference only."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["available", "inference", "step"]

ORDER = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 3, 1, 2)}
"""torch's gates in ONNX's order: GRU z r h, LSTM i o f c (https://onnx.ai/onnx/operators/, version 14)."""
STATES = {"RNN": ("h",), "GRU": ("h",), "LSTM": ("h", "c")}


def available() -> bool:
    """Whether onnx and onnxruntime are installed."""
    return find_spec("onnx") is not None and find_spec("onnxruntime") is not None


def inference(cell: str, layer: nn.RNNBase, x: Tensor, threads: int) -> Callable[[], Tensor]:
    """A call that gives the output, [T, B, H]."""
    run = _session(cell, layer, threads, with_state=False, spin_on=False)
    given = {"x": x.numpy()}
    return lambda: torch.from_numpy(run.run(["y"], given)[0])


def step(cell: str, layer: nn.RNNBase, x: Tensor, threads: int) -> Callable[[], Any]:
    """A call that takes one step of a stream: the state goes in, and comes out for the next call.

    Args:
        cell: RNN, GRU or LSTM.
        layer: torch's layer, one layer.
        x: [1, B, I].
        threads: of the session; they spin on between two calls, as they do by default, and disturb whoever else is
            timed while the session lives.
    """
    import numpy as np

    run = _session(cell, layer, threads, with_state=True, spin_on=True)
    names = ["y", *(f"{state}_after" for state in STATES[cell])]
    given = {"x": x.numpy()}
    given |= {state: np.zeros((1, x.shape[1], layer.hidden_size), np.float32) for state in STATES[cell]}

    def once() -> Any:
        output, *after = run.run(names, given)
        given.update(zip(STATES[cell], after, strict=True))
        return output

    return once


def _session(cell: str, layer: nn.RNNBase, threads: int, *, with_state: bool, spin_on: bool) -> Any:
    """A session of the layers; with ``with_state`` of a single one whose states go in and out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if not spin_on:  # within a run its threads spin all the same
        options.add_session_config_entry("session.force_spinning_stop", "1")
    model = _model(cell, layer, with_state).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _model(cell: str, layer: nn.RNNBase, with_state: bool) -> Any:
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes, weights = [], [numpy_helper.from_array(torch.tensor([1]).numpy(), "direction_axis")]
    states = STATES[cell] if with_state else ()
    value = "x"
    for number in range(layer.num_layers):
        names = [f"{kind}{number}" for kind in ("W", "R", "B")]
        arrays = (tensor.numpy() for tensor in _weights(cell, layer, number))
        weights += [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)]
        extra = {"linear_before_reset": 1} if cell == "GRU" else {}
        inputs = [value, *names, "", *states]
        outputs = [f"scan{number}", *(f"{state}_after" for state in states)]
        value = "y" if number == layer.num_layers - 1 else f"y{number}"
        nodes.append(helper.make_node(cell, inputs, outputs, hidden_size=layer.hidden_size, **extra))
        nodes.append(helper.make_node("Squeeze", [f"scan{number}", "direction_axis"], [value]))  # [T, D=1, B, H]

    def tensor(name: str, axes: list[str | int]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)

    given = [tensor("x", ["T", "B", layer.input_size])]
    given += [tensor(state, [1, "B", layer.hidden_size]) for state in states]
    taken = [tensor("y", ["T", "B", layer.hidden_size])]
    taken += [tensor(f"{state}_after", [1, "B", layer.hidden_size]) for state in states]
    graph = helper.make_graph(nodes, cell, given, taken, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model)
    return model


@torch.no_grad()
def _weights(cell: str, layer: nn.RNNBase, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """W [1, G*H, I], R [1, G*H, H] and B [1, 2*G*H], gates in ONNX's order."""

    def ordered(name: str) -> Tensor:
        gates = getattr(layer, f"{name}_l{number}").chunk(len(ORDER[cell]))
        return torch.cat([gates[index] for index in ORDER[cell]])

    bias = torch.cat([ordered("bias_ih"), ordered("bias_hh")])
    return ordered("weight_ih")[None], ordered("weight_hh")[None], bias[None]
