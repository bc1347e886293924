"""Checks of what a caller gives. Each compares first; only what does not fit is looked at again, to word the error."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from seqloom.errors import SettingError, ShapeError
from seqloom.kernels.interface import PLAIN, Lengths, Options, Recurrence, State, Weights
from seqloom.shapes import check

__all__ = [
    "check_lengths",
    "check_memory",
    "check_options",
    "check_scan",
    "check_stack",
    "check_values",
    "has_memory",
    "mixed_precision",
]

PRECISIONS = ("float32", "bfloat16")


def mixed_precision(device: torch.device) -> bool:
    """Whether torch.autocast acts on this device."""
    return torch._C._is_any_autocast_enabled() and torch.is_autocast_enabled(device.type)


def has_memory(array: Tensor) -> bool:
    """Whether its numbers are anywhere: torch can take the memory of a storage away, and zeros it knows have none.

    A part of such a tensor is said to lie as far from nowhere as it begins behind the first number.
    """
    address = array.data_ptr()
    return address > 1 << 32 or array.numel() == 0 or (address != 0 and array.untyped_storage().nbytes() > 0)


def check_memory(array: Tensor) -> None:
    """Raises a RuntimeError where it has none."""
    if not has_memory(array):
        raise RuntimeError("a tensor that is to be read has no memory: its storage has the size 0")


def check_scan(cell: Recurrence, input: Tensor, state: Sequence[Tensor], weights: Weights) -> State:
    """Checks the arguments of one layer in one direction; returns the states, [B, H] each, in the input's type."""
    _check_input(input, weights, "B T I")
    _check_state(cell, input, state, (input.shape[0], weights.hh.shape[-1]), "B H", weights)
    _check_weights(cell, weights, input.shape[2])
    return _as_input(state, input)


def check_stack(
    cell: Recurrence,
    input: Tensor,
    state: Sequence[Tensor],
    weights: Sequence[Weights],
    directions: int,
    time_first: bool,
) -> State:
    """Checks the arguments of layers and directions; returns the states, [L*D, B, H] each, in the input's type."""
    if not weights or len(weights) % directions:
        raise ShapeError(f"weights must be one or more for each of {directions} directions; given {len(weights)}")
    first = weights[0]
    _check_input(input, first, "T B I" if time_first else "B T I")
    hidden, (batch, _) = first.hh.shape[-1], sizes(input, time_first)
    _check_state(cell, input, state, (len(weights), batch, hidden), "L*D B H", first)
    for index, one in enumerate(weights):
        _check_weights(cell, one, input.shape[2] if index < directions else directions * hidden, hidden)
        if one.ih.dtype != first.ih.dtype or one.ih.device != first.ih.device:
            wanted, given = (f"{each.dtype} on {each.device}" for each in (first.ih, one.ih))
            name = f"weight_ih of layer {index // directions}" + ", reverse" * (index % directions)
            raise ShapeError(f"{name} must be {wanted}, as that of layer 0 is; given {given}")
    return _as_input(state, input)


def check_lengths(lengths: Lengths | None, input: Tensor, time_first: bool = False) -> Tensor | None:
    """Checks the lengths; returns them as int64 on the input's device, or None where all rows are T long.

    While torch.compile traces there are no values to look at: ``check_values`` does it when the program runs.
    """
    if lengths is None:
        return None
    batch, time = sizes(input, time_first)
    lengths = torch.as_tensor(lengths, device=input.device)
    check("lengths", lengths, "B", B=batch)
    if lengths.numel() > 0 and (lengths.is_floating_point() or lengths.is_complex() or lengths.dtype == torch.bool):
        raise ShapeError(f"lengths must be integers; given {lengths.dtype}")
    lengths = lengths.to(torch.int64, copy=True)  # the caller's may change before backward, unseen in a NumPy array
    if torch.compiler.is_compiling():
        return lengths
    return None if check_values(lengths, batch, time) else lengths


def sizes(input: Tensor, time_first: bool) -> tuple[int, int]:
    """B and T."""
    first, second, _ = input.shape
    return (second, first) if time_first else (first, second)


def check_values(lengths: Tensor, batch: int, time: int) -> bool:
    """Checks that lengths lie from 0 to T; returns whether all of them are T."""
    if batch == 0:
        return True
    shortest, longest = (int(end) for end in lengths.aminmax())
    if shortest < 0 or longest > time:
        raise ShapeError(f"lengths must be from 0 to T={time}; given from {shortest} to {longest}")
    return shortest == time


