"""What others do to a layer and its tensors while it computes, or behind its back: right results, or an error."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref

import numpy as np
import pytest
import torch

from seqloom import GRU, LSTM, RNN
from seqloom.errors import ShapeError

torch.set_num_threads(1)


@pytest.fixture
def threads_change_often():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("layers", [1, 2])
def test_one_thread_infers_while_another_packs_anew(layers, threads_change_often):
    """The numbers of the weights stay what they are, so that every answer has the same bits; what is packed goes."""
    torch.manual_seed(0)
    layer = GRU(64, 256, num_layers=layers, batch_first=True)
    many, one = torch.randn(4, 64, 64), torch.randn(1, 1, 64)
    with torch.no_grad():
        wanted = [layer(many)[0] for _ in range(2)][-1]
    weight, wrong, done = getattr(layer, f"weight_hh_l{layers - 1}"), [], threading.Event()

    def learn():
        while not done.is_set():
            with torch.no_grad():
                weight.add_(0.0)
            layer(one)

    learners = [threading.Thread(target=learn) for _ in range(2)]
    for each in learners:
        each.start()
    try:
        with torch.no_grad():
            end = time.monotonic() + 3
            while time.monotonic() < end:
                wrong.append(not torch.equal(layer(many)[0], wanted))
    finally:
        done.set()
        for each in learners:
            each.join()
    assert len(wrong) > 10
    assert not any(wrong)


def test_states_in_a_list_that_others_change(threads_change_often):
    """They are the call's as long as it runs, whatever becomes of the list."""
    torch.manual_seed(0)
    layer, x = LSTM(256, 256), torch.randn(400, 4, 256)
    begun, ended, alive = threading.Event(), threading.Event(), []

    def change(state, references):
        begun.wait()
        time.sleep(0.003)
        state.clear()
        there = [each() is not None for each in references]
        if not ended.is_set():
            alive.extend(there)

    with torch.no_grad():
        wanted = [layer(x, (torch.ones(1, 4, 256), torch.ones(1, 4, 256)))[0] for _ in range(2)][-1]
        for _ in range(10):
            begun.clear()
            ended.clear()
            state = [torch.ones(1, 4, 256), torch.ones(1, 4, 256)]
            other = threading.Thread(target=change, args=(state, [weakref.ref(each) for each in state]))
            other.start()
            begun.set()
            output, _ = layer(x, state)
            ended.set()
            other.join()
            assert torch.equal(output, wanted)
    assert alive
    assert all(alive)


class Watched(torch.nn.Module):
    """A hook of its layer's weight refers to it."""

    def __init__(self, layers):
        super().__init__()
        self.layer = GRU(3, 5, num_layers=layers)
        self.layer.weight_hh_l0.register_hook(self.seen)

    def seen(self, gradient):
        pass


@pytest.mark.parametrize("layers", [1, 2])
def test_goes_with_all_that_refers_to_it(layers):
    model = Watched(layers)
    for _ in range(3):
        model.layer(torch.randn(4, 1, 3))[0].sum().backward()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("kind", [RNN, GRU])
@pytest.mark.parametrize("steps", [4, 400])
def test_a_square_weight_turned_round(kind, steps):
    """The same memory, the same count of changes, the same shape."""
    torch.manual_seed(0)
    layer, name = (RNN(3, 5), "weight_hh_l0") if kind is RNN else (GRU(15, 5), "weight_ih_l0")
    x = torch.randn(steps, 1, layer.input_size)
    with torch.no_grad():
        [layer(x) for _ in range(2)]
    weight = getattr(layer, name)
    weight.data = weight.data.t()
    other = getattr(torch.nn, kind.__name__)(layer.input_size, layer.hidden_size)
    other.load_state_dict(layer.state_dict())
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(layer(x)[0], other(x)[0])
        torch.testing.assert_close(layer(x)[0], other(x)[0])


