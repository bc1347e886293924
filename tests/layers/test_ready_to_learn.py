"""Layers trained again and again, looked at in compiled code: as the long way to the bit, or that way itself."""

from __future__ import annotations

import copy
import threading

import pytest
import torch

from seqloom import kernels
from seqloom.errors import ShapeError
from seqloom.kernels import packed
from seqloom.layers.recurrent import Recurrent
from tests.layers.test_ready import COMPILED, arguments, assert_bits, flat, make

SIZES = [(1, 1), (1, 9), (5, 7), (70, 11)]  # B and T


def leaves(layer, x, state):
    """Of which gradients are wanted, new ones, and the state as the layer takes it."""
    x = x.clone().requires_grad_()
    if state is None:
        return x, None, [x]
    states = [each.clone().requires_grad_() for each in (state if isinstance(state, tuple) else (state,))]
    return x, tuple(states) if len(states) > 1 else states[0], [x, *states]


def gradients(layer, x, state):
    """What a call gives, and the gradients of all that it read."""
    x, state, given = leaves(layer, x, state)
    result = layer(x, state)
    loss = sum((each * torch.linspace(-1, 2, each.numel()).view(each.shape)).sum() for each in flat(result))
    return [each.detach() for each in flat(result)], torch.autograd.grad(loss, [*given, *layer.parameters()])


def assert_same(found, wanted):
    for one, other in zip((*found[0], *found[1]), (*wanted[0], *wanted[1]), strict=True):
        assert torch.equal(one, other)


def step(layer):
    """As an optimizer's: every number changes."""
    with torch.no_grad():
        for number, weight in enumerate(layer.parameters()):
            weight.mul_(0.75).add_(0.01 * (number + 1))


def never_looked_at(layer):
    twin = copy.deepcopy(layer)
    assert twin._ready is None
    return twin


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_first": True, "bias": False},
        {"precision": "bfloat16"},
        {"dtype": torch.float64},
        {"num_layers": 2, "batch_first": True},
        {"num_layers": 3, "dtype": torch.float64},
    ],
    ids=str,
)
@pytest.mark.parametrize("from_zeros", [False, True])
def test_as_the_long_way(monkeypatch, name, sizes, options, from_zeros, one_thread):
    layer = make(name, **options).train()
    x, state = (each if each is None else _to(each, options.get("dtype")) for each in arguments(layer, *sizes))
    state = None if from_zeros else state
    wanted = []
    for _ in range(3):
        wanted.append(gradients(never_looked_at(layer), x, state))
        step(layer)
    layer = make(name, **options).train()
    gradients(layer, x, state)  # the weights are packed now, and the layer is looked at
    monkeypatch.setattr(kernels, "stack", None)
    for each in wanted:
        assert_same(gradients(layer, x, state), each)
        step(layer)


def _to(array, dtype):
    return tuple(each.to(dtype) for each in array) if isinstance(array, tuple) else array.to(dtype)


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight_hh_l0.data.mul_(1.5),
        lambda layer: setattr(layer, "weight_hh_l0", torch.nn.Parameter(layer.weight_hh_l0 * 1.5)),
        lambda layer: layer._parameters.update(weight_hh_l0=torch.nn.Parameter(layer.weight_hh_l0 * 1.5)),
        lambda layer: setattr(layer.bias_hh_l0, "data", layer.bias_hh_l0 + 0.5),
        lambda layer: setattr(layer.weight_hh_l0, "data", layer.weight_hh_l0.t().contiguous().t() * 1.5),
        lambda layer: setattr(layer.bias_ih_l0, "data", torch.linspace(-1, 2, 2 * 99)[::2]),
        lambda layer: setattr(layer, "precision", "bfloat16"),
        lambda layer: setattr(layer, "zoneout", (0.5,)),
    ],
    ids=["behind-torch", "parameter", "dictionary", "data", "columns", "every-other", "precision", "zoneout"],
)
@pytest.mark.parametrize("layers", [1, 2])
def test_changes_are_seen(change, layers, one_thread):
    layer = make("gru", num_layers=layers)
    x, state = arguments(layer, 3, 4)
    before = [gradients(layer, x, state) for _ in range(3)][-1]
    change(layer)
    wanted = gradients(never_looked_at(layer), x, state)
    assert not torch.equal(wanted[0][0], before[0][0])
    for _ in range(3):
        assert_same(gradients(layer, x, state), wanted)


