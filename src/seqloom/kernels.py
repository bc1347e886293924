"""Runs a cell over time, the fastest way there is for it here, or else by the cell's own step.

``scan`` is one layer in one direction, ``stack`` is layers and directions. Both check their arguments and ask ``route``
who computes; every route keeps the contract of ``Route``, and the contract tests hold each one to the reference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional

from seqloom import _native
from seqloom.errors import SettingError, ShapeError
from seqloom.shapes import check

__all__ = ["Lengths", "Recurrence", "Route", "Weights", "isa", "reference", "route", "scan", "stack"]

State = tuple[Tensor, ...]
Lengths = Tensor | Sequence[int]
"""The length of each row, [B], integers from 0 to T, in any order."""


class Weights(NamedTuple):
    """The weights of one layer in one direction; rows of gates in the cell's ``gate_order``."""

    ih: Tensor  # [G*H, I]
    hh: Tensor  # [G*H, H]
    bias_ih: Tensor | None = None  # [G*H]
    bias_hh: Tensor | None = None  # [G*H]


class Recurrence(Protocol):
    """What the kernels see of a cell; ``cells.base.Cell`` is one."""

    @property
    def name(self) -> str: ...
    @property
    def gates(self) -> int: ...
    @property
    def states(self) -> tuple[str, ...]: ...
    @property
    def nonlinearity(self) -> str: ...
    def step(
        self,
        input: Tensor,
        state: State,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
    ) -> State: ...


class Route(Protocol):
    """One way to run a cell over time, called with checked arguments.

    Args:
        cell: the cell.
        input: [B, T, I] with T > 0; anything at all, NaN too, where t >= lengths[b].
        state: one [B, H] for each of the cell's states.
        weights: of this layer and direction.
        lengths: int64 [B] on the input's device with at least one length under T, or None: all are T.
        reverse: each row is read from its own last step to its first.

    Returns:
        output: [B, T, H], the first state after each step, in the order of the input; zero where t >= lengths[b].
        state: after the last step of each row (reverse: after its first); as given where the length is 0.
    """

    def __call__(
        self, cell: Recurrence, input: Tensor, state: State, weights: Weights, lengths: Tensor | None, reverse: bool
    ) -> tuple[Tensor, State]: ...


@cache
def isa() -> str:
    """The instruction set that compiled code uses: the machine's best, or the lower one in ``SEQLOOM_ISA``.

    Raises:
        SettingError: ``SEQLOOM_ISA`` names none that this machine supports.
    """
    try:
        return _native.choose_isa(os.environ.get("SEQLOOM_ISA", ""))
    except ValueError as error:
        raise SettingError(str(error), help="unset SEQLOOM_ISA to use the best one") from None


def scan(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Weights,
    lengths: Lengths | None = None,
    reverse: bool = False,
) -> tuple[Tensor, State]:
    """Runs ``cell`` over time: one layer, one direction.

    Args:
        cell: the cell.
        input: [B, T, I]; what stands in it beyond a row's length is never used.
        state: the states before the first step, one [B, H] for each name in ``cell.states``.
        weights: of this layer and direction.
        lengths: the length of each row, in any order; None: all are T.
        reverse: begin each row at its own last step.

    Returns:
        output: [B, T, H], the first state after each step; zero beyond a row's length.
        state: as given, but after the last step of each row.

    Raises:
        ShapeError: an argument has another shape, type or device than said; names it.
    """
    state = _checked(cell, input, state, [weights], directions=1)
    lengths = _ragged(lengths, input)
    return _run(cell, input, state, weights, lengths, reverse)


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
) -> tuple[Tensor, State]:
    """Runs layers of ``cell`` one above the other, in one direction or both.

    Args:
        cell: the cell of every layer.
        input: [B, T, I]; what stands in it beyond a row's length is never used.
        state: the states before the first step, one [L*D, B, H] for each name in ``cell.states``.
        weights: one for each layer and direction: layer 0 forward, layer 0 reverse, layer 1 forward, ...
        lengths: the length of each row, in any order; None: all are T.
        bidirectional: each layer reads both ways; the outputs stand side by side, forward first.
        dropout: the share of outputs set to zero between layers (not after the last one).
        training: whether dropout acts.

    Returns:
        output: [B, T, D*H] of the last layer; zero beyond a row's length.
        state: as given, but after the last step of each row.

    Raises:
        ShapeError: an argument has another shape, type or device than said; names it.
    """
    directions = 2 if bidirectional else 1
    state = _checked(cell, input, state, weights, directions, stacked=True)
    lengths = _ragged(lengths, input)
    if lengths is None and input.shape[1] > 0 and route(cell, input) is _torch_scan:
        return _torch(cell, input, state, weights, bidirectional, dropout, training)
    last: list[State] = []
    for layer in range(0, len(weights), directions):
        if layer > 0 and training and dropout > 0:
            input = functional.dropout(input, dropout)
        outputs = []
        for index in range(layer, layer + directions):
            before = tuple(s[index] for s in state)
            output, after = _run(cell, input, before, weights[index], lengths, reverse=index > layer)
            outputs.append(output)
            last.append(after)
        input = torch.cat(outputs, dim=-1) if bidirectional else outputs[0]  # [B, T, D*H]
    return input, tuple(torch.stack(parts) for parts in zip(*last, strict=True))


