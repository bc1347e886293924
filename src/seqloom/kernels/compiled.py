"""The way of the compiled kernels, with their gradients for torch's autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad

from seqloom._native import Packed
from seqloom.kernels.calls import Given, backward, contiguous, forward, given, stash_memory
from seqloom.kernels.interface import PLAIN, Options, Recurrence, Result, State, Weights
from seqloom.kernels.packed import KINDS, packed_weights
from seqloom.kernels.reference import reference

__all__ = [
    "Call",
    "by_reference",
    "compiled_scan",
    "contiguous_weights",
    "copies_of",
    "differentiable",
    "gradients_again",
    "needs_reference",
    "requires_grad",
    "save",
    "saved",
    "transformed",
]


def compiled_scan(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    reverse: bool,
    options: Options = PLAIN,
    time_first: bool = False,
) -> Result:
    """One layer in one direction; see ``Route``.

    The states may also be [1, B, H], and are then given back so. With ``time_first`` the input is [T, B, I], and so are
    the axes of the output and of the states after each step.

    The output, the states and the gradients of input and states depend neither on the number of threads nor on the
    other rows of the batch, to the bit. The gradients of weights and biases are sums over rows and steps, whose order,
    and so whose last bits, may depend on both.
    """
    scan = given(input, state, lengths, reverse, options, time_first)
    weights = contiguous_weights(weights)
    steps = input.shape[0] * input.shape[1]
    packed = packed_weights(KINDS[cell.name, cell.nonlinearity], options.precision, weights, steps)
    all_steps = options.all_states and len(state) > 1
    if requires_grad(input, *state, *weights):
        computed = differentiable(cell, packed, scan, weights, all_steps)
    else:
        computed = forward(packed, scan, all_steps, None)
    output, after = computed[0], tuple(computed[1 : 1 + len(state)])
    if not options.all_states:
        return output, after
    return output, after, (output, *computed[1 + len(state) :])


def differentiable(
    cell: Recurrence, packed: Packed, scan: Given, weights: Weights, all_steps: bool
) -> Sequence[Tensor]:
    """What ``calls.forward`` gives, with gradients."""
    call = Call(cell, packed, scan, all_steps)
    return cast(Sequence[Tensor], _Scan.apply(call, *scan.sources, *weights))  # type: ignore[no-untyped-call]


def requires_grad(*arrays: Tensor | None) -> bool:
    """Whether gradients will be asked for."""
    if not torch.is_grad_enabled() or not any(each is not None and each.requires_grad for each in arrays):
        return False
    # In inference mode nothing is kept for gradients, whatever else is said; a tracer cannot ask, and is not in it.
    return torch.compiler.is_compiling() or not torch.is_inference_mode_enabled()


def contiguous_weights(weights: Weights) -> Weights:
    ih, hh, bias_ih, bias_hh = weights
    if bias_ih is None or bias_hh is None:
        return Weights(contiguous(ih), contiguous(hh))
    return Weights(contiguous(ih), contiguous(hh), contiguous(bias_ih), contiguous(bias_hh))


def transformed() -> bool:
    """Whether torch.func or forward-mode differentiation is at work: its tensors stand for others."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def save(ctx: Any, *tensors: Tensor | None) -> None:
    """Keeps tensors for backward, and notes how they lie."""
    ctx.save_for_backward(*tensors)
    ctx.noted = [None if each is None else (each.shape, each.dtype, each.stride()) for each in tensors]


def saved(ctx: Any, output: int) -> list[Any]:
    """What was saved, as it lay; None in the place of the output where it has been changed in place since.

    Torch's RNN and GRU keep a copy of theirs. Here it is rather computed again, in the rare case.

    Raises:
        RuntimeError: something else has been changed. Of ``x.data = y`` torch knows nothing; here memory is read.
    """
    found = list(_unpacked(ctx, output))
    for n, (each, noted) in enumerate(zip(found, ctx.noted, strict=True)):
        if each is None or (each.shape, each.dtype, each.stride()) == noted:
            continue
        if (each.shape, each.dtype) != noted[:2]:
            now, then = f"{each.dtype} {list(each.shape)}", f"{noted[1]} {list(noted[0])}"
            raise RuntimeError(f"a tensor that backward reads is {now} now; it was {then} in forward")
        found[n] = each.contiguous()  # as hooks of saved tensors may give it back
    return found


