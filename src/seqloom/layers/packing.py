"""Torch's packed sequences, unpacked and packed again at the price of one copy each, forward and backward.

A PackedSequence holds the steps of several rows without padding: the first step of all rows, then the second step of
all rows that have one, ...; rows stand from the longest to the shortest. In a padded [T, B, F] with its rows in that
order, the valid steps are thus the packed data in the same order, and all there is to do is to leave out the others.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from seqloom.errors import ShapeError

__all__ = ["Layout", "pack", "unpack"]


class Layout(NamedTuple):
    """Where packed steps lie in a padded array."""

    time: int  # T
    batch: int  # B
    lengths: Tensor | None  # int64 [B], from the longest to the shortest; None: all are T
    positions: Tensor | None  # int64 [N], of each packed step in [T*B]; None: where they are

    @staticmethod
    def of(batch_sizes: Tensor, device: torch.device) -> Layout:
        """From how many rows have a first, a second, ... step, [T]."""
        sizes = batch_sizes.tolist()
        time, batch = len(sizes), sizes[0]
        if any(later > size for size, later in pairwise(sizes)):
            raise ShapeError(f"batch_sizes of a PackedSequence must not grow from step to step; given {sizes}")
        if sizes[-1] == batch:
            return Layout(time, batch, None, None)
        valid = torch.arange(batch, device=batch_sizes.device) < batch_sizes.unsqueeze(1)  # [T, B]
        return Layout(time, batch, valid.sum(0).to(device), valid.flatten().nonzero().squeeze(1).to(device))


def unpack(data: Tensor, layout: Layout) -> Tensor:
    """[N, F] to [T, B, F]; what stands beyond a row's length is anything at all."""
    if layout.positions is None:
        return data.view(layout.time, layout.batch, -1)
    return cast(Tensor, _Unpack.apply(data, layout))  # type: ignore[no-untyped-call]


def pack(padded: Tensor, layout: Layout) -> Tensor:
    """[T, B, F] to [N, F]."""
    if layout.positions is None:
        return padded.reshape(layout.time * layout.batch, -1)
    return cast(Tensor, _Pack.apply(padded, layout))  # type: ignore[no-untyped-call]


class _Unpack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, data: Tensor, layout: Layout) -> Tensor:
        ctx.layout = layout
        padded = data.new_zeros(layout.time * layout.batch, data.shape[1])
        assert layout.positions is not None
        return padded.index_copy_(0, layout.positions, data).view(layout.time, layout.batch, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return pack(gradients[0], ctx.layout), None


class _Pack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: Tensor, layout: Layout) -> Tensor:
        ctx.layout = layout
        assert layout.positions is not None
        return padded.flatten(0, 1).index_select(0, layout.positions)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return unpack(gradients[0], ctx.layout), None
