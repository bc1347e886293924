"""The short way for plain layers, again and again: what ``stack`` does for it, and nothing besides."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqloom._native import Packed
from seqloom.kernels.calls import Given, forward, given
from seqloom.kernels.checks import has_memory
from seqloom.kernels.compiled import contiguous_weights, differentiable, requires_grad, transformed
from seqloom.kernels.interface import PLAIN, Options, Recurrence, State, Weights
from seqloom.kernels.packed import KINDS, kept_weights, packed_weights
from seqloom.kernels.stacked import differentiable_stack, forward_stack

__all__ = ["compiled_stack", "plain", "short"]


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
    kind, shape = KINDS.get((cell.name, cell.nonlinearity)), input.shape
    if kind is None or len(shape) != 3 or 0 in shape or len(state) != len(cell.states):
        return None
    dtype, width = input.dtype, shape[2]
    hidden: int | None = None
    packed: list[Packed] = []
    for one in weights:
        kept = kept_weights(kind, precision, one, shape[0] * shape[1], renew=True)
        if kept is None or kept.dtype is not dtype or kept.inputs != width or hidden not in (None, kept.hidden):
            return None
        packed.append(kept.packed)
        width = hidden = kept.hidden
    if not _fits(input, dtype) or (input.stride()[2] != 1 and shape[2] > 1):
        return None
    before = (layers, shape[1] if time_first else shape[0], hidden)
    for each in state:
        if not _fits(each, dtype) or each.shape != before or not each.is_contiguous():
            return None
    output, *after = plain(cell, packed, input, state, weights, time_first)
    return output, tuple(after)


def compiled_stack(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Sequence[Weights],
    precision: str,
    time_first: bool = False,
) -> tuple[Tensor, State]:
    """The same for layers that ``stack`` has looked at: laid out, and packed where they are new.

    The graph of the very first call is thus that of all others, as who computes it again for backward relies on.
    """
    scan = given(input, state, None, False, PLAIN, time_first)
    laid, steps = [contiguous_weights(one) for one in weights], input.shape[0] * input.shape[1]
    packed = [packed_weights(KINDS[cell.name, cell.nonlinearity], precision, one, steps) for one in laid]
    output, *after = plain(cell, packed, scan.input, scan.state, laid, time_first)
    return output, tuple(after)


def plain(
    cell: Recurrence,
    packed: Sequence[Packed],
    input: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    time_first: bool,
) -> Sequence[Tensor]:
    """Layers in one direction, all of whose arguments have been looked at: the output, and each state after it.

    Args:
        cell: the cell.
        packed: the weights of each layer, packed.
        input: as ``short`` takes it, its features side by side.
        state: one contiguous [L, B, H] for each of the cell's states.
        weights: of each layer, contiguous.
        time_first: as in ``short``.
    """
    h, c = state[0], state[1] if len(state) > 1 else None
    scan = Given(input, h, c, None, None, None, None, None, 0.0, 0.0, False, time_first)
    gradients = any(requires_grad(*one) for one in weights) or requires_grad(input, h, c)
    if len(packed) > 1:
        return differentiable_stack(cell, packed, scan, weights) if gradients else forward_stack(packed, scan)
    if gradients:
        return differentiable(cell, packed[0], scan, weights[0], False)
    return forward(packed[0], scan, False, None)


def _fits(array: Tensor, dtype: torch.dtype) -> bool:
    """Whether it is a tensor of this type, in memory as it seems."""
    if type(array) is not Tensor or array.dtype is not dtype or not array.is_cpu:
        return False
    return not (array.is_neg() or array._is_zerotensor()) and has_memory(array)