def test_weights_of_another_size():
    """The same tensors, with other memory than the layer was made for, which nobody reads."""
    layer = make("gru")
    x, state = arguments(layer, 3, 4)
    gradients(layer, x, state)
    for other in (torch.randn(99, 32), torch.randn(98, 33), torch.randn(99), torch.tensor(1.0)):
        kept = layer.weight_hh_l0.data
        layer.weight_hh_l0.data = other
        with pytest.raises((ShapeError, IndexError)):
            layer(x, state)
        layer.weight_hh_l0.data = kept


def test_weights_of_a_layer_above_of_another_size():
    """The second layer's are looked at as the first's are, whose input has another size."""
    layer = make("gru", num_layers=2)
    x, state = arguments(layer, 3, 4)
    gradients(layer, x, state)
    kept = layer.weight_ih_l1.data
    for other in (torch.randn(99, 5), torch.randn(98, 33), torch.randn(99)):
        layer.weight_ih_l1.data = other
        with pytest.raises((ShapeError, IndexError)):
            layer(x, state)
    layer.weight_ih_l1.data = kept * 1.5
    assert_same(gradients(layer, x, state), gradients(never_looked_at(layer), x, state))


def test_packed_once_for_all(monkeypatch):
    """Training and evaluation in turn share what is packed: once after each step, whoever comes first."""
    layer = make("lstm")
    x, state = arguments(layer, 3, 4)
    twin = never_looked_at(layer)
    counted = []
    pack = packed._pack
    monkeypatch.setattr(packed, "_pack", lambda *given: counted.append(given) or pack(*given))
    with torch.no_grad():
        for _ in range(2):
            layer(x, state)
    for _ in range(3):
        assert_same(gradients(layer, x, state), gradients(twin, x, state))
        with torch.no_grad():
            assert_bits(layer(x, state), twin(x, state))
            step(layer)
            step(twin)
            assert_bits(layer.step(x[0], state), twin.step(x[0], state))
    assert_same(gradients(layer, x, state), gradients(twin, x, state))
    # Of this layer: when it was first seen, and in each of three rounds behind its step.
    assert sum(given[2].ih is layer.weight_ih_l0 for given in counted) == 4


def test_without_anything_to_learn():
    layer = make("gru").requires_grad_(False)
    x, state = arguments(layer, 3, 4)
    with torch.no_grad():
        wanted = layer(x, state)
    for _ in range(3):
        result = layer(x, state)
        assert_bits(result, wanted)
        assert not any(each.requires_grad for each in flat(result))
    assert layer(x.clone().requires_grad_(), state)[0].requires_grad


def test_second_derivatives(one_thread):
    layer = Recurrent("gru", 3, 4, dtype=torch.float64)
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    layer(x)
    assert torch.autograd.gradgradcheck(lambda each: layer(each)[0], x)


def test_several_threads_learn_at_once(one_thread):
    """One layer, four threads, and five rounds, each with weights of its own that nobody has packed yet."""
    layer = make("gru")
    x, state = arguments(layer, 3, 40)
    moments = []
    for _ in range(5):
        weights = copy.deepcopy(layer.state_dict())
        moments.append((weights, gradients(never_looked_at(layer), x, state)))
        step(layer)
    gradients(layer, x, state)
    rounds = iter(moments)
    start = threading.Barrier(4, action=lambda: layer.load_state_dict(next(rounds)[0]))
    failures = []

    def learn():
        try:
            for _, wanted in moments:
                start.wait()
                for _ in range(10):
                    assert_same(gradients(layer, x, state), wanted)
        except BaseException as error:
            failures.append(error)
            start.abort()

    workers = [threading.Thread(target=learn) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not failures
