"""Keras 3 on JAX running torch's weights, compiled: inference and training.

JAX takes its threads from the processors that the process may use; it has no setting for their number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["available", "inference", "training"]


def available() -> bool:
    """Whether keras and jax are installed."""
    return find_spec("keras") is not None and find_spec("jax") is not None


@cache
def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import keras

    assert keras.backend.backend() == "jax", "keras was imported before with another backend"
    return keras


def inference(cell: str, layer: nn.RNNBase, x: Tensor, threads: int) -> Callable[[], Tensor]:
    """A call that gives the output, [T, B, H]."""
    scan, weights = _model(cell, layer)
    import jax

    run = jax.jit(scan)
    given = _array(x.transpose(0, 1))
    return lambda: _tensor(run(weights, given, None).block_until_ready())


def training(
    cell: str, layer: nn.RNNBase, x: Tensor, state: tuple[Tensor, ...], gradient: Tensor
) -> Callable[[], Tensor]:
    """A call that computes the output and all gradients, and gives that of the input, [T, B, I]."""
    scan, weights = _model(cell, layer)
    import jax

    @jax.jit
    def run(weights: Any, x: Any, states: Any, gradient: Any) -> Any:
        output, backward = jax.vjp(scan, weights, x, states)
        return output, backward(gradient)

    given, upstream = _array(x.transpose(0, 1)), _array(gradient.transpose(0, 1))
    states = [[_array(each[number]) for each in state] for number in range(layer.num_layers)]

    def once() -> Tensor:
        _, (_, d_input, _) = jax.block_until_ready(run(weights, given, states, upstream))
        return _tensor(d_input)

    return once


def _model(cell: str, layer: nn.RNNBase) -> tuple[Callable[..., Any], list[Any]]:
    """The layers as one function of weights, input [B, T, I] and states, and torch's weights for it."""
    keras = _keras()
    kind = {"RNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU, "LSTM": keras.layers.LSTM}[cell]
    stack = [kind(layer.hidden_size, return_sequences=True) for _ in range(layer.num_layers)]
    width = layer.input_size
    for each in stack:
        each.build((None, None, width))
        width = layer.hidden_size

    def scan(weights: Any, x: Any, states: Any) -> Any:
        for number, each in enumerate(stack):
            fixed = [variable.value for variable in each.non_trainable_variables]
            given = {} if states is None else {"initial_state": states[number]}
            x, _ = each.stateless_call(weights[number], fixed, x, **given)
        return x

    return scan, [_weights(cell, layer, number) for number in range(layer.num_layers)]


@torch.no_grad()
def _weights(cell: str, layer: nn.RNNBase, number: int) -> list[Any]:
    """Kernel [I, G*H], recurrent kernel [H, G*H] and bias as Keras has them: GRU z r h, LSTM i f c o."""

    def ordered(name: str) -> Tensor:
        weight = getattr(layer, f"{name}_l{number}")
        if cell != "GRU":
            return weight
        r, z, n = weight.chunk(3)
        return torch.cat([z, r, n])

    bias_ih, bias_hh = ordered("bias_ih"), ordered("bias_hh")
    bias = torch.stack([bias_ih, bias_hh]) if cell == "GRU" else bias_ih + bias_hh
    return [_array(each) for each in (ordered("weight_ih").T, ordered("weight_hh").T, bias)]


def _array(tensor: Tensor) -> Any:
    import jax.numpy

    return jax.numpy.array(tensor.detach().contiguous().numpy(), copy=True)


def _tensor(array: Any) -> Tensor:
    """[B, T, F] of JAX as [T, B, F] of torch, without a copy."""
    return torch.from_dlpack(array).transpose(0, 1)
