"""``scan`` is one layer in one direction, ``stack`` is layers and directions; ``route`` chooses who computes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import Parameter, functional

from seqloom.errors import ShapeError
from seqloom.kernels.both import compiled_both
from seqloom.kernels.checks import (
    check_lengths,
    check_memory,
    check_options,
    check_resets,
    check_scan,
    check_stack,
    mixed_precision,
)
from seqloom.kernels.compiled import compiled_scan, transformed
from seqloom.kernels.interface import PLAIN, Lengths, Options, Recurrence, Result, Route, State, Weights
from seqloom.kernels.native_torch import torch_scan, torch_stack, torch_takes
from seqloom.kernels.operator import operator_scan
from seqloom.kernels.packed import KINDS
from seqloom.kernels.reference import reference
from seqloom.kernels.short import compiled_stack, short

__all__ = ["route", "scan", "stack"]


def scan(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Weights,
    lengths: Lengths | None = None,
    reverse: bool = False,
    options: Options = PLAIN,
) -> Result:
    """Runs ``cell`` over time: one layer, one direction.

    Args:
        cell: the cell.
        input: [B, T, I]; what stands in it beyond a row's length is never used.
        state: the states before the first step, one [B, H] for each name in ``cell.states``.
        weights: of this layer and direction.
        lengths: the length of each row, in any order; None: all are T.
        reverse: begin each row at its own last step.
        options: what a scan can do beyond torch.

    Returns:
        output: [B, T, H], the first state after each step; zero beyond a row's length.
        state: as given, but after the last step of each row.
        steps: with ``options.all_states`` alone: one [B, T, H] for each name in ``cell.states``, the states after each
            step; zero beyond a row's length.

    Raises:
        ShapeError: an argument has another shape, type or device than said; names it.
        SettingError: an option is out of range.
    """
    before = check_scan(cell, input, state, weights)
    check_options(options, cell, input, weights.hh.shape[1])
    lengths = check_lengths(lengths, input)
    if mixed_precision(input.device) and _widens(cell, weights):
        input, before, (options,) = _widened(input, before, weights, [options])
    return _run(cell, input, before, weights, lengths, reverse, options)


def stack(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    lengths: Lengths | None = None,
    *,
    bidirectional: bool = False,
    dropout: float = 0.0,
    training: bool = False,
    resets: Tensor | None = None,
    options: Sequence[Options] | None = None,
    time_first: bool = False,
) -> Result:
    """Runs layers of ``cell`` one above the other, in one direction or both.

    Args:
        cell: the cell of every layer.
        input: [B, T, I], or [T, B, I] with ``time_first``; what stands in it beyond a row's length is never used.
        state: the states before the first step, one [L*D, B, H] for each name in ``cell.states``.
        weights: one for each layer and direction: layer 0 forward, layer 0 reverse, layer 1 forward, ...
        lengths: the length of each row, in any order; None: all are T.
        bidirectional: each layer reads both ways; the outputs stand side by side, forward first.
        dropout: the share of outputs set to zero between layers (not after the last one).
        training: whether dropout acts.
        resets: bool [B, T], True where a new sequence begins within a row: nothing passes from the steps before it to
            those from it on, in either direction. At a row's first step the state that was given is dropped too.
        options: one for each layer and direction, in the order of the weights; with ``resets``, their ``fresh`` is
            not used. If one of them asks for all states, all are returned.
        time_first: the order of the axes of the input, the output and the steps; of nothing else.

    Returns:
        output: [B, T, D*H] of the last layer (or [T, B, D*H], contiguous); zero beyond a row's length.
        state: as given, but after the last step of each row.
        steps: with ``all_states`` alone: one [L*D, B, T, H] (or [L*D, T, B, H]) for each name in ``cell.states``.

    Raises:
        ShapeError: an argument has another shape, type or device than said; names it.
        SettingError: an option is out of range.
    """
    if lengths is None and resets is None and not bidirectional and not (training and dropout):
        result = short(cell, input, state, weights, options, time_first)
        if result is not None:
            return result
    directions = 2 if bidirectional else 1
    before = check_stack(cell, input, state, weights, directions, time_first)
    lengths = check_lengths(lengths, input, time_first)
    chosen = [PLAIN] * len(weights)
    if resets is not None or options is not None:
        chosen = _options(cell, input, weights, lengths, directions, resets, options, time_first)
    if mixed_precision(input.device) and _widens(cell, weights[0]):
        input, before, chosen = _widened(input, before, weights[0], chosen)
    drop = dropout if training else 0.0
    return _layers(cell, input, before, weights, lengths, directions, drop, chosen, time_first)


def route(
    cell: Recurrence, input: Tensor, state: State = (), weights: Weights | None = None, options: Options = PLAIN
) -> Route:
    """Who computes: the one place that chooses.

    The compiled kernels do what they can: float32 and float64 on the CPU. Else torch's operators do what they can; and
    the reference does the rest, all that torch.func and forward-mode differentiation ask for among it.
    """
    compiling = torch.compiler.is_compiling()
    if not compiling and transformed():
        return reference
    # What is exported so is to be read where there are torch's operators alone.
    exporting = torch.onnx.is_in_onnx_export() if compiling else torch._C._is_tracing()
    if not exporting and _compiled_takes(cell, input, (*state, *(weights or ())), options):
        return operator_scan if compiling or torch._C._len_torch_dispatch_stack() else compiled_scan
    if compiling and input.is_cpu and not exporting:
        return reference  # torch's LSTM in bfloat16 cannot be traced for training
    return torch_scan if torch_takes(cell, options) else reference


def _compiled_takes(cell: Recurrence, input: Tensor, others: tuple[Tensor | None, ...], options: Options) -> bool:
    if (cell.name, cell.nonlinearity) not in KINDS or input.dtype not in _COMPILED_TYPES or not input.is_cpu:
        return False
    mask = options.dropout_mask
    if input.shape[2] == 0 or (mask is not None and mask.requires_grad):
        return False
    return torch.compiler.is_compiling() or all(map(_in_memory, (input, mask, *others)))


def _in_memory(array: Tensor | None) -> bool:
    """Whether the numbers are what lies in memory: no subclass, which may stand for others, and no minus in mind.

    Nor zeros that are known to be nothing else, and so have no memory.

    Raises:
        RuntimeError: torch has taken the memory away.
    """
    if array is None:
        return True
    if type(array) not in _ORDINARY or array.is_neg() or array._is_zerotensor():
        return False
    if array.is_cpu:
        check_memory(array)
    return True


_COMPILED_TYPES = (torch.float32, torch.float64)
_ORDINARY = (Tensor, Parameter)


def _layers(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Sequence[Weights],
    lengths: Tensor | None,
    directions: int,
    dropout: float,
    options: Sequence[Options],
    time_first: bool,
) -> Result:
    """``stack`` with checked arguments: at once where there is a way to, or one layer and direction after the other."""
    if 0 not in input.shape and not options[0].all_states:
        way = route(cell, input, state, weights[0], options[0])
        if way is compiled_scan and len(weights) == 1:
            return compiled_scan(cell, input, state, weights[0], lengths, False, options[0], time_first)
        if way is torch_scan and lengths is None:
            return torch_stack(cell, input, state, weights, directions, dropout, time_first)
        plain = directions == 1 and dropout == 0 and lengths is None and _alike(options)
        if way is compiled_scan and plain and all(route(cell, input, state, one) is way for one in weights[1:]):
            return compiled_stack(cell, input, state, weights, options[0].precision, time_first)
    last: list[State] = []
    steps: list[State] = []
    for layer in range(0, len(weights), directions):
        if layer > 0 and dropout > 0:
            input = functional.dropout(input, dropout)
        of_layer = slice(layer, layer + directions)
        before = [tuple(each[index] for each in state) for index in range(layer, layer + directions)]
        input, after, every = _layer(cell, input, before, weights[of_layer], lengths, options[of_layer], time_first)
        last.extend(after)
        steps.extend(every)
    over_layers = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
    if not steps:
        return input, over_layers
    return input, over_layers, tuple(torch.stack(parts) for parts in zip(*steps, strict=True))


def _alike(options: Sequence[Options]) -> bool:
    """Whether nothing but a precision is asked for, and of all layers the same."""
    return not any(each.beyond_torch or each.precision != options[0].precision for each in options)


def _layer(
    cell: Recurrence,
    input: Tensor,
    states: Sequence[State],
    weights: Sequence[Weights],
    lengths: Tensor | None,
    options: Sequence[Options],
    time_first: bool,
) -> tuple[Tensor, list[State], list[State]]:
    """One layer: the output, [B, T, D*H] or [T, B, D*H]; of each direction the last states, and those of all steps."""
    directions = list(zip(states, weights, options, strict=True))
    compiled = len(directions) == 2 and all(route(cell, input, *each) is compiled_scan for each in directions)
    if compiled and 0 not in input.shape and not any(each.all_states for each in options):
        return *compiled_both(cell, input, states, weights, lengths, options, time_first), []
    outputs: list[Tensor] = []
    last: list[State] = []
    steps: list[State] = []
    for index, (before, one, chosen) in enumerate(directions):
        output, after, *every = _run(cell, input, before, one, lengths, index > 0, chosen, time_first)
        outputs.append(output)
        last.append(after)
        steps.extend(every)
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1), last, steps


def _run(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    reverse: bool,
    options: Options,
    time_first: bool = False,
) -> Result:
    """``scan`` with checked arguments: takes the route, if there is any step."""
    if not torch.compiler.is_compiling() and 0 in input.shape[:2]:
        output, state = _nothing(input, state, weights, batch=input.shape[1 if time_first else 0])
        return (output, state, (output,) * len(state)) if options.all_states else (output, state)
    way = route(cell, input, state, weights, options)
    if not time_first:
        return way(cell, input, state, weights, lengths, reverse, options)
    if way is compiled_scan or way is operator_scan:
        return way(cell, input, state, weights, lengths, reverse, options, time_first)
    output, last, *steps = way(cell, input.transpose(0, 1), state, weights, lengths, reverse, options)
    output = output.transpose(0, 1).contiguous()
    if not steps:
        return output, last
    return output, last, (output, *(each.transpose(0, 1).contiguous() for each in steps[0][1:]))


def _nothing(input: Tensor, state: State, weights: Weights, batch: int) -> tuple[Tensor, State]:
    """What comes of no step. All that was given has a part in it, as in torch: gradients are zeros, and not None."""
    output = input.new_zeros(*input.shape[:2], weights.hh.shape[1])
    if not torch.is_grad_enabled():
        return output, state
    none = [each.flatten()[:0].sum() for each in (input, *state, *weights) if each is not None]
    zero = torch.stack([each.to(output.dtype) for each in none]).sum()
    return output + zero, state if batch else tuple(each + zero for each in state)


# --- options ----------------------------------------------------------------------------------------------------------


def _options(
    cell: Recurrence,
    input: Tensor,
    weights: Sequence[Weights],
    lengths: Tensor | None,
    directions: int,
    resets: Tensor | None,
    options: Sequence[Options] | None,
    time_first: bool,
) -> list[Options]:
    """The options of each layer and direction, checked, with the marks of resets in them."""
    chosen = [PLAIN] * len(weights) if options is None else list(options)
    if len(chosen) != len(weights):
        raise ShapeError(f"options must be {len(weights)}, one for each layer and direction; given {len(chosen)}")
    for each in chosen:
        check_options(each, cell, input, weights[0].hh.shape[1], time_first)
    if any(each.all_states for each in chosen):
        chosen = [each._replace(all_states=True) for each in chosen]
    if resets is not None:
        check_resets(resets, input, time_first)
        fresh = (resets, _seen_from_the_end(resets, lengths))
        chosen = [each._replace(fresh=fresh[index % directions]) for index, each in enumerate(chosen)]
    return chosen


def _seen_from_the_end(resets: Tensor, lengths: Tensor | None) -> Tensor:
    """Where the state is zero before a step that the reverse direction reads: where the next sequence has just ended.

    Never at a row's own last step, which reads the state that was given.
    """
    after = resets[:, 1:]
    if lengths is not None:
        after = after & (torch.arange(1, resets.shape[1], device=resets.device) < lengths.unsqueeze(1))
    return functional.pad(after, (0, 1))  # [B, T]


def _widens(cell: Recurrence, weights: Weights) -> bool:
    """Whether the compiled kernels, which take one type for all arrays, compute under torch.autocast."""
    return (cell.name, cell.nonlinearity) in KINDS and weights.ih.is_cpu and weights.ih.dtype in _COMPILED_TYPES


def _widened(
    input: Tensor, state: State, weights: Weights, options: Sequence[Options]
) -> tuple[Tensor, State, list[Options]]:
    """The arguments under torch.autocast: arrays of the weights' type, and products in bfloat16 if that is its type.

    What comes out is of the weights' type too, as from torch's own GRU (its RNN and LSTM give bfloat16).
    """
    dtype = weights.ih.dtype
    low = torch.get_autocast_dtype("cpu") == torch.bfloat16
    changed = []
    for each in options:
        mask = None if each.dropout_mask is None else each.dropout_mask.to(dtype)
        changed.append(each._replace(dropout_mask=mask, precision="bfloat16" if low else each.precision))
    return input.to(dtype), tuple(each.to(dtype) for each in state), changed