def route(cell: Recurrence, input: Tensor) -> Route:
    """Who computes: the one place that chooses."""
    if (cell.name, cell.nonlinearity) in _TORCH:
        return _torch_scan
    return reference


def _run(
    cell: Recurrence, input: Tensor, state: State, weights: Weights, lengths: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """``scan`` with checked arguments: cuts off the steps that no row has, then takes the route."""
    batch, time, _ = input.shape
    longest = time if lengths is None or batch == 0 else int(lengths.max())
    if longest == 0:
        return input.new_zeros(batch, time, weights.hh.shape[1]), state
    output, state = route(cell, input)(cell, input[:, :longest], state, weights, lengths, reverse)
    if longest < time:
        output = functional.pad(output, (0, 0, 0, time - longest))
    return output, state


# --- the reference ----------------------------------------------------------------------------------------------------


def reference(
    cell: Recurrence, input: Tensor, state: State, weights: Weights, lengths: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """The route of the cell's own step: slow, and the judge of all others."""
    time = input.shape[1]
    if lengths is not None:
        active = (_steps(input) < lengths.unsqueeze(1)).unsqueeze(2)  # [B, T, 1]
        input = input.masked_fill(~active, 0)
    outputs = [input.new_empty(0)] * time
    for t in reversed(range(time)) if reverse else range(time):
        after = cell.step(input[:, t], state, *weights)
        outputs[t] = after[0]
        if lengths is not None:
            outputs[t] = after[0].masked_fill(~active[:, t], 0)
            after = tuple(torch.where(active[:, t], new, old) for new, old in zip(after, state, strict=True))
        state = after
    return torch.stack(outputs, dim=1), state


# --- torch's own operators --------------------------------------------------------------------------------------------

_TORCH: dict[tuple[str, str], Callable[..., Any]] = {
    ("elman", "tanh"): torch.rnn_tanh,
    ("elman", "relu"): torch.rnn_relu,
    ("gru", "tanh"): torch.gru,
    ("lstm", "tanh"): torch.lstm,
}

# What is added to each gate on padding. The LSTM's input gate is then exactly 0 and its forget gate exactly 1, so that
# c stays as it was at the row's end; a relu network's state becomes 0 and cannot grow where nobody looks. The numbers
# fit into half precision too.
_ON_PADDING: dict[tuple[str, str], tuple[float, ...]] = {
    ("elman", "relu"): (-6e4,),
    ("lstm", "tanh"): (-1e4, 1e4, 0.0, 0.0),
}


def _torch(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Sequence[Weights],
    bidirectional: bool = False,
    dropout: float = 0.0,
    training: bool = False,
) -> tuple[Tensor, State]:
    """All layers and directions in one call of torch's operator; state is [L*D, B, H] each; rows are all T long."""
    flat = [weight for one in weights for weight in one if weight is not None]
    output, *last = _TORCH[cell.name, cell.nonlinearity](
        input,
        state if len(state) > 1 else state[0],
        flat,
        weights[0].bias_ih is not None,
        len(weights) // (2 if bidirectional else 1),
        dropout,
        training,
        bidirectional,
        True,  # batch first
    )
    return output, tuple(last)


def _torch_scan(
    cell: Recurrence, input: Tensor, state: State, weights: Weights, lengths: Tensor | None, reverse: bool
) -> tuple[Tensor, State]:
    """The route of torch's operators, with dense calls: a packed sequence of unequal lengths takes five times as long.

    Rows run on over their padding, which is cleared first; what comes of it is cut off. The reverse direction begins
    at each row's own end: the valid part of each row is turned around, before and after.
    """
    layer = tuple(s.unsqueeze(0) for s in state)  # [1, B, H]
    if lengths is None:
        output, last = _torch(cell, input.flip(1) if reverse else input, layer, [weights])
        return output.flip(1) if reverse else output, tuple(s.squeeze(0) for s in last)

    padding = (_steps(input) >= lengths.unsqueeze(1)).unsqueeze(2)  # [B, T, 1]
    input = input.masked_fill(padding, 0)
    turned = _turned(input, lengths) if reverse else None
    if turned is not None:
        input = _turn_rows(input, turned)
    if offsets := _ON_PADDING.get((cell.name, cell.nonlinearity)):
        input = torch.cat([input, padding.to(input.dtype)], dim=2)  # [B, T, I+1]
        column = weights.ih.new_tensor(offsets).repeat_interleave(weights.hh.shape[1])
        weights = weights._replace(ih=torch.cat([weights.ih, column.unsqueeze(1)], dim=1))  # [G*H, I+1]
    output, last = _torch(cell, input, layer, [weights])

    end = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, output.shape[2])
    h = output.gather(1, end).squeeze(1)  # [B, H]
    h = torch.where(lengths.unsqueeze(1) > 0, h, state[0].to(h.dtype))
    if turned is not None:
        output = _turn_rows(output, turned)
    return output.masked_fill(padding, 0), (h, *(s.squeeze(0) for s in last[1:]))


def _turned(input: Tensor, lengths: Tensor) -> Tensor:
    """For each element of [B*T] where it goes when the valid part of each row is turned around; its own inverse."""
    steps = _steps(input)
    mirrored = lengths.unsqueeze(1) - 1 - steps  # [B, T], negative on padding
    rows = torch.arange(input.shape[0], device=input.device).unsqueeze(1) * input.shape[1]
    return (rows + torch.where(mirrored >= 0, mirrored, steps)).flatten()


def _turn_rows(input: Tensor, order: Tensor) -> Tensor:
    """Reorders [B, T, F] by an order of [B*T] that is its own inverse."""
    return cast(Tensor, _TurnRows.apply(input, order))  # type: ignore[no-untyped-call]


class _TurnRows(torch.autograd.Function):
    """The gradient is reordered the same way, without the sums that the gradient of any index needs."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return input.flatten(0, 1).index_select(0, order).view_as(input)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return _turn_rows(gradients[0], order), None


def _steps(input: Tensor) -> Tensor:
    return torch.arange(input.shape[1], device=input.device)


# --- checks -----------------------------------------------------------------------------------------------------------


def _checked(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    directions: int,
    stacked: bool = False,
) -> State:
    """Checks all but the lengths, and returns the states in the input's type."""
    first = weights[0]
    sizes = check("input", input, "B T I", I=first.ih.shape[1])
    kind = first.ih.device.type
    mixed = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    hidden = first.hh.shape[1]
    _agree("input", input, first.ih, mixed)
    if len(state) != len(cell.states):
        raise ShapeError(f"state must be {len(cell.states)} tensors ({', '.join(cell.states)}); given {len(state)}")
    for name, each in zip(cell.states, state, strict=True):
        if stacked:
            check(f"state {name}", each, "L*D B H", **{"L*D": len(weights)}, B=sizes["B"], H=hidden)
        else:
            check(f"state {name}", each, "B H", B=sizes["B"], H=hidden)
        _agree(f"state {name}", each, first.ih, mixed)
    rows = {"G*H": cell.gates * hidden}
    for index, one in enumerate(weights):
        check("weight_ih", one.ih, "G*H I", **rows, I=sizes["I"] if index < directions else directions * hidden)
        check("weight_hh", one.hh, "G*H H", **rows, H=hidden)
        if (one.bias_ih is None) != (one.bias_hh is None):
            raise ShapeError("bias_ih and bias_hh must both be given, or neither")
        if one.bias_ih is not None and one.bias_hh is not None:
            check("bias_ih", one.bias_ih, "G*H", **rows)
            check("bias_hh", one.bias_hh, "G*H", **rows)
    return tuple(each.to(input.dtype) for each in state)


def _agree(name: str, array: Tensor, weight: Tensor, mixed: bool) -> None:
    if array.device != weight.device:
        raise ShapeError(f"{name} must be on {weight.device}, where the weights are; given on {array.device}")
    if array.dtype != weight.dtype and not mixed:
        raise ShapeError(f"{name} must be {weight.dtype}, as the weights are; given {array.dtype}")


def _ragged(lengths: Lengths | None, input: Tensor) -> Tensor | None:
    """Checks the lengths; None where all rows are T long."""
    if lengths is None:
        return None
    batch, time, _ = input.shape
    lengths = torch.as_tensor(lengths, device=input.device)
    check("lengths", lengths, "B", B=batch)
    if batch == 0:
        return None
    if lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool:
        raise ShapeError(f"lengths must be integers; given {lengths.dtype}")
    shortest, longest = (int(end) for end in lengths.aminmax())
    if shortest < 0 or longest > time:
        raise ShapeError(f"lengths must be from 0 to T={time}; given from {shortest} to {longest}")
    return None if shortest == time else lengths.to(torch.int64)
