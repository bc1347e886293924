"""The states of a recurrent layer as a caller gives and gets them."""

from __future__ import annotations

from torch import Tensor

from seqloom.errors import ShapeError

__all__ = ["State", "add_batch", "as_tuple", "drop_batch", "one_or_all"]

State = Tensor | tuple[Tensor, ...]
"""[L*D, B, H]; a tuple of them, in the order of the cell's ``states``, where the cell has more than one."""


def as_tuple(state: State) -> tuple[Tensor, ...]:
    """The states as a tuple, even a single one."""
    return (state,) if isinstance(state, Tensor) else tuple(state)


def add_batch(state: State | None) -> State | None:
    """States of one sequence, [L*D, H], as [L*D, 1, H].

    Raises:
        ShapeError: they have another number of axes.
    """
    if state is None:
        return None
    for each in as_tuple(state):
        if each.dim() != 2:
            raise ShapeError(f"the state of one sequence must be [L*D, H], 2 axes; given {list(each.shape)}")
    return tuple(each.unsqueeze(1) for each in as_tuple(state))


def drop_batch(state: State, axis: int = 1) -> State:
    """States of a batch of one, without the axis of the batch."""
    return one_or_all(tuple(each.squeeze(axis) for each in as_tuple(state)))


def one_or_all(states: tuple[Tensor, ...]) -> State:
    """As torch gives states: a single one by itself."""
    return states if len(states) > 1 else states[0]
