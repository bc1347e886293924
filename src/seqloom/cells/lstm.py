"""Long short-term memory: a cell state that gates write to, forget from and read."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from seqloom.cells.base import Cell

__all__ = ["PART", "LSTMCell"]


class LSTMCell(Cell):
    """The LSTM with a forget gate and without peepholes, torch's ``nn.LSTM``.

        i  = sigmoid(W_ii x + b_ii + W_hi h + b_hi)
        f  = sigmoid(W_if x + b_if + W_hf h + b_hf)
        g  = tanh(W_ig x + b_ig + W_hg h + b_hg)
        o  = sigmoid(W_io x + b_io + W_ho h + b_ho)
        c' = f * c + i * g
        h' = o * tanh(c')

    Source: S. Hochreiter, J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9 (1997), 1735-1780; the forget
    gate is from F. A. Gers, J. Schmidhuber, F. Cummins, "Learning to Forget: Continual Prediction with LSTM", Neural
    Computation 12 (2000), 2451-2471.

    Gate order: input, forget, new (g), output. States: h, c.
    """

    gate_order = ("input", "forget", "new", "output")
    states = ("h", "c")

    def step(
        self,
        input: Tensor,
        state: tuple[Tensor, ...],
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, ...]:
        h, c = state
        gates = linear(input, weight_ih, bias_ih) + linear(h, weight_hh, bias_hh)  # [B, 4*H]
        i, f, g, o = gates.chunk(4, dim=1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return h, c


PART = LSTMCell
