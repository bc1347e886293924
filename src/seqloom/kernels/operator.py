"""The compiled kernels as an operator of torch's, ``seqloom::scan``: for torch.compile and torch.export.

They trace it as one opaque node. While they do there are no values to look at: checks of lengths, and sizes of 0, wait
for the run. It can be differentiated once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqloom.kernels.calls import Given, backward, forward, given, sequence, stash_memory
from seqloom.kernels.checks import check_values
from seqloom.kernels.compiled import contiguous_weights, requires_grad
from seqloom.kernels.interface import PLAIN, Options, Recurrence, Result, State, Weights
from seqloom.kernels.packed import KINDS, packed_weights, stash_size

__all__ = ["operator_scan"]


def operator_scan(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    reverse: bool,
    options: Options = PLAIN,
    time_first: bool = False,
) -> Result:
    """One layer in one direction; see ``compiled_scan``. Sizes of 0 are allowed."""
    scan = given(input, state, lengths, reverse, options, time_first)
    weights = contiguous_weights(weights)
    all_steps = options.all_states and len(state) > 1
    arguments = (KINDS[cell.name, cell.nonlinearity], options.precision, all_steps, *weights, *scan)
    computed = torch.ops.seqloom.scan(*arguments, requires_grad(input, *state, *weights))
    output, after = computed[0], tuple(computed[1 : 1 + len(state)])
    if not options.all_states:
        return output, after
    return output, after, (output, *computed[1 + len(state) : 1 + len(state) + all_steps])


# The arguments that forward and backward have in common: those of _Call, with Weights and Given laid open.
_CALL = (
    "str kind, str precision, bool all_steps, Tensor ih, Tensor hh, Tensor? bias_ih, Tensor? bias_hh, Tensor input, "
    "Tensor h, Tensor? c, Tensor? lengths, Tensor? fresh, Tensor? mask, Tensor? marks_0, Tensor? marks_1, "
    "float rate_0, float rate_1, bool reverse, bool time_first"
)
_SIZE = 3 + 4 + 12


class _Call(NamedTuple):
    kind: str
    precision: str
    all_steps: bool
    weights: Weights
    scan: Given

    @classmethod
    def of(cls, arguments: tuple[Any, ...]) -> _Call:
        kind, precision, all_steps = arguments[:3]
        return cls(kind, precision, all_steps, Weights(*arguments[3:7]), Given(*arguments[7:_SIZE]))

    @property
    def steps(self) -> int:
        """B * T."""
        return self.scan.input.shape[0] * self.scan.input.shape[1]

    def sources(self, wanted: list[bool]) -> list[Tensor]:
        """What gradients are wanted of."""
        places = (*self.scan.sources, *self.weights)
        return [each for each, want in zip(places, wanted, strict=True) if want and isinstance(each, Tensor)]

    def outputs(self, after: list[Tensor], keep: bool) -> list[Tensor]:
        """What the operator gives, with these last states; the rest of it holds nothing yet."""
        output, *steps = (sequence(self.scan.input, self.weights.hh.shape[1]) for _ in range(1 + self.all_steps))
        return [output, *after, *steps, *([self.stash()] if keep else [])]

    def check(self, output: Tensor, stash: Tensor | None) -> None:
        """Raises a RuntimeError where what backward reads does not fit together: ``x.data = y`` torch does not see."""
        input, (ih, hh, *_), hidden = self.scan.input, self.weights, output.shape[2]
        fit = input.shape[:2] == output.shape[:2] and (ih.shape[1], hh.shape[1]) == (input.shape[2], hidden)
        fit = fit and ih.shape[0] == hh.shape[0] and all(each.dtype == output.dtype for each in (input, ih, hh))
        if not fit or (stash is not None and stash.numel() != self.stash_numbers()):
            raise RuntimeError("a tensor that backward reads has another shape or type than in forward")

    def stash(self) -> Tensor:
        return stash_memory(self.scan.input, self.stash_numbers())

    def stash_numbers(self) -> int:
        hidden = int(self.weights.hh.shape[1])
        return self.steps * stash_size(self.kind, self.precision, self.scan.input.dtype, hidden)


@torch.library.custom_op("seqloom::scan", mutates_args=(), schema=f"({_CALL}, bool keep) -> Tensor[]")
def _scan(*arguments: Any) -> list[Tensor]:
    """As ``forward`` in calls.py; with ``keep``, the last thing that comes is the stash."""
    call, keep = _Call.of(arguments), arguments[_SIZE]
    if call.steps == 0:
        return call.outputs([each.clone() for each in call.scan.state], keep)
    if call.scan.lengths is not None:
        check_values(call.scan.lengths, *call.scan.sizes)
    packed = packed_weights(call.kind, call.precision, call.weights, call.steps)
    stash = [call.stash()] if keep else []
    return forward(packed, call.scan, call.all_steps, stash[0] if keep else None) + stash


@_scan.register_fake
def _(*arguments: Any) -> list[Tensor]:
    call, keep = _Call.of(arguments), arguments[_SIZE]
    return call.outputs([torch.empty_like(each) for each in call.scan.state], keep)


@torch.library.custom_op(
    "seqloom::scan_backward",
    mutates_args=(),
    schema=f"({_CALL}, Tensor output, Tensor? stash, Tensor?[] incoming, bool[] wanted) -> Tensor[]",
)
def _scan_backward(*arguments: Any) -> list[Tensor]:
    """As ``backward`` in calls.py, but only the gradients that are wanted; without a stash it runs forward again."""
    call, (output, stash, incoming, wanted) = _Call.of(arguments), arguments[_SIZE:]
    if call.steps == 0:
        states = {1: incoming[1], 2: incoming[2] if len(call.scan.state) > 1 else None}  # they pass through
        zeros = [torch.zeros_like(each) for each in call.sources(wanted)]
        places = [place for place, want in enumerate(wanted) if want]
        return [zero if states.get(n) is None else states[n].clone() for n, zero in zip(places, zeros, strict=True)]
    call.check(output, stash)
    packed = packed_weights(call.kind, call.precision, call.weights, call.steps)
    if stash is None:
        stash = call.stash()
        output = forward(packed, call.scan, False, stash)[0]
    found = backward(packed, call.scan, call.weights, output, stash, tuple(incoming), tuple(wanted))
    return [each for each in found if each is not None]


@_scan_backward.register_fake
def _(*arguments: Any) -> list[Tensor]:
    call, wanted = _Call.of(arguments), arguments[-1]
    gradients = [torch.empty_like(each) for each in call.sources(wanted)]
    return [sequence(call.scan.input, call.scan.input.shape[2]), *gradients[1:]] if wanted[0] else gradients


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    stash = output[-1] if inputs[_SIZE] else None
    if stash is not None:
        ctx.mark_non_differentiable(stash)
    ctx.set_materialize_grads(False)
    ctx.others = tuple(None if isinstance(each, Tensor) else each for each in inputs[:_SIZE])
    ctx.save_for_backward(*(each if isinstance(each, Tensor) else None for each in inputs[:_SIZE]), output[0], stash)


def _differentiate(ctx: Any, incoming: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    *tensors, output, stash = ctx.saved_tensors
    arguments = tuple(a if b is None else b for a, b in zip(tensors, ctx.others, strict=True))
    call = _Call.of(arguments)
    needed = ctx.needs_input_grad
    wanted = [*needed[7:10], *needed[3:7]]  # in the order of backward
    computed = incoming[: 1 + len(call.scan.state) + call.all_steps]
    found = iter(torch.ops.seqloom.scan_backward(*arguments, output, stash, computed, wanted))
    sources, weights = ([next(found) if want else None for want in part] for part in (wanted[:3], wanted[3:]))
    return None, None, None, *weights, *sources, *(None,) * (_SIZE - 10), None


_scan.register_autograd(_differentiate, setup_context=_save)
