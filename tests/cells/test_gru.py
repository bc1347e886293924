"""The GRU cell's step: a case worked by hand, and torch's cell."""

from __future__ import annotations

import math

import pytest
import torch

from seqloom.cells.gru import GRUCell


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_by_hand():
    """One unit, every weight another number; the reset gate acts after the product, on its bias too."""
    x, h = 1.5, -0.7
    weight_ih, weight_hh = (0.3, -0.5, 0.9), (-0.2, 0.4, 1.1)
    bias_ih, bias_hh = (0.1, 0.2, -0.3), (0.05, -0.15, 0.25)
    r = sigmoid(0.3 * x + 0.1 - 0.2 * h + 0.05)
    z = sigmoid(-0.5 * x + 0.2 + 0.4 * h - 0.15)
    n = math.tanh(0.9 * x - 0.3 + r * (1.1 * h + 0.25))
    wanted = (1 - z) * n + z * h

    def column(*values):
        return torch.tensor(values, dtype=torch.float64).unsqueeze(1)

    (after,) = GRUCell().step(
        column(x),
        (column(h),),
        column(*weight_ih),
        column(*weight_hh),
        torch.tensor(bias_ih, dtype=torch.float64),
        torch.tensor(bias_hh, dtype=torch.float64),
    )
    assert after.item() == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("bias", [True, False])
def test_as_torch_s_cell(bias):
    torch.manual_seed(0)
    torchs = torch.nn.GRUCell(3, 9, bias, dtype=torch.float64)
    x, h = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    biases = (torchs.bias_ih, torchs.bias_hh) if bias else (None, None)
    (after,) = GRUCell().step(x, (h,), torchs.weight_ih, torchs.weight_hh, *biases)
    torch.testing.assert_close(after, torchs(x, h))
