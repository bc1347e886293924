"""The gated recurrent unit: a reset gate and an update gate decide what stays of one state."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from seqloom.cells.base import Cell

__all__ = ["PART", "GRUCell"]


class GRUCell(Cell):
    """The GRU, in the variant of cuDNN and torch's ``nn.GRU``.

        r  = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z  = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n  = tanh(W_in x + b_in + r * (W_hn h + b_hn))
        h' = (1 - z) * n + z * h

    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", arXiv:1406.1078v3 (2014), equations 5 to 8, where z keeps the old state as here. The reset gate
    differs: there it acts on h before the product, W_hn (r * h); here, as in cuDNN, after it, which lets one product
    serve all gates and gives the hidden side a bias of its own, b_hn, inside the reset.

    Gate order: reset, update, new.
    """

    gate_order = ("reset", "update", "new")

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
        input_r, input_z, input_n = linear(input, weight_ih, bias_ih).chunk(3, dim=1)  # each [B, H]
        hidden_r, hidden_z, hidden_n = linear(h, weight_hh, bias_hh).chunk(3, dim=1)
        r = (input_r + hidden_r).sigmoid()
        z = (input_z + hidden_z).sigmoid()
        n = (input_n + r * hidden_n).tanh()
        return ((1 - z) * n + z * h,)


PART = GRUCell
