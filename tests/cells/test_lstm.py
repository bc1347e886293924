"""The LSTM cell's step: a case worked by hand, and torch's cell."""

from __future__ import annotations

import math

import pytest
import torch

from seqloom.cells.lstm import LSTMCell


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_by_hand():
    """One unit, every weight another number, and h unlike c."""
    x, h, c = 1.5, -0.7, 0.4
    weight_ih, weight_hh = (0.3, -0.5, 0.9, 0.7), (-0.2, 0.4, 1.1, -0.8)
    bias_ih, bias_hh = (0.1, 0.2, -0.3, 0.4), (0.05, -0.15, 0.25, -0.35)
    i = sigmoid(0.3 * x + 0.1 - 0.2 * h + 0.05)
    f = sigmoid(-0.5 * x + 0.2 + 0.4 * h - 0.15)
    g = math.tanh(0.9 * x - 0.3 + 1.1 * h + 0.25)
    o = sigmoid(0.7 * x + 0.4 - 0.8 * h - 0.35)
    wanted_c = f * c + i * g
    wanted_h = o * math.tanh(wanted_c)

    def column(*values):
        return torch.tensor(values, dtype=torch.float64).unsqueeze(1)

    after_h, after_c = LSTMCell().step(
        column(x),
        (column(h), column(c)),
        column(*weight_ih),
        column(*weight_hh),
        torch.tensor(bias_ih, dtype=torch.float64),
        torch.tensor(bias_hh, dtype=torch.float64),
    )
    assert after_h.item() == pytest.approx(wanted_h, rel=1e-14)
    assert after_c.item() == pytest.approx(wanted_c, rel=1e-14)


@pytest.mark.parametrize("bias", [True, False])
def test_as_torch_s_cell(bias):
    torch.manual_seed(0)
    torchs = torch.nn.LSTMCell(3, 9, bias, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64)
    h, c = torch.randn(5, 9, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    biases = (torchs.bias_ih, torchs.bias_hh) if bias else (None, None)
    after_h, after_c = LSTMCell().step(x, (h, c), torchs.weight_ih, torchs.weight_hh, *biases)
    wanted_h, wanted_c = torchs(x, (h, c))
    torch.testing.assert_close(after_h, wanted_h)
    torch.testing.assert_close(after_c, wanted_c)
