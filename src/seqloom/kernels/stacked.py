"""Plain layers one above the other by the compiled kernels, with their gradients for torch's autograd.

They are one node of its graph: a node for each layer takes as long as a small layer itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from seqloom._native import Packed
from seqloom.kernels.calls import Given, backward, forward, stash_memory
from seqloom.kernels.compiled import (
    copies_of,
    gradients_again,
    needs_reference,
    save,
    saved,
)
from seqloom.kernels.interface import Recurrence, State, Weights
from seqloom.kernels.reference import reference

__all__ = ["differentiable_stack", "forward_stack"]

_WEIGHTS = 4  # of a layer


def differentiable_stack(
    cell: Recurrence, packed: Sequence[Packed], scan: Given, weights: Sequence[Weights]
) -> Sequence[Tensor]:
    """What ``forward_stack`` gives, with gradients: those of the layers one by one, to the bit."""
    call, flat = _Call(cell, packed, scan), [each for one in weights for each in one]
    return cast(Sequence[Tensor], _Stack.apply(call, *scan.sources, *flat))  # type: ignore[no-untyped-call]


def forward_stack(packed: Sequence[Packed], scan: Given) -> list[Tensor]:
    """Runs over time, layer by layer.

    Args:
        packed: the weights of each layer, the lowest first.
        scan: what is read: the input, and states of [L, B, H].

    Returns:
        The output of the last layer, and the states of all after the last step.
    """
    outputs, after = _upwards(packed, scan, [None] * len(packed))
    return [outputs[-1], *after]


def _upwards(
    packed: Sequence[Packed], scan: Given, stashes: Sequence[Tensor | None]
) -> tuple[list[Tensor], list[Tensor]]:
    """The output of each layer, and the states of all after the last step."""
    outputs: list[Tensor] = []
    last: list[list[Tensor]] = []
    input = scan.input
    for layer, (one, stash) in enumerate(zip(packed, stashes, strict=True)):
        input, *after = forward(one, _of_layer(scan, layer, input), False, stash)
        outputs.append(input)
        last.append(after)
    return outputs, [torch.cat(parts) for parts in zip(*last, strict=True)]


def _of_layer(scan: Given, layer: int, input: Tensor) -> Given:
    c = None if scan.c is None else scan.c[layer : layer + 1]
    return scan._replace(input=input, h=scan.h[layer : layer + 1], c=c)


class _Call(NamedTuple):
    """A scan of layers in one direction; its states are [L, B, H]."""

    cell: Recurrence
    packed: Sequence[Packed]
    scan: Given


class _Stack(torch.autograd.Function):
    """Layers one above the other. Their second derivatives are those of the reference."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *sources: Tensor | None) -> tuple[Tensor, ...]:
        """``sources`` are all that gradients can be asked for: the input, two states, four weights of each layer."""
        cell, packed, scan = call
        sizes = scan.sizes
        stashes = [stash_memory(scan.input, one.stash_size(*sizes)) for one in packed]
        outputs, after = _upwards(packed, scan, stashes)
        save(ctx, *outputs, *stashes, *sources)
        ctx.others = cell, packed, (*scan.fixed, *scan.numbers)
        ctx.set_materialize_grads(False)
        return outputs[-1], *after

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        cell, packed, others = ctx.others
        layers = len(packed)
        found = saved(ctx, output=layers - 1)
        outputs, stashes, sources = found[:layers], found[layers : 2 * layers], found[2 * layers :]
        scan, flat = Given(*sources[:3], *others), sources[3:]
        weights = [Weights(*flat[first : first + _WEIGHTS]) for first in range(0, len(flat), _WEIGHTS)]
        wanted = ctx.needs_input_grad[1:]
        if needs_reference(incoming):
            return None, *_by_reference(_Call(cell, packed, scan), sources, incoming, wanted)
        if outputs[-1] is None:
            outputs = _upwards(packed, scan, [None] * layers)[0]
        return None, *_downwards(packed, scan, weights, outputs, stashes, incoming, wanted)


def _downwards(
    packed: Sequence[Packed],
    scan: Given,
    weights: Sequence[Weights],
    outputs: Sequence[Tensor],
    stashes: Sequence[Tensor],
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:
    """The gradients that are wanted, in the order of the node's sources; None for the others."""
    d_output, *d_after = incoming
    of_input, *of_states = wanted[:3]
    found: list[list[Tensor | None]] = [[None] * (2 + _WEIGHTS) for _ in packed]  # of two states and the weights
    for layer in reversed(range(len(packed))):
        first = 3 + layer * _WEIGHTS
        below = of_input if layer == 0 else any(of_states) or of_input or any(wanted[3:first])
        of_own = (below, *of_states, *wanted[first : first + _WEIGHTS])
        if not any(of_own):  # nor is anything of the layers below
            break
        own = _of_layer(scan, layer, scan.input if layer == 0 else outputs[layer - 1])
        d_own = (d_output, *(None if each is None else each[layer : layer + 1] for each in d_after))
        d_output, *found[layer] = backward(
            packed[layer], own, weights[layer], outputs[layer], stashes[layer], d_own, of_own
        )
    d_states = [_together([of_layer[n] for of_layer in found]) for n in range(2)]
    return [d_output, *d_states, *(each for of_layer in found for each in of_layer[2:])]


def _together(parts: list[Tensor | None]) -> Tensor | None:
    there = [each for each in parts if each is not None]
    return torch.cat(there) if there else None


def _by_reference(
    call: _Call, sources: Sequence[Tensor | None], incoming: tuple[Tensor | None, ...], wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    """The gradients as ``_downwards`` has them, but computed so that they can be differentiated again."""
    layers, time_first, again = len(call.packed), call.scan.time_first, torch.is_grad_enabled()
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        copies = copies_of(sources)
        input, h, c, *flat = cast(list[Tensor], copies)
        output = input.transpose(0, 1) if time_first else input
        last: list[State] = []
        for layer in range(layers):
            before = (h[layer],) if c is None else (h[layer], c[layer])
            one = Weights(*flat[layer * _WEIGHTS : (layer + 1) * _WEIGHTS])
            output, after = reference(call.cell, output, before, one, None, False)[:2]
            last.append(after)
        output = output.transpose(0, 1) if time_first else output
        computed = (output, *(torch.stack(parts) for parts in zip(*last, strict=True)))
        return gradients_again(computed, copies, incoming, wanted, again)
