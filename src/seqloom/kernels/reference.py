"""The way of the cell's own step: slow, differentiable any number of times, and the judge of all others."""

from __future__ import annotations

import torch
from torch import Tensor

from seqloom.kernels.interface import PLAIN, Options, Recurrence, Result, State, Weights

__all__ = ["reference"]


def reference(
    cell: Recurrence,
    input: Tensor,
    state: State,
    weights: Weights,
    lengths: Tensor | None,
    reverse: bool,
    options: Options = PLAIN,
) -> Result:
    """Runs any cell on any device with all options, one step of torch's operations at a time; see ``Route``."""
    time = input.shape[1]
    active = None
    if lengths is not None:
        active = (torch.arange(time, device=input.device) < lengths.unsqueeze(1)).unsqueeze(2)  # [B, T, 1]
        input = input.masked_fill(~active, 0)
    steps: list[State] = [()] * time
    for t in reversed(range(time)) if reverse else range(time):
        before = state
        if options.fresh is not None:
            before = tuple(each.masked_fill(options.fresh[:, t, None], 0) for each in before)
        after = _zoned_out(before, _step(cell, input[:, t], before, weights, options.dropout_mask), options, t)
        steps[t] = after
        if active is not None:
            now = active[:, t]  # [B, 1]
            steps[t] = tuple(each.masked_fill(~now, 0) for each in after)
            after = tuple(torch.where(now, new, old) for new, old in zip(after, state, strict=True))
        state = after
    if not options.all_states:
        return torch.stack([each[0] for each in steps], dim=1), state
    over_time = tuple(torch.stack(each, dim=1) for each in zip(*steps, strict=True))
    return over_time[0], state, over_time


def _step(cell: Recurrence, input: Tensor, state: State, weights: Weights, mask: Tensor | None) -> State:
    """One step; with a mask, by W (m * h) = (W diag(m)) h: as if each row of the batch had weights of its own."""
    if mask is None:
        return cell.step(input, state, *weights)

    def alone(input: Tensor, state: State, mask: Tensor) -> State:
        after = cell.step(input.unsqueeze(0), tuple(s.unsqueeze(0) for s in state), *masked(mask))
        return tuple(s.squeeze(0) for s in after)

    def masked(mask: Tensor) -> Weights:
        return weights._replace(hh=weights.hh * mask)

    return torch.vmap(alone)(input, state, mask)


def _zoned_out(before: State, proposed: State, options: Options, t: int) -> State:
    if options.zoneout_marks:
        marks = (each[:, t] for each in options.zoneout_marks)
        return tuple(torch.where(*each) for each in zip(marks, before, proposed, strict=True))
    if options.zoneout:
        parts = zip(options.zoneout, before, proposed, strict=True)
        return tuple(rate * old + (1 - rate) * new if rate else new for rate, old, new in parts)
    return proposed
