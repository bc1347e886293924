"""The simple recurrent network: the state is a squashed sum of what comes in and what was there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from seqloom.cells.base import Cell

__all__ = ["PART", "ElmanCell"]


class ElmanCell(Cell):
    """Elman's cell, torch's ``nn.RNN``.

        h' = a(W_ih x + b_ih + W_hh h + b_hh)          a: tanh or relu

    Source: J. L. Elman, "Finding Structure in Time", Cognitive Science 14 (1990), 179-211; there a is the logistic
    function, here tanh (the usual choice since) or relu. The state is the hidden layer itself, not the output (that
    would be Jordan's network).

    Gate order: new.
    """

    gate_order = ("new",)
    nonlinearities = ("tanh", "relu")

    def step(
        self,
        input: Tensor,
        state: tuple[Tensor, ...],
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, ...]:
        (h,) = state
        activation = torch.tanh if self.nonlinearity == "tanh" else torch.relu
        return (activation(linear(input, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)),)


PART = ElmanCell
