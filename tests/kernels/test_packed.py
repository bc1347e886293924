"""Packed weights are kept while they are the same, packed anew when they are not, and gone when nobody has them."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import pytest
import torch

import seqloom
from seqloom import GRU, LSTM, RNN
from seqloom.errors import ShapeError
from seqloom.kernels import Weights, packed, reference
from seqloom.kernels.packed import packed_weights
from tests.kernels.problems import make

torch.set_num_threads(1)

BATCHES = pytest.mark.parametrize("batch", [1, 40], ids=["few steps", "many steps"])  # a sample is looked at, or all


def layer_and_input(batch=1, hidden=100):
    torch.manual_seed(0)
    return GRU(17, hidden, batch_first=True), torch.randn(batch, 7, 17)


def assert_follows(layer, x):
    """What the layer gives is what its weights are now: beside the reference, which keeps nothing."""
    weights = Weights(*layer.all_weights[0])
    state = torch.zeros(x.shape[0], layer.hidden_size)
    wanted, _ = reference(layer.cell, x, (state,), weights, None, False)
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], wanted.detach(), rtol=1e-4, atol=1e-5)


def halve(layer):
    with torch.no_grad():
        layer.weight_ih_l0.mul_(0.5)


def halve_unseen(layer):
    layer.weight_hh_l0.data.mul_(0.5)


def shift_bias_unseen(layer):
    layer.bias_hh_l0.data.add_(0.25)


def put_others(layer):
    layer.weight_ih_l0.data = layer.weight_ih_l0.data + 0.25


def put_others_that_lie_otherwise(layer):
    layer.weight_hh_l0.data = layer.weight_hh_l0.data.t().contiguous().t() * 0.5


def new_parameter(layer):
    layer.weight_hh_l0 = torch.nn.Parameter(layer.weight_hh_l0.detach() * 0.5)


def load(layer):
    layer.load_state_dict({name: value * 0.5 for name, value in layer.state_dict().items()})


def load_assigned(layer):
    layer.load_state_dict({name: value * 0.5 for name, value in layer.state_dict().items()}, assign=True)


def step(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(torch.ones(1, 3, 17))[0].sum().backward()
    optimizer.step()


def step_fused(layer):
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=True)
    layer(torch.ones(1, 3, 17))[0].sum().backward()
    optimizer.step()


def clip(layer):
    torch.nn.utils.vector_to_parameters(
        torch.nn.utils.parameters_to_vector(layer.parameters()).clamp(-0.02, 0.02), layer.parameters()
    )


CHANGES = [
    halve,
    halve_unseen,
    shift_bias_unseen,
    put_others,
    put_others_that_lie_otherwise,
    new_parameter,
    load,
    load_assigned,
    step,
    step_fused,
    clip,
]


@BATCHES
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change, batch):
    layer, x = layer_and_input(batch)
    assert_follows(layer, x)
    before = layer(x)[0].detach()
    change(layer)
    assert_follows(layer, x)
    assert not torch.allclose(layer(x)[0], before, rtol=1e-3)


def test_a_single_weight_of_a_small_layer():
    """Looked at one by one, for those who differentiate numerically."""
    layer, x = layer_and_input(hidden=3)
    layer(x)
    for weight in layer.parameters():
        for index in range(weight.numel()):
            weight.data.view(-1)[index] += 0.5
            assert_follows(layer, x)


def test_a_single_weight_of_a_large_layer_over_many_steps():
    layer, x = layer_and_input(40)
    layer(x)
    layer.weight_hh_l0.data[7, 7] += 0.5
    assert_follows(layer, x)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.usefixtures("one_thread")
def test_a_single_weight_anywhere_however_many_threads_look(threads):
    """Of so many weights, 840,000, that threads share them. Two pieces that change places are a change, too."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layer, x = GRU(61, 500, batch_first=True), torch.randn(50, 7, 61)
    assert_follows(layer, x)
    weights = Weights(*layer.all_weights[0])
    assert packed_weights("gru", "float32", weights, 350) is packed_weights("gru", "float32", weights, 350)
    for index in (0, 16_383, 16_384, 400_001, 750_000 - 1):
        layer.weight_hh_l0.data.view(-1)[index] += 0.5
        assert_follows(layer, x)
    flat = layer.weight_hh_l0.data.view(-1)
    first, second = flat[:16_384].clone(), flat[16_384:32_768].clone()
    flat[:16_384], flat[16_384:32_768] = second, first
    assert_follows(layer, x)


