"""Both directions of a layer at once by the compiled kernels, with their gradients for torch's autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from seqloom.kernels.calls import Given, backward_both, by_direction, forward_both, given, stash_memory
from seqloom.kernels.compiled import (
    Call,
    by_reference,
    contiguous_weights,
    needs_reference,
    requires_grad,
    save,
    saved,
)
from seqloom.kernels.interface import Options, Recurrence, State, Weights
from seqloom.kernels.packed import KINDS, packed_weights

__all__ = ["compiled_both"]


def compiled_both(
    cell: Recurrence,
    input: Tensor,
    states: Sequence[State],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    options: Sequence[Options],
    time_first: bool = False,
) -> tuple[Tensor, list[State]]:
    """One layer in both directions, forward first: ``compiled_scan`` of each, to the bit, and faster.

    With two or three threads each direction has one of its own, and neither waits for the other; and their outputs are
    written side by side where they belong. There is no way here to all states after each step.

    Returns:
        output: [B, T, 2*H], or [T, B, 2*H] with ``time_first``; contiguous.
        states: of each direction, after its last step.
    """
    calls: list[Call] = []
    sources: list[Tensor | None] = []
    for reverse, (state, one, chosen) in enumerate(zip(states, weights, options, strict=True)):
        scan = given(input, state, lengths, bool(reverse), chosen, time_first)
        input, laid = scan.input, contiguous_weights(one)
        steps = input.shape[0] * input.shape[1]
        packed = packed_weights(KINDS[cell.name, cell.nonlinearity], chosen.precision, laid, steps)
        calls.append(Call(cell, packed, scan, False))
        sources += *scan.sources, *laid
    if requires_grad(*sources):
        output, *after = cast(Sequence[Tensor], _Both.apply(calls, *sources))  # type: ignore[no-untyped-call]
    else:
        output, after = _forward(calls, [None, None])
    count = len(states[0])
    return output, [tuple(after[:count]), tuple(after[count:])]


def _forward(calls: Sequence[Call], stashes: Sequence[Tensor | None]) -> tuple[Tensor, list[Tensor]]:
    return forward_both([call.packed for call in calls], [call.scan for call in calls], stashes)


_SOURCES = 7  # of a direction: the input, two states, four weights
_FIXED = 5  # of a direction: the other tensors


class _Both(torch.autograd.Function):
    """Their second derivatives are those of the reference."""

    @staticmethod
    def forward(ctx: Any, calls: Sequence[Call], *sources: Tensor | None) -> tuple[Tensor, ...]:
        """``sources`` are all that gradients can be asked for, of one direction after the other."""
        stashes = [stash_memory(call.scan.input, call.packed.stash_size(*call.scan.sizes)) for call in calls]
        output, after = _forward(calls, stashes)
        fixed = [each for call in calls for each in call.scan.fixed]
        save(ctx, output, *stashes, *sources, *fixed)
        ctx.others = [(call.cell, call.packed, call.scan.numbers) for call in calls]
        ctx.set_materialize_grads(False)
        return output, *after

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        output, *rest = saved(ctx, output=0)
        stashes, rest = rest[:2], rest[2:]
        calls, weights, wanted = [], [], []
        for n, (cell, packed, numbers) in enumerate(ctx.others):
            sources, fixed = rest[n * _SOURCES :], rest[2 * _SOURCES + n * _FIXED :]
            calls.append(Call(cell, packed, Given(*sources[:3], *fixed[:_FIXED], *numbers), False))
            weights.append(Weights(*sources[3:_SOURCES]))
            wanted.append(ctx.needs_input_grad[1 + n * _SOURCES :][:_SOURCES])
        if needs_reference(incoming):
            each = zip(calls, weights, by_direction(incoming), wanted, strict=True)
            return None, *(found for arguments in each for found in by_reference(*arguments))
        packed, scans = [call.packed for call in calls], [call.scan for call in calls]
        if output is None:
            output = _forward(calls, [None, None])[0]
        first, second = backward_both(packed, scans, weights, output, stashes, incoming, wanted)
        if first[0] is not None and second[0] is not None:
            first[0] += second[0]  # both read the one input; nobody else has seen either sum yet
            second[0] = None
        return None, *first, *second
