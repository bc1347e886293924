"""The Elman cell's step: a case worked by hand, and torch's cell."""

from __future__ import annotations

import math

import pytest
import torch

from seqloom.cells.elman import ElmanCell


@pytest.mark.parametrize(
    ("nonlinearity", "activation"), [("tanh", math.tanh), ("relu", lambda x: max(x, 0.0))], ids=["tanh", "relu"]
)
@pytest.mark.parametrize("x", [1.5, -4.0])
def test_by_hand(nonlinearity, activation, x):
    scalars = [torch.tensor([[value]], dtype=torch.float64) for value in (x, 0.7, 0.3, -0.6)]
    biases = [torch.tensor([value], dtype=torch.float64) for value in (0.11, 0.13)]
    input, h, weight_ih, weight_hh = scalars
    (after,) = ElmanCell(nonlinearity).step(input, (h,), weight_ih, weight_hh, *biases)
    assert after.item() == pytest.approx(activation(0.3 * x + 0.11 - 0.6 * 0.7 + 0.13), rel=1e-14)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_as_torch_s_cell(nonlinearity, bias):
    torch.manual_seed(0)
    torchs = torch.nn.RNNCell(3, 9, bias, nonlinearity, dtype=torch.float64)
    x, h = torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 9, dtype=torch.float64)
    biases = (torchs.bias_ih, torchs.bias_hh) if bias else (None, None)
    (after,) = ElmanCell(nonlinearity).step(x, (h,), torchs.weight_ih, torchs.weight_hh, *biases)
    torch.testing.assert_close(after, torchs(x, h))
