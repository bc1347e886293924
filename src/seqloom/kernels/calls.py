"""Calls of the compiled kernels: arrays laid out as they want them, memory for what they write, addresses and strides.

Outputs, states and gradients are of the input's type.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, overload

import torch
from torch import Tensor
from torch.nn import Parameter

from seqloom import _native
from seqloom._native import Packed
from seqloom.kernels.checks import check_memory
from seqloom.kernels.interface import PLAIN, Options, State, Weights

__all__ = [
    "Given",
    "backward",
    "backward_both",
    "by_direction",
    "contiguous",
    "forward",
    "forward_both",
    "given",
    "memory",
    "sequence",
    "stash_memory",
]


class Given(NamedTuple):
    """What a scan reads beside its weights; first the tensors, contiguous but for the input."""

    input: Tensor  # [B, T, I], or [T, B, I] if time_first; the features side by side
    h: Tensor  # [B, H] or [1, B, H], as all states
    c: Tensor | None
    lengths: Tensor | None
    fresh: Tensor | None
    mask: Tensor | None
    marks_0: Tensor | None
    marks_1: Tensor | None
    rate_0: float
    rate_1: float
    reverse: bool
    time_first: bool  # so are the axes of the output, of the states after each step, and of their gradients

    @property
    def sources(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """The tensors that gradients can be asked for."""
        return self[:3]

    @property
    def fixed(self) -> tuple[Tensor | None, ...]:
        """The other tensors."""
        return self[3:8]

    @property
    def numbers(self) -> tuple[float, float, bool, bool]:
        """What is no tensor."""
        return self[8:]

    @property
    def sizes(self) -> tuple[int, int]:
        """B and T."""
        first, second, _ = self.input.shape
        return (second, first) if self.time_first else (first, second)

    @property
    def state(self) -> State:
        return (self.h,) if self.c is None else (self.h, self.c)


def given(
    input: Tensor, state: State, lengths: Tensor | None, reverse: bool, options: Options, time_first: bool = False
) -> Given:
    """Lays out what a scan reads; copies only what lies otherwise."""
    if input.stride()[2] != 1 and input.shape[2] > 1:
        input = input.contiguous()
    h = contiguous(state[0])
    c = contiguous(state[1]) if len(state) > 1 else None
    if lengths is not None:
        lengths = contiguous(lengths)
    if options is PLAIN:
        return Given(input, h, c, lengths, None, None, None, None, 0.0, 0.0, reverse, time_first)
    fresh = None if options.fresh is None else contiguous(options.fresh)
    mask = None if options.dropout_mask is None else contiguous(options.dropout_mask)
    marks_0, marks_1 = (*map(contiguous, options.zoneout_marks), None, None)[:2]
    rate_0, rate_1 = (0.0, 0.0) if options.zoneout_marks else (*options.zoneout, 0.0, 0.0)[:2]
    return Given(input, h, c, lengths, fresh, mask, marks_0, marks_1, rate_0, rate_1, reverse, time_first)


def forward(packed: Packed, scan: Given, all_steps: bool, stash: Tensor | None) -> list[Tensor]:
    """Runs over time.

    Args:
        packed: the weights.
        scan: what is read.
        all_steps: whether the second state is wanted after each step.
        stash: [B * T * stash_size], written, for ``backward``; None: there will be none.

    Returns:
        The output [B, T, H]; the states after the last step; with ``all_steps`` the second one after each, [B, T, H].
    """
    output = sequence(scan.input, scan.h.shape[-1])
    written, arguments = _forward_arguments(scan, output, all_steps, stash)
    packed.forward(arguments)
    return [output, *written]


def forward_both(
    packed: Sequence[Packed], scans: Sequence[Given], stashes: Sequence[Tensor | None]
) -> tuple[Tensor, list[Tensor]]:
    """``forward`` of both directions of a layer at once.

    Returns:
        The output [B, T, 2*H], forward first; the states after the last step, first all those of forward.
    """
    hidden = scans[0].h.shape[-1]
    output = sequence(scans[0].input, 2 * hidden)
    forward_half, reverse_half = _halves(output)
    after_0, arguments_0 = _forward_arguments(scans[0], forward_half, False, stashes[0])
    after_1, arguments_1 = _forward_arguments(scans[1], reverse_half, False, stashes[1])
    _native.forward_both(packed[0], arguments_0, packed[1], arguments_1)
    return output, after_0 + after_1


def _forward_arguments(
    scan: Given, output: Tensor, all_steps: bool, stash: Tensor | None
) -> tuple[list[Tensor], tuple[int | float, ...]]:
    """What ``forward`` gives beside the output, not yet written, and what the compiled part is called with."""
    input, h, c, lengths, fresh, mask, marks_0, marks_1, rate_0, rate_1, reverse, time_first = scan
    batch, time, _ = input.shape
    row, step, _ = input.stride()
    output_row, output_step, _ = output.stride()
    if time_first:
        batch, time, row, step, output_row, output_step = time, batch, step, row, output_step, output_row
    h_after = memory(h)
    c_after = None if c is None else memory(c)
    steps = memory(output) if all_steps else None
    arguments = (
        torch.get_num_threads(), batch, time, reverse,
        input.data_ptr(), row, step, output.data_ptr(), output_row, output_step,
        h.data_ptr(), _address(c), h_after.data_ptr(), _address(c_after), _address(steps), _address(lengths),
        _address(fresh), _address(mask), _address(marks_0), _address(marks_1), rate_0, rate_1, _address(stash),
    )  # fmt: skip
    return [each for each in (h_after, c_after, steps) if each is not None], arguments


def backward(
    packed: Packed,
    scan: Given,
    weights: Weights,
    output: Tensor,
    stash: Tensor,
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> list[Tensor | None]:
    """Runs back over time.

    Args:
        packed: the weights, as in ``forward``.
        scan: what was read.
        weights: contiguous.
        output: as ``forward`` gave it.
        stash: as ``forward`` wrote it.
        incoming: the gradients of what ``forward`` gave, in its order; None: zeros.
        wanted: which gradients are wanted: of the input, of two states, of the four weights.

    Returns:
        The gradients that are wanted, in that order; None for the others.
    """
    written, arguments, _read = _backward_arguments(scan, weights, output, stash, incoming, wanted)
    packed.backward(arguments)
    return written


def backward_both(
    packed: Sequence[Packed],
    scans: Sequence[Given],
    weights: Sequence[Weights],
    output: Tensor,
    stashes: Sequence[Tensor],
    incoming: tuple[Tensor | None, ...],
    wanted: Sequence[tuple[bool, ...]],
) -> list[list[Tensor | None]]:
    """``backward`` of both directions of a layer at once; ``incoming`` and ``output`` as ``forward_both`` has them.

    Returns:
        The gradients of each direction; that of the input is of its own reading alone, and the two are to be added.
    """
    calls = []
    for n, (part, of_direction) in enumerate(zip(_halves(output), by_direction(incoming), strict=True)):
        calls.append(_backward_arguments(scans[n], weights[n], part, stashes[n], of_direction, wanted[n]))
    _native.backward_both(packed[0], calls[0][1], packed[1], calls[1][1])
    return [written for written, *_ in calls]


def _halves(output: Tensor) -> tuple[Tensor, Tensor]:
    """Of each direction, from those of both side by side, [B, T, 2*H]."""
    hidden = output.shape[-1] // 2
    return output[..., :hidden], output[..., hidden:]


def by_direction(incoming: tuple[Tensor | None, ...]) -> tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """The gradients of what ``forward`` would give of each direction, from those of what ``forward_both`` gives."""
    first, second = (None, None) if incoming[0] is None else _halves(incoming[0])
    states = 1 + len(incoming) // 2
    return (first, *incoming[1:states]), (second, *incoming[states:])


def _backward_arguments(
    scan: Given,
    weights: Weights,
    output: Tensor,
    stash: Tensor,
    incoming: tuple[Tensor | None, ...],
    wanted: tuple[bool, ...],
) -> tuple[list[Tensor | None], tuple[int | float, ...], list[Tensor | None]]:
    """What ``backward`` gives, not yet written; what the compiled part is called with; what must live until then."""
    input, h, c, lengths, fresh, mask, marks_0, marks_1, rate_0, rate_1, reverse, time_first = scan
    ih, hh, bias_ih, bias_hh = weights
    batch, time, _ = input.shape
    row, step, _ = input.stride()
    output_row, output_step, _ = output.stride()
    d_output, d_output_row, d_output_step = _side_by_side(incoming[0])
    d_h_after, d_c_after, d_steps = _gradients_of_states(incoming, two=c is not None)
    d_input, d_row, d_step = None, 0, 0
    if wanted[0]:
        d_input = sequence(input, input.shape[2])
        d_row, d_step, _ = d_input.stride()
    if time_first:
        batch, time, row, step, output_row, output_step = time, batch, step, row, output_step, output_row
        d_output_row, d_output_step, d_row, d_step = d_output_step, d_output_row, d_step, d_row
    d_h = memory(h) if wanted[1] else None
    d_c = memory(c) if wanted[2] and c is not None else None
    d_ih = memory(ih) if wanted[3] else None
    d_hh = memory(hh) if wanted[4] else None
    d_bias_ih = memory(bias_ih) if wanted[5] and bias_ih is not None else None
    d_bias_hh = memory(bias_hh) if wanted[6] and bias_hh is not None else None
    arguments = (
        torch.get_num_threads(), batch, time, reverse, ih.data_ptr(), hh.data_ptr(),
        input.data_ptr(), row, step, output.data_ptr(), output_row, output_step, h.data_ptr(), _address(c),
        _address(d_output), d_output_row, d_output_step, _address(d_h_after), _address(d_c_after), _address(d_steps),
        _address(lengths), _address(fresh), _address(mask), _address(marks_0), _address(marks_1), rate_0, rate_1,
        stash.data_ptr(), _address(d_input), d_row, d_step, _address(d_h), _address(d_c),
        _address(d_ih), _address(d_hh), _address(d_bias_ih), _address(d_bias_hh),
    )  # fmt: skip
    written = [d_input, d_h, d_c, d_ih, d_hh, d_bias_ih, d_bias_hh]
    return written, arguments, [d_output, d_h_after, d_c_after, d_steps]


def memory(like: Tensor) -> Tensor:
    """Memory for as many numbers as ``like`` has, without gaps; all that the kernels write comes from here."""
    return _empty(like, like.shape)


def sequence(input: Tensor, features: int) -> Tensor:
    """Memory for a sequence beside ``input``, with so many features; without gaps."""
    first, second, _ = input.shape
    return _empty(input, (first, second, features))


def stash_memory(input: Tensor, size: int) -> Tensor:
    """Memory for so many numbers."""
    return _empty(input, (size,))


def _empty(like: Tensor, shape: tuple[int, ...]) -> Tensor:
    """From the pool of the compiled part; tracers, which put other tensors in their place, give their own."""
    if _HAS_TORCH and type(like) in _ORDINARY:
        return _native.memory(like.dtype is torch.float64, shape)
    return like.new_empty(shape)


_HAS_TORCH = _native.has_torch()
_ORDINARY = (Tensor, Parameter)


def contiguous(array: Tensor) -> Tensor:
    return array if array.is_contiguous() else array.contiguous()


def _address(array: Tensor | None) -> int:
    if array is None:
        return 0
    address = array.data_ptr()
    if address == 0:  # which would mean that there is none
        check_memory(array)
    return address


def _side_by_side(d_output: Tensor | None) -> tuple[Tensor | None, int, int]:
    """The gradient of the output with its features side by side, and its strides; often it is one number, repeated."""
    if d_output is None or d_output._is_zerotensor():
        return None, 0, 0
    first, second, feature = d_output.stride()
    if (feature != 1 and d_output.shape[2] > 1) or d_output.is_neg():
        if first == second == 0:
            return _settled(d_output[0, 0]), 0, 0
        d_output = _settled(d_output)
        first, second, _ = d_output.stride()
    return d_output, first, second


def _gradients_of_states(
    incoming: tuple[Tensor | None, ...], two: bool
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those of the states after the last step, and that of the second one after each, which lies as the output does."""
    d_h = _settled(incoming[1])
    if not two:
        return d_h, None, None
    return d_h, _settled(incoming[2]), _settled(incoming[3]) if len(incoming) > 3 else None


@overload
def _settled(array: Tensor) -> Tensor: ...
@overload
def _settled(array: None) -> None: ...
def _settled(array: Tensor | None) -> Tensor | None:
    """The same numbers as they stand in memory: torch may keep a minus sign, or another order, in mind.

    None for zeros that it knows to be nothing else: they have no memory.
    """
    if array is None or array._is_zerotensor():
        return None
    if array.is_contiguous() and not array.is_neg():
        return array
    return array.resolve_neg().contiguous()
