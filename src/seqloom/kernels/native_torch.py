"""The way of torch's own operators: cuDNN on CUDA, and the types that compiled code has not.

An operator takes dense rows; a packed sequence of unequal lengths would take five times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from seqloom.kernels.interface import PLAIN, Options, Recurrence, Result, State, Weights

__all__ = ["torch_scan", "torch_stack", "torch_takes"]

_OPERATORS: dict[tuple[str, str], Callable[..., Any]] = {
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


def torch_takes(cell: Recurrence, options: Options = PLAIN) -> bool:
    """Whether torch has an operator for this cell that gives all that is wanted."""
    if len(cell.states) == 1:  # the output is the state after each step
        options = options._replace(all_states=False)
    return (cell.name, cell.nonlinearity) in _OPERATORS and not options.beyond_torch


def torch_stack(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Sequence[Weights],
    directions: int = 1,
    dropout: float = 0.0,
    time_first: bool = False,
) -> tuple[Tensor, State]:
    """All layers and directions in one call of torch's operator; state is [L*D, B, H] each; rows are all T long."""
    flat = [weight for one in weights for weight in one if weight is not None]
    output, *last = _OPERATORS[cell.name, cell.nonlinearity](
        input,
        state if len(state) > 1 else state[0],
        flat,
        weights[0].bias_ih is not None,
        len(weights) // directions,
        dropout,
        dropout > 0 or (input.is_cuda and torch.is_grad_enabled()),  # cuDNN keeps in training what backward needs
        directions == 2,
        not time_first,
    )
    return output, tuple(last)


def torch_scan(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    reverse: bool,
    options: Options = PLAIN,
) -> Result:
    """One layer in one direction; see ``Route``. Steps that no row has are cut off, or else run and masked."""
    time, longest = input.shape[1], input.shape[1]
    if lengths is None:
        output, state = _dense(cell, input, state, weights, reverse)
    else:
        if not torch.compiler.is_compiling() and not torch._C._is_tracing():
            longest = max(1, int(lengths.max()))
        output, state = _padded(cell, input[:, :longest], state, weights, lengths, reverse)
    if longest < time:
        output = functional.pad(output, (0, 0, 0, time - longest))
    return (output, state, (output,)) if options.all_states else (output, state)


def _dense(cell: Recurrence, input: Tensor, state: State, weights: Weights, reverse: bool) -> tuple[Tensor, State]:
    layer = tuple(s.unsqueeze(0) for s in state)  # [1, B, H]
    output, last = torch_stack(cell, input.flip(1) if reverse else input, layer, [weights])
    return output.flip(1) if reverse else output, tuple(s.squeeze(0) for s in last)


def _padded(
    cell: Recurrence, input: Tensor, state: State, weights: Weights, lengths: Tensor, reverse: bool
) -> tuple[Tensor, State]:
    """Rows run on over their padding, which is cleared first; what comes of it is cut off.

    The reverse direction begins at each row's own end: the valid part of each row is turned around, before and after.
    """
    padding = (_steps(input) >= lengths.unsqueeze(1)).unsqueeze(2)  # [B, T, 1]
    input = input.masked_fill(padding, 0)
    turned = _turned(input, lengths) if reverse else None
    if turned is not None:
        input = _turn_rows(input, turned)
    if offsets := _ON_PADDING.get((cell.name, cell.nonlinearity)):
        input = torch.cat([input, padding.to(input.dtype)], dim=2)  # [B, T, I+1]
        column = weights.ih.new_tensor(offsets).repeat_interleave(weights.hh.shape[1])
        weights = weights._replace(ih=torch.cat([weights.ih, column.unsqueeze(1)], dim=1))  # [G*H, I+1]
    output, last = _dense(cell, input, state, weights, reverse=False)

    end = (lengths - 1).clamp(min=0).view(-1, 1, 1).expand(-1, 1, output.shape[2])
    h = output.gather(1, end).squeeze(1)  # [B, H]
    h = torch.where(lengths.unsqueeze(1) > 0, h, state[0].to(h.dtype))
    if turned is not None:
        output = _turn_rows(output, turned)
    return output.masked_fill(padding, 0), (h, *last[1:])


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
