"""The short way from one time step to the next, without looking again at what was right a step before.

One step of a small batch takes the kernels a few microseconds: as long as a handful of torch's calls.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from seqloom.kernels import Weights
from seqloom.kernels.compiled import transformed
from seqloom.kernels.packed import KINDS, kept_weights
from seqloom.layers.states import State, as_tuple, one_or_all

if TYPE_CHECKING:
    from seqloom.layers.recurrent import Recurrent

__all__ = ["Stream"]


class Stream:
    """What a layer needs for a step that is like the one before: of the same shapes, with the same weights.

    It holds nothing that a step changes, so that several may be taken at once. A copy of it is None, and so is what
    comes out of a pickle: it belongs to the tensors that it was made of.
    """

    @classmethod
    def after(cls, layer: Recurrent, x: Tensor, state: State) -> Stream | None:
        """After a step from ``x`` and ``state`` the long way; None where there is no short one."""
        kind = KINDS.get((layer.cell.name, layer.cell.nonlinearity))
        names = {name for names in layer._all_weights for name in names}
        random = layer.training and (layer.dropout or layer.zoneout)
        if kind is None or random or _watched() or x.shape[0] == 0 or not names <= layer._parameters.keys():
            return None
        weights = layer._weights()
        if any(kept_weights(kind, layer.precision, each, 1) is None for each in weights):
            return None
        return cls(layer, kind, weights, x, as_tuple(state))

    def __init__(
        self, layer: Recurrent, kind: str, weights: list[Weights], x: Tensor, states: tuple[Tensor, ...]
    ) -> None:
        self.training, self.precision, self.zoneout = layer.training, layer.precision, layer.zoneout
        self.kind, self.weights, self.parameters = kind, weights, list(layer._parameters.values())
        rates: tuple[float, ...] = (*layer.zoneout, 0.0, 0.0)
        self.rate_0, self.rate_1 = rates[:2]
        self.states, self.state_shape = len(states), states[0].shape
        self.x_shape, self.dtype = x.shape, x.dtype
        self.output = x.new_empty((*x.shape[:-1], layer.hidden_size))  # as all outputs will be
        self.batch, self.hidden = self.output.numel() // layer.hidden_size, layer.hidden_size
        self.bytes = self.output.numel() * x.element_size()

    def step(self, layer: Recurrent, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        """The next step; None where anything is not as it was."""
        states = (state,) if isinstance(state, Tensor) else tuple(state)
        if (
            len(states) != self.states
            or layer.training is not self.training
            or layer.zoneout is not self.zoneout
            or layer.precision is not self.precision
            or _watched()
            or not all(map(is_, layer._parameters.values(), self.parameters))
            or not self._fits(x, self.x_shape)
            or x.stride(-1) != 1
        ):
            return None
        for each in states:
            if not self._fits(each, self.state_shape) or not each.is_contiguous():
                return None
        output = torch.empty_like(self.output)
        after = tuple(map(torch.empty_like, states))
        return (output, one_or_all(after)) if self._run(x, states, output, after) else None

    def _fits(self, array: Tensor, shape: torch.Size) -> bool:
        """Whether it is a tensor in memory like that of the step before."""
        return (
            type(array) is Tensor
            and array.shape == shape
            and array.dtype is self.dtype
            and array.is_cpu
            and not array.is_neg()
        )

    def _run(self, x: Tensor, states: tuple[Tensor, ...], output: Tensor, after: tuple[Tensor, ...]) -> bool:
        """Each layer reads the state that the one below has just left; false where weights are not as they were.

        All layers write the output; that of the last one remains.
        """
        threads, batch, hidden = torch.get_num_threads(), self.batch, self.hidden
        read, row, wrote = x.data_ptr(), x.stride(0), output.data_ptr()
        h, h_after = states[0].data_ptr(), after[0].data_ptr()
        c, c_after, bytes_c = 0, 0, 0
        if len(states) > 1:
            c, c_after, bytes_c = states[1].data_ptr(), after[1].data_ptr(), self.bytes
        for weights in self.weights:
            kept = kept_weights(self.kind, self.precision, weights, 1)
            if kept is None:
                return False
            kept.packed.forward(
                threads, batch, 1, False, read, row, row, wrote, hidden, hidden, h, c, h_after, c_after,
                0, 0, 0, 0, 0, 0, self.rate_0, self.rate_1, 0,
            )  # fmt: skip
            read, row = h_after, hidden
            h, h_after = h + self.bytes, h_after + self.bytes
            c, c_after = c + bytes_c, c_after + bytes_c
        return True

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def _watched() -> bool:
    """Whether anybody wants to know what is computed, or to compute something else."""
    return (
        torch.is_grad_enabled()
        or transformed()
        or torch._C._is_any_autocast_enabled()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._is_tracing()
    )
