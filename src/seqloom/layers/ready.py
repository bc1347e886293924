"""The short way for a layer that is called again and again: it is looked at once, and then in compiled code alone.

One call of a small layer takes the kernels a few microseconds: as long as a handful of torch's calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from seqloom import _native
from seqloom._native import Ready
from seqloom.kernels.packed import KINDS, kept_weights

if TYPE_CHECKING:
    from seqloom.layers.recurrent import Recurrent

__all__ = ["Ready", "ready"]


def ready(layer: Recurrent) -> Ready | None:
    """The short way of a layer as it is now; None where there is none.

    It gives None in its turn where a call is not plain: where gradients are wanted, weights have changed since, or an
    argument is not as the layer's are. Settings of the layer it does not see: with any of them it is to be made anew.
    """
    kind = KINDS.get((layer.cell.name, layer.cell.nonlinearity))
    masks = layer.dropout or layer.zoneout or layer.recurrent_dropout or layer.weight_dropout
    if kind is None or layer.bidirectional or (layer.training and masks) or torch.is_grad_enabled():
        return None
    names = [name for names in layer._all_weights for name in names]
    if names != list(layer._parameters) or not _native.has_torch():
        return None
    weights = layer._weights()
    found = [each for one in weights if (each := kept_weights(kind, layer.precision, one, 1)) is not None]
    if len(found) < len(weights):
        return None
    rates = (*layer.zoneout, 0.0, 0.0)[:2]
    kept = [(each.packed, each.seen, each.whole_from) for each in found]
    return Ready(layer._parameters, [list(each) for each in weights], kept, len(layer.cell.states), *rates)