def swap_halves(weight):
    first, second = weight.chunk(2)
    weight.copy_(torch.cat([second, first]))


# Each changes the same bits of many numbers, so that their sums may stay what they were.
PATTERNS = {
    "every sign": lambda weight: weight.neg_(),
    "signs of half the columns": lambda weight: weight.view(-1, 32)[:, :16].neg_(),
    "every other sign": lambda weight: weight.view(-1)[::2].neg_(),
    "sixteen times as much": lambda weight: weight.mul_(16),
    "four times as much": lambda weight: weight.mul_(4),
    "a quarter": lambda weight: weight.mul_(0.25),
    "from the last to the first": lambda weight: weight.copy_(weight.flip(0)),
    "halves change places": swap_halves,
    "rows move on": lambda weight: weight.copy_(weight.roll(1, 0)),
    "columns move on": lambda weight: weight.copy_(weight.view(-1, 32).roll(1, 1).view(weight.shape)),
}


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("hidden", [32, 64, 128, 192])
@pytest.mark.parametrize("values", ["normal", "alike"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patterns_of_changes_are_seen(pattern, hidden, values, dtype):
    """Sizes that are powers of two, and pieces of 16,384 words among them; ``alike``: of few different numbers."""
    generator = torch.Generator().manual_seed(0)
    rows = 4 * hidden

    def draw(*shape):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        return (drawn if values == "normal" else drawn.sign() * 0.5 + (drawn.abs() < 0.5) * 0.25).to(dtype)

    weights = Weights(draw(rows, 32), draw(rows, hidden), draw(rows), draw(rows))
    precision = "float32" if dtype is torch.float32 else "float64"
    for which in weights:
        first = packed_weights("lstm", precision, weights, 256)
        assert packed_weights("lstm", precision, weights, 256) is first
        before = which.clone()
        pattern(which.data)
        assert not torch.equal(which, before)
        assert packed_weights("lstm", precision, weights, 256) is not first


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", [(4, 5, 16), (4, 5, 100), (60, 5, 100)], ids=str)
def test_backward_is_of_the_numbers_that_forward_read(kind, bidirectional, sizes):
    """Weights that are others while backward packs its own, and then, behind torch's back, what they were before."""
    batch, time, hidden = sizes
    torch.manual_seed(0)
    layer = kind(8, hidden, bidirectional=bidirectional)
    twin = copy.deepcopy(layer)
    x = torch.randn(time, batch, 8)

    def gradients(layer):
        given = x.clone().requires_grad_()
        return torch.autograd.grad(layer(given)[0].square().sum(), [given, *layer.parameters()])

    output = layer(x)[0].square().sum()
    before = [weight.detach().clone() for weight in layer.parameters()]
    for weight in layer.parameters():
        weight.data.mul_(3)
    output.backward()
    for weight, each in zip(layer.parameters(), before, strict=True):
        weight.data.copy_(each)
    for found, wanted in zip(gradients(layer), gradients(twin), strict=True):
        assert torch.equal(found, wanted)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_weights_that_change_between_forward_and_backward_are_read_anew(kind):
    """As by torch, where the change is behind its back."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(8, 16, dtype=torch.float64)
    ours = getattr(seqloom, kind)(8, 16, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 4, 8, dtype=torch.float64)
    found = []
    for layer in (theirs, ours):
        given = x.clone().requires_grad_()
        output = layer(given)[0].square().sum()
        layer.weight_ih_l0.data.mul_(3)
        output.backward()
        found.append(given.grad)
    torch.testing.assert_close(found[1], found[0])


def test_parameters_may_change_places_with_others(monkeypatch):
    """As torch does where it is told to: it refuses where somebody has weak references to them."""
    from torch import __future__ as future

    monkeypatch.setattr(future, "_swap_module_params_on_conversion", True)
    layer, x = layer_and_input()
    others = GRU(17, 100, batch_first=True)
    assert_follows(layer, x)
    parameter = layer.weight_hh_l0
    layer.load_state_dict(others.state_dict())
    assert_follows(layer, x)
    layer.to(torch.float64)
    assert layer.weight_hh_l0 is parameter
    assert layer(x.double())[0].dtype is torch.float64
    torch.testing.assert_close(layer(x.double())[0], others.double()(x.double())[0])


def test_kept_while_nothing_changes():
    problem = make("gru", dtype=torch.float32)
    first = packed_weights("gru", "float32", problem.weights, 1)
    assert packed_weights("gru", "float32", problem.weights, 1000) is first
    assert packed_weights("gru", "bfloat16", problem.weights, 1) is not first
    with torch.no_grad():
        problem.weights.bias_ih.add_(1)
    second = packed_weights("gru", "float32", problem.weights, 1)
    assert second is not first
    assert packed_weights("gru", "float32", problem.weights, 1) is second


def test_kept_for_leaves_only():
    problem = make("gru", dtype=torch.float32)
    weights = problem.weights._replace(hh=problem.weights.hh * 1)
    before = len(packed._kept)
    assert packed_weights("gru", "float32", weights, 1) is not packed_weights("gru", "float32", weights, 1)
    assert len(packed._kept) == before


@pytest.mark.parametrize("which", range(4))
def test_gone_with_any_of_the_tensors(which):
    gc.collect()
    before = len(packed._kept)
    weights = list(make("gru", dtype=torch.float32).weights)
    packed_weights("gru", "float32", Weights(*weights), 1)
    assert len(packed._kept) == before + 1
    del weights[which]
    assert len(packed._kept) == before


def test_weights_made_for_inference():
    """They have no counter of changes: all of them are looked at in each call."""
    with torch.inference_mode():
        layer, x = layer_and_input()
        before = layer(x)[0].clone()
        layer.weight_hh_l0.mul_(2)
        assert not torch.allclose(layer(x)[0], before, rtol=1e-3)
        assert_follows(layer, x)


def test_weights_whose_memory_is_changed_for_one_made_for_inference():
    """They were counted when they were packed first; too many to be looked at all in each call then."""
    layer = GRU(5, 256).eval()
    x = torch.randn(3, 2, 5)
    with torch.inference_mode():
        layer(x)
        layer.weight_hh_l0.data = torch.randn(768, 256) / 16
        for _ in range(2):  # the long way, and the short one
            layer(x)
            layer.weight_hh_l0[7, 11] += 5
            wanted = GRU(5, 256).eval()
            wanted.load_state_dict(layer.state_dict())
            assert torch.equal(layer(x)[0], wanted(x)[0])


def test_weights_made_for_inference_are_kept_while_none_of_them_changes():
    with torch.inference_mode():
        weights = make("gru", features=40, hidden=70, dtype=torch.float32).weights
        weights = Weights(*(each.detach().clone() for each in weights))
        first = packed_weights("gru", "float32", weights, 1)
        assert packed_weights("gru", "float32", weights, 1) is first
        weights.hh[7, 7] += 0.5
        assert packed_weights("gru", "float32", weights, 1) is not first


def test_copies_and_pickles_of_layers():
    layer, x = layer_and_input()
    wanted = layer(x)[0]
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)):
        assert torch.equal(other(x)[0], wanted)
        halve(other)
        assert_follows(other, x)
    assert torch.equal(layer(x)[0], wanted)


@pytest.mark.parametrize("which", ["hh", "bias_ih", "bias_hh"])
def test_weights_of_several_types_are_refused(which):
    weights = make("gru", dtype=torch.float32).weights
    weights = weights._replace(**{which: getattr(weights, which).double()})
    name = which.replace("hh", "weight_hh") if which == "hh" else which
    with pytest.raises(ShapeError, match=f"{name} must be torch.float32 on cpu, as weight_ih is; given torch.float64"):
        packed_weights("gru", "float32", weights, 1)