def check_options(options: Options, cell: Recurrence, input: Tensor, hidden: int, time_first: bool = False) -> None:
    """Checks the options of one layer and direction."""
    if options is PLAIN:
        return
    batch, time = sizes(input, time_first)
    known = {"B": batch, "T": time, "H": hidden}
    count, names = len(cell.states), ", ".join(cell.states)
    if options.fresh is not None:
        _check_marks("fresh", options.fresh, "B T", input, known)
    if options.dropout_mask is not None:
        check("dropout_mask", options.dropout_mask, "B H", B=batch, H=hidden)
        _agree("dropout_mask", options.dropout_mask, input, mixed_precision(input.device))
    if len(options.zoneout) not in (0, count):
        raise ShapeError(f"zoneout must be {count} rates ({names}); given {len(options.zoneout)}")
    if not all(0 <= rate <= 1 for rate in options.zoneout):
        raise SettingError(f"zoneout must be rates from 0 to 1; given {options.zoneout}")
    if len(options.zoneout_marks) not in (0, count):
        raise ShapeError(f"zoneout_marks must be {count} tensors ({names}); given {len(options.zoneout_marks)}")
    for name, marks in zip(cell.states, options.zoneout_marks, strict=False):
        _check_marks(f"zoneout_marks {name}", marks, "B T H", input, known)
    if options.precision not in PRECISIONS:
        raise SettingError(f"precision must be one of {', '.join(PRECISIONS)}; given {options.precision!r}")


def check_resets(resets: Tensor, input: Tensor, time_first: bool) -> None:
    """Checks the marks of where new sequences begin."""
    batch, time = sizes(input, time_first)
    _check_marks("resets", resets, "B T", input, {"B": batch, "T": time})


def _check_marks(name: str, marks: Tensor, letters: str, input: Tensor, known: dict[str, int]) -> None:
    check(name, marks, letters, **{axis: known[axis] for axis in letters.split()})
    if marks.dtype != torch.bool:
        raise ShapeError(f"{name} must be {torch.bool}; given {marks.dtype}")
    if marks.device != input.device:
        raise ShapeError(f"{name} must be on {input.device}, where the input is; given on {marks.device}")


def _check_input(input: Tensor, weights: Weights, letters: str) -> None:
    if input.dim() != 3 or input.shape[2] != weights.ih.shape[-1]:
        check("input", input, letters, I=weights.ih.shape[-1])
    if input.dtype != weights.ih.dtype or input.device != weights.ih.device:
        _agree("input", input, weights.ih, mixed_precision(weights.ih.device))


def _check_state(
    cell: Recurrence, input: Tensor, state: Sequence[Tensor], shape: tuple[int, ...], letters: str, weights: Weights
) -> None:
    if len(state) != len(cell.states):
        raise ShapeError(f"state must be {len(cell.states)} tensors ({', '.join(cell.states)}); given {len(state)}")
    for index, each in enumerate(state):
        if each.shape == shape and each.dtype == input.dtype and each.device == input.device:
            continue
        name = f"state {cell.states[index]}"
        check(name, each, letters, **dict(zip(letters.split(), shape, strict=True)))
        _agree(name, each, weights.ih, mixed_precision(weights.ih.device))


def _check_weights(cell: Recurrence, weights: Weights, features: int, hidden: int | None = None) -> None:
    ih, hh, bias_ih, bias_hh = weights
    if hidden is None:
        hidden = hh.shape[-1]
    rows = cell.gates * hidden
    if ih.shape != (rows, features):
        check("weight_ih", ih, "G*H I", **{"G*H": rows, "I": features})
    if hh.shape != (rows, hidden):
        check("weight_hh", hh, "G*H H", **{"G*H": rows, "H": hidden})
    if bias_ih is None and bias_hh is None:
        return
    if bias_ih is None or bias_hh is None:
        raise ShapeError("bias_ih and bias_hh must both be given, or neither")
    if bias_ih.shape != (rows,):
        check("bias_ih", bias_ih, "G*H", **{"G*H": rows})
    if bias_hh.shape != (rows,):
        check("bias_hh", bias_hh, "G*H", **{"G*H": rows})


def _agree(name: str, array: Tensor, weight: Tensor, mixed: bool) -> None:
    if array.device != weight.device:
        raise ShapeError(f"{name} must be on {weight.device}, where the weights are; given on {array.device}")
    if array.dtype != weight.dtype and not mixed:
        raise ShapeError(f"{name} must be {weight.dtype}, as the weights are; given {array.dtype}")


def _as_input(state: Sequence[Tensor], input: Tensor) -> State:
    return tuple(each if each.dtype == input.dtype else each.to(input.dtype) for each in state)
