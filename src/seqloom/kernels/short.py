"""The short way for plain layers, again and again: what ``stack`` does for it, and nothing besides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqloom._native import Packed
from seqloom.kernels.calls import Given, forward
from seqloom.kernels.compiled import differentiable, requires_grad, transformed
from seqloom.kernels.interface import PLAIN, Options, Recurrence, State, Weights
from seqloom.kernels.packed import KINDS, kept_weights

__all__ = ["plain", "short"]


def short(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    options: Sequence[Options] | None = None,
    time_first: bool = False,
) -> tuple[Tensor, State] | None:
    """Runs layers in one direction, one above the other; None where anything at all is out of the ordinary.

    Then ``stack`` looks again, packs weights that are new, finds another route or words the error.

    Args:
        cell: the cell.
        input: [B, T, I], or [T, B, I] with ``time_first``.
        state: one [L, B, H] for each of the cell's states.
        weights: of each layer.
        options: none, or the layers', where only a precision is asked for.
        time_first: the order of the axes of input and output.

    Returns:
        output: [B, T, H], or [T, B, H].
        state: as given, but after the last step.
    """
    if (
        torch.compiler.is_compiling()
        or transformed()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._is_tracing()
        or torch._C._is_any_autocast_enabled()
    ):
        return None
    precision, layers = PLAIN.precision, len(weights)
    if options is not None:
        if len(options) != layers or any(each.beyond_torch for each in options):
            return None
        precision = options[0].precision
    if layers == 1:
        return _layer(cell, input, state, weights[0], precision, time_first)
    if any(len(each.shape) != 3 or each.shape[0] != layers for each in state):
        return None
    last: list[State] = []
    for layer, one in enumerate(weights):
        result = _layer(cell, input, [each[layer : layer + 1] for each in state], one, precision, time_first)
        if result is None:
            return None
        input, after = result
        last.append(after)
    return input, tuple(map(torch.cat, zip(*last, strict=True)))


def _layer(
    cell: Recurrence, input: Tensor, state: Sequence[Tensor], weights: Weights, precision: str, time_first: bool
) -> tuple[Tensor, State] | None:
    """``short`` for one layer, with states of [1, B, H]."""
    kind, shape = KINDS.get((cell.name, cell.nonlinearity)), input.shape
    if kind is None or len(shape) != 3 or 0 in shape or len(state) != len(cell.states):
        return None
    kept = kept_weights(kind, precision, weights, shape[0] * shape[1], renew=True)
    if kept is None or not _fits(input, kept.dtype) or shape[2] != kept.inputs:
        return None
    if input.stride()[2] != 1 and kept.inputs > 1:
        return None
    before = (1, shape[1] if time_first else shape[0], kept.hidden)
    for each in state:
        if not _fits(each, kept.dtype) or each.shape != before or not each.is_contiguous():
            return None
    output, *after = plain(cell, kept.packed, input, state, weights, time_first)
    return output, tuple(after)


def plain(
    cell: Recurrence, packed: Packed, input: Tensor, state: Sequence[Tensor], weights: Weights, time_first: bool
) -> Sequence[Tensor]:
    """One layer in one direction, all of whose arguments have been looked at: the output, and each state after it.

    Args:
        cell: the cell.
        packed: the weights, packed.
        input: as ``short`` takes it, its features side by side.
        state: one contiguous [1, B, H] for each of the cell's states.
        weights: contiguous.
        time_first: as in ``short``.
    """
    h, c = state[0], state[1] if len(state) > 1 else None
    scan = Given(input, h, c, None, None, None, None, None, 0.0, 0.0, False, time_first)
    if requires_grad(input, h, c, *weights):
        return differentiable(cell, packed, scan, weights, False)
    return forward(packed, scan, False, None)


def _fits(array: Tensor, dtype: torch.dtype) -> bool:
    """Whether it is a tensor of this type, in memory as it seems."""
    return type(array) is Tensor and array.dtype is dtype and array.is_cpu and not array.is_neg()
