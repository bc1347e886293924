"""What backward reads is as it was in forward, or it is told: torch's own checks do not see all that may happen."""

from __future__ import annotations

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from seqloom import GRU, LSTM, RNN

torch.set_num_threads(1)

CELLS = {"rnn": (RNN, torch.nn.RNN), "gru": (GRU, torch.nn.GRU), "lstm": (LSTM, torch.nn.LSTM)}
cells = pytest.mark.parametrize("cell", CELLS)
ways = pytest.mark.parametrize("way", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)


def pair(cell, way, inputs=5, hidden=17):
    torch.manual_seed(0)
    ours, torchs = (each(inputs, hidden, **way) for each in CELLS[cell])
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def assert_same_gradients(ours, torchs):
    for one, other in zip(ours.parameters(), torchs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@ways
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("change", ["shape", "type", "input"])
def test_memory_that_is_another_one_now(change, warm, way):
    layer, x = GRU(5, 33, **way), torch.randn(7, 4, 5, requires_grad=True)
    for _ in range(2 * warm):
        layer(x)
    output, _ = layer(x)
    if change == "shape":
        layer.weight_hh_l0.data = torch.zeros(3, 2)
    elif change == "type":
        layer.double()
    else:
        x.data = torch.randn(70, 40, 5)
    with pytest.raises(RuntimeError, match=r"backward reads is torch.float\d\d \[.*\] now; it was torch.float32"):
        output.sum().backward()


@cells
@ways
def test_hooks_that_give_back_other_strides(cell, way):
    """Torch's own LSTM gives NaN here."""
    ours, plain = pair(cell, way)
    x = torch.randn(7, 4, 5)
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: each.unsqueeze(-1).expand(*each.shape, 2).contiguous(), lambda each: each[..., 0]
    ):
        output, _ = ours(x)
    output.pow(2).sum().backward()
    plain(x)[0].pow(2).sum().backward()
    assert_same_gradients(ours, plain)


@ways
def test_hooks_that_give_back_another_type(way):
    layer = GRU(5, 33, **way)
    with torch.autograd.graph.saved_tensors_hooks(lambda each: each.half(), lambda each: each):
        output, _ = layer(torch.randn(7, 4, 5))
    with pytest.raises(RuntimeError, match=r"torch.float16 .* now; it was torch.float32"):
        output.sum().backward()


@ways
def test_errors_of_hooks_come_through(way):
    calls = []

    def unpack(each):
        calls.append(each)
        raise RuntimeError("the disk is full")

    layer = GRU(5, 9, **way)
    with torch.autograd.graph.saved_tensors_hooks(lambda each: each, unpack):
        output, _ = layer(torch.randn(7, 4, 5))
    with pytest.raises(RuntimeError, match="the disk is full"):
        output.sum().backward()
    assert len(calls) == 1


@cells
@ways
def test_what_is_computed_again_for_backward(cell, way):
    """From the very first call on, and after weights have been loaded: the graph is the same one each time."""
    ours, torchs = pair(cell, way)
    x = torch.randn(7, 4, 5, requires_grad=True)
    for _ in range(3):
        for layer in (ours, torchs):
            layer.zero_grad()
            checkpoint(lambda x, layer=layer: layer(x)[0], x, use_reentrant=False).pow(2).sum().backward()
        assert_same_gradients(ours, torchs)
        ours.load_state_dict(torchs.state_dict())


@cells
def test_second_derivatives_where_one_direction_is_frozen(cell):
    ours, torchs = (each.double() for each in pair(cell, {"bidirectional": True}))
    x = torch.randn(7, 4, 5, dtype=torch.float64)
    for layer in (ours, torchs):
        for name, parameter in layer.named_parameters():
            parameter.requires_grad_(name == "weight_hh_l0")
        first = torch.autograd.grad(layer(x)[0].pow(2).sum(), layer.weight_hh_l0, create_graph=True)[0]
        first.pow(2).sum().backward()
    torch.testing.assert_close(ours.weight_hh_l0.grad, torchs.weight_hh_l0.grad)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("offset", [0, 5])
def test_weights_without_memory(name, warm, offset):
    layer, x = GRU(5, 33), torch.randn(7, 4, 5)
    with torch.no_grad():
        for _ in range(2 * warm):
            layer(x)
        weight = getattr(layer, name)
        large = torch.randn(offset + weight.numel())
        weight.data = large[offset:].view(weight.shape)
        large.untyped_storage().resize_(0)
        with pytest.raises(RuntimeError, match="no memory"):
            layer(x)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("place", ["input", "state"])
def test_parts_without_memory(place, warm):
    layer, x, h = GRU(5, 33), torch.randn(9, 4, 5)[2:], torch.randn(3, 4, 33)[2:]
    with torch.no_grad():
        for _ in range(2 * warm):
            layer(x, h)
        (x if place == "input" else h).untyped_storage().resize_(0)
        with pytest.raises(RuntimeError, match="no memory"):
            layer(x, h)
