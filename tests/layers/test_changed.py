"""Outputs that are changed in place before backward: torch's RNN and GRU keep copies, here forward runs again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqloom import GRU, LSTM, RNN

torch.set_num_threads(1)

WAYS = [
    {},
    {"batch_first": True, "bias": False},
    {"num_layers": 3},
    {"bidirectional": True, "num_layers": 2, "batch_first": True},
    {"recurrent_dropout": 0.3, "zoneout": 0.1},
    {"precision": "bfloat16"},
]
cells = pytest.mark.parametrize("cell", [RNN, GRU, LSTM])


def gradients(layer, x, change, **given):
    """Of a loss behind ``change``, in all that was given and learned; masks are drawn from the same seed."""
    x = x.clone().requires_grad_()
    torch.manual_seed(1)
    output, state = layer(x, **given)
    last = state[0] if isinstance(state, tuple) else state
    loss = (change(output) ** 2).sum() + last.sum()
    return torch.autograd.grad(loss, [x, *layer.parameters()])


@cells
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("lengths", [None, [7, 3, 0, 5]], ids=["dense", "lengths"])
def test_gradients_as_of_a_copy(cell, way, lengths):
    torch.manual_seed(0)
    layer, given = cell(5, 33, **way), {} if lengths is None else {"lengths": lengths}
    x = torch.randn(4, 7, 5) if layer.batch_first else torch.randn(7, 4, 5)
    wanted = gradients(layer, x, lambda output: output.clone().mul_(-1.5).relu_(), **given)
    found = gradients(layer, x, lambda output: output.mul_(-1.5).relu_(), **given)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize(
    ("ours", "torchs", "way"),
    [(RNN, nn.RNN, {}), (GRU, nn.GRU, {"num_layers": 2}), (LSTM, nn.LSTM, {"bidirectional": True})],
)
def test_as_torch(ours, torchs, way):
    torch.manual_seed(0)
    layer, peer, x = ours(5, 9, **way), torchs(5, 9, **way), torch.randn(7, 4, 5)
    peer.load_state_dict(layer.state_dict())
    padding = torch.rand(7, 4, 1) < 0.4
    found, wanted = (gradients(each, x, lambda output: output.masked_fill_(padding, 2.0)) for each in (layer, peer))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@cells
def test_backward_again_and_twice_differentiable(cell):
    torch.manual_seed(0)
    layer, x = cell(5, 9), torch.randn(7, 4, 5, requires_grad=True)
    output, _ = layer(x)
    loss = output.mul_(2).pow(2).sum()
    first = torch.autograd.grad(loss, x, retain_graph=True)[0]
    second = torch.autograd.grad(loss, x, create_graph=True)[0]
    assert torch.autograd.grad(second.sum(), x, retain_graph=True)[0].abs().sum() > 0
    assert torch.equal(first, torch.autograd.grad(loss, x)[0])
    torch.testing.assert_close(first, second)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@cells
def test_what_went_in_must_stay(cell):
    layer, x = cell(5, 9), torch.randn(7, 4, 5, requires_grad=True) * 1.0
    output, _ = layer(x)
    output.mul_(2)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()