def test_lengths_in_an_array_that_is_used_again():
    layer, lengths = GRU(3, 5, batch_first=True), np.array([3, 2])
    found = []
    for later in ([3, 2], [7, 6]):
        x = torch.linspace(-1, 2, 2 * 7 * 3).view(2, 7, 3).requires_grad_()
        lengths[:] = [3, 2]
        output, _ = layer(x, lengths=lengths)
        lengths[:] = later
        output.sum().backward()
        found.append(x.grad)
    assert torch.equal(*found)


def freed(tensor):
    tensor = tensor.detach().clone()
    tensor.untyped_storage().resize_(0)
    return tensor


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_tensors_without_memory(gradients, layers):
    layer, x, h = GRU(3, 5, num_layers=layers), torch.randn(4, 2, 3), torch.randn(layers, 2, 5)
    with torch.set_grad_enabled(gradients):
        for _ in range(2):
            layer(x, h)
        for given in ((freed(x), h), (x, freed(h))):
            with pytest.raises(RuntimeError):
                layer(*given)
        zeros = torch._efficientzerotensor(4, 2, 3)
        torch.testing.assert_close(layer(zeros, h)[0], layer(torch.zeros(4, 2, 3), h)[0])
        kept = layer.weight_hh_l0.data
        layer.weight_hh_l0.data = freed(kept)
        for _ in range(2):
            with pytest.raises(RuntimeError):
                layer(x, h)
        layer.weight_hh_l0.data = kept
        layer(x, h)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("way", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_parts_of_zeros_that_have_no_memory(way, gradients):
    """Each is said to lie where it begins behind the first of them."""
    zero, layer = torch._efficientzerotensor, GRU(3, 5, **way)
    x, h = torch.randn(4, 2, 3), torch.randn(2 if way else 1, 2, 5)
    with torch.set_grad_enabled(gradients):
        for _ in range(2):
            layer(x, h)
        found, wanted = layer(zero((6, 2, 3))[2:], h), layer(torch.zeros(4, 2, 3), h)
        torch.testing.assert_close(found, wanted)
        found, wanted = layer(x, zero((5, 2, 5))[-len(h) :]), layer(x)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("way", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_gradients_of_zeros_that_have_no_memory(way):
    zero, layer, x = torch._efficientzerotensor, GRU(3, 5, **way), torch.randn(4, 2, 3, requires_grad=True)
    output, last = layer(x)
    d_output, d_last = torch.randn(output.shape), torch.randn(last.shape)
    for pair in ((d_output, zero(last.shape)), (zero(output.shape), d_last), (zero((9, *output.shape))[4], d_last)):
        plain = [torch.zeros(each.shape) if each._is_zerotensor() else each for each in pair]
        found = torch.autograd.grad((output, last), x, pair, retain_graph=True)
        torch.testing.assert_close(found, torch.autograd.grad((output, last), x, plain, retain_graph=True))


def test_weights_whose_memory_is_gone_before_backward():
    layer, x = LSTM(3, 5), torch.randn(4, 2, 3, requires_grad=True)
    output, _ = layer(x)
    layer.weight_hh_l0.untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match="no memory"):
        output.sum().backward()


@pytest.mark.parametrize("gradients", [False, True])
def test_more_than_any_memory(gradients):
    """One number seen as 2^61 rows."""
    layer, x = GRU(1, 8), torch.zeros(1, 1, 1)
    with torch.set_grad_enabled(gradients):
        layer(x)
        with pytest.raises((MemoryError, RuntimeError)):
            layer(x.expand(2**61, 1, 1))


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize(("ending", "bidirectional"), [("_l1", False), ("_l0_reverse", True)])
def test_layers_and_directions_of_different_types(ending, bidirectional, autocast):
    layer = GRU(5, 33, num_layers=2, bidirectional=bidirectional)
    for name, parameter in list(layer.named_parameters()):
        if name.endswith(ending):
            setattr(layer, name, torch.nn.Parameter(parameter.detach().double()))
    message = r"weight_ih of layer \d(, reverse)? must be torch.float32 on cpu.* given torch.float64 on cpu"
    with torch.autocast("cpu", enabled=autocast), pytest.raises(ShapeError, match=message):
        layer(torch.randn(7, 4, 5))
