"""One step of a GRU from few states and few inputs to many outputs: all combinations, without writing them out.

The decoder of the segment model takes one step for every sequence and segment. Its N = B * C states are the same for
all m segments, and its inputs the same for all B windows. So the product with the states is made once and not m times,
that with the inputs not B times; only their sums are made for each of the N * m combinations, one segment at a time.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from seqloom.kernels import Weights

__all__ = ["gru_step_of_all"]


def gru_step_of_all(
    inputs: Tensor, covariates: Tensor | None, state: Tensor, mask: Tensor | None, weights: Weights
) -> Tensor:
    """The GRU's step (see ``cells.gru``) from each state with each input.

    Args:
        inputs: what the GRU reads, [m, C, H], the same for all B.
        covariates: [m, B, H], added to the inputs of all C; or None.
        state: h before the step, [B, C, H].
        mask: factors on the states after the step, [B, C, H], the same for all m; or None.
        weights: of the GRU.

    Returns:
        The states after the step, times the mask, [m, B, C, H]; under torch.autocast in its type.
    """
    sums = functional.linear(inputs, weights.ih, weights.bias_ih)  # [m, C, 3H]
    more = None if covariates is None else functional.linear(covariates, weights.ih)  # [m, B, 3H]
    hidden = functional.linear(state, weights.hh, weights.bias_hh)  # [B, C, 3H]
    given = sums, more, hidden, state, mask, _low(state)
    return cast(Tensor, _Steps.apply(*given))  # type: ignore[no-untyped-call]


def _low(state: Tensor) -> torch.dtype:
    """The type that products read."""
    if state.dtype == torch.float32 and torch.is_autocast_enabled(state.device.type):
        return torch.get_autocast_dtype(state.device.type)
    return state.dtype


class _Steps(torch.autograd.Function):
    """The gates and the new states, [m, B, C, H] in the type of the product that reads them.

    Nothing but the result is kept for the way back: the gates are made again.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, more: Tensor | None, hidden: Tensor, h: Tensor, mask: Tensor | None, low: torch.dtype
    ) -> Tensor:
        inputs, hidden = inputs.to(h.dtype), hidden.to(h.dtype)
        after = h.new_empty((inputs.shape[0], *h.shape), dtype=low)
        gates = _Gates(inputs, more, hidden)
        new = torch.empty_like(h)
        for index in range(inputs.shape[0]):
            rz, n = gates.make(index)
            torch.lerp(n, h, rz[..., h.shape[2] :], out=new)  # (1 - z) * n + z * h
            if mask is not None:
                new.mul_(mask)
            after[index].copy_(new)
        ctx.save_for_backward(inputs, more, hidden, h, mask)
        return after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, incoming: Tensor) -> tuple[Tensor | None, ...]:
        inputs, more, hidden, h, mask = ctx.saved_tensors
        size = h.shape[2]
        gates = _Gates(inputs, more, hidden)
        d_inputs = torch.empty_like(inputs)
        d_more = None if more is None else torch.empty_like(more, dtype=h.dtype)
        d_hidden, d_h = torch.zeros_like(hidden), torch.zeros_like(h)
        d_gates = torch.empty_like(hidden)  # of r, z and n before their activations
        d_r, d_z, d_n = torch.split(d_gates, size, dim=2)
        d_new, work = torch.empty_like(h), torch.empty_like(h)
        for index in range(inputs.shape[0]):
            rz, n = gates.make(index)
            r, z = torch.split(rz, size, dim=2)
            d_new.copy_(incoming[index])
            if mask is not None:
                d_new.mul_(mask)
            torch.sub(h, n, out=work).mul_(d_new)
            torch.ops.aten.sigmoid_backward.grad_input(work, z, grad_input=d_z)
            torch.mul(d_new, z, out=work)
            d_h.add_(work)
            d_new.sub_(work)
            torch.ops.aten.tanh_backward.grad_input(d_new, n, grad_input=d_n)
            torch.mul(d_n, hidden[..., 2 * size :], out=work)
            torch.ops.aten.sigmoid_backward.grad_input(work, r, grad_input=d_r)
            d_hidden[..., : 2 * size].add_(d_gates[..., : 2 * size])
            d_hidden[..., 2 * size :].addcmul_(d_n, r)
            torch.sum(d_gates, dim=0, out=d_inputs[index])
            if d_more is not None:
                torch.sum(d_gates, dim=1, out=d_more[index])
        return d_inputs, d_more, d_hidden, d_h, None, None


class _Gates:
    """The gates of one segment after the other, in memory that is used again."""

    def __init__(self, inputs: Tensor, more: Tensor | None, hidden: Tensor) -> None:
        self.size = hidden.shape[2] // 3
        self.inputs, self.more, self.hidden = inputs, more, hidden
        self.rz = hidden.new_empty((*hidden.shape[:2], 2 * self.size))
        self.n = hidden.new_empty((*hidden.shape[:2], self.size))
        self.minus_one = hidden.new_tensor(-1.0)

    def make(self, index: int) -> tuple[Tensor, Tensor]:
        """r and z beside each other [B, C, 2H], and n [B, C, H]."""
        both, inputs, hidden, rz, n = 2 * self.size, self.inputs[index], self.hidden, self.rz, self.n
        torch.add(hidden[..., :both], inputs[:, :both], out=rz)
        if self.more is not None:
            rz.add_(self.more[index, :, None, :both])
        rz.sigmoid_()
        torch.mul(rz[..., : self.size], hidden[..., both:], out=n)
        n.add_(inputs[:, both:])
        if self.more is not None:
            n.add_(self.more[index, :, None, both:])
        # tanh(x) = 2 sigmoid(2x) - 1: torch's sigmoid takes an eighth of the time of its tanh.
        n.mul_(2).sigmoid_()
        torch.add(self.minus_one, n, alpha=2, out=n)
        return rz, n
