"""The short way for a layer that is called again and again: it is looked at once, and then in compiled code alone.

One call of a small layer takes the kernels a few microseconds: as long as a handful of torch's calls.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from seqloom import _native
from seqloom._native import Packed, Ready
from seqloom.cells.base import Cell
from seqloom.kernels import Weights
from seqloom.kernels.packed import KINDS, kept_weights
from seqloom.kernels.short import plain
from seqloom.layers.states import State, as_tuple, one_or_all

if TYPE_CHECKING:
    from seqloom.layers.recurrent import Recurrent

__all__ = ["Ready", "ready"]


def ready(layer: Recurrent) -> Ready | None:
    """The short way of a layer as it is now; None where there is none.

    It gives None in its turn where a call is not plain: where an argument is not as the layer's are, or weights have
    changed since. Where gradients are wanted it packs weights that have changed. Settings of the layer it does not see:
    with any of them it is to be made anew.
    """
    kind = KINDS.get((layer.cell.name, layer.cell.nonlinearity))
    masks = layer.dropout or layer.zoneout or layer.recurrent_dropout or layer.weight_dropout
    if kind is None or layer.bidirectional or (layer.training and masks):
        return None
    names = [name for names in layer._all_weights for name in names]
    if names != list(layer._parameters) or not _native.has_torch():
        return None
    weights = layer._weights()
    found = [each for one in weights if (each := kept_weights(kind, layer.precision, one, 1)) is not None]
    if len(found) < len(weights):
        return None
    rates = (*layer.zoneout, 0.0, 0.0)[:2]
    return Ready(layer._parameters, weights, found, partial(_learn, layer.cell), len(layer.cell.states), *rates)


def _learn(
    cell: Cell,
    packed: list[Packed],
    input: Tensor,
    state: State | None,
    weights: list[Weights],
    time_first: bool,
) -> tuple[Tensor, State]:
    """A call that gradients are wanted of."""
    if state is None:
        zeros = input.new_zeros(len(packed), input.shape[1 if time_first else 0], weights[0].hh.shape[1])
        before: tuple[Tensor, ...] = (zeros,) * len(cell.states)
    else:
        before = as_tuple(state)
    output, *after = plain(cell, packed, input, before, weights, time_first)
    return output, one_or_all(tuple(after))