def _unpacked(ctx: Any, output: int) -> tuple[Any, ...]:
    try:
        return cast(tuple[Any, ...], ctx.saved_tensors)
    except RuntimeError as error:
        changed = "modified by an inplace operation" in str(error)
        if not changed or not hasattr(torch._C._autograd.SavedTensor, "unpack"):  # an older torch has not
            raise
    raw = ctx._raw_saved_tensors
    output %= len(raw)
    return tuple(None if n == output else each.unpack() for n, each in enumerate(raw))


def needs_reference(incoming: tuple[Tensor | None, ...]) -> bool:
    """Whether gradients are to be differentiated again, or come many at once, as in a vectorised Jacobian."""
    if torch.is_grad_enabled() or transformed():
        return True
    return any(each is not None and torch._C._functorch.is_legacy_batchedtensor(each) for each in incoming)


class Call(NamedTuple):
    """One scan of one layer in one direction."""

    cell: Recurrence
    packed: Packed
    scan: Given
    all_steps: bool


class _Scan(torch.autograd.Function):
    """One layer in one direction. Its second derivatives are those of the reference."""

    @staticmethod
    def forward(ctx: Any, call: Call, *sources: Tensor | None) -> tuple[Tensor, ...]:
        """``sources`` are all that gradients can be asked for: the input, two states, four weights."""
        cell, packed, scan, all_steps = call
        stash = stash_memory(scan.input, packed.stash_size(*scan.sizes))
        computed = forward(packed, scan, all_steps, stash)
        save(ctx, *sources, *scan.fixed, computed[0], stash)
        ctx.others = cell, packed, scan.numbers, all_steps
        ctx.set_materialize_grads(False)
        return tuple(computed)

    @staticmethod
    def backward(ctx: Any, *incoming: Tensor | None) -> tuple[Tensor | None, ...]:
        input, h, c, ih, hh, bias_ih, bias_hh, *fixed, output, stash = saved(ctx, output=-2)
        cell, packed, numbers, all_steps = ctx.others
        scan, weights = Given(input, h, c, *fixed, *numbers), Weights(ih, hh, bias_ih, bias_hh)
        wanted = ctx.needs_input_grad[1:]
        if needs_reference(incoming):
            return None, *by_reference(Call(cell, packed, scan, all_steps), weights, incoming, wanted)
        if output is None:
            output = forward(packed, scan, all_steps, None)[0]
        return None, *backward(packed, scan, weights, output, stash, incoming, wanted)


def by_reference(
    call: Call, weights: Weights, incoming: tuple[Tensor | None, ...], wanted: tuple[bool, ...]
) -> list[Tensor | None]:
    """The gradients as ``backward`` has them, but computed so that they can be differentiated again."""
    scan, again = call.scan, torch.is_grad_enabled()
    marks = tuple(each for each in (scan.marks_0, scan.marks_1) if each is not None)
    rates = (scan.rate_0, scan.rate_1)[: len(scan.state)]
    options = Options(scan.fresh, scan.mask, rates, marks, call.all_steps)
    with torch.enable_grad(), torch.autocast("cpu", enabled=False):
        copies = copies_of((*scan.sources, *weights))
        input, h, c, *rest = cast(list[Tensor], copies)
        if scan.time_first:
            input = input.transpose(0, 1)
        before = tuple(each.view(h.shape[-2:]) for each in (h, c)[: len(scan.state)])
        output, after, *steps = reference(call.cell, input, before, Weights(*rest), scan.lengths, scan.reverse, options)
        over_time = [output, *(steps[0][1:] if steps else ())]
        if scan.time_first:
            over_time = [each.transpose(0, 1) for each in over_time]
        computed = (over_time[0], *(each.view(h.shape) for each in after), *over_time[1:])
        return gradients_again(computed, copies, incoming, wanted, again)


def copies_of(sources: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Each in a place of its own, should one tensor be given in several."""
    return [None if each is None else each.view_as(each) for each in sources]


def gradients_again(
    computed: Sequence[Tensor],
    sources: Sequence[Tensor | None],
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
    again: bool,
) -> list[Tensor | None]:
    """The gradients that are wanted of the sources, by torch, which computed; ``again``: with a graph of their own."""
    pairs = [(each, d_each) for each, d_each in zip(computed, incoming, strict=True) if d_each is not None]
    leaves = [each for each, want in zip(sources, wanted, strict=True) if want and each is not None]
    if not pairs or not leaves:
        return [None for _ in wanted]
    outputs, d_outputs = zip(*pairs, strict=True)
    gradients = iter(torch.autograd.grad(outputs, leaves, d_outputs, create_graph=again, allow_unused=True))
    return [next(gradients) if want else None for want in wanted]
