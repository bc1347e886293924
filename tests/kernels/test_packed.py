"""Packed weights are kept while they are the same, packed anew when they are not, and gone when nobody has them."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import pytest
import torch

from seqloom import GRU
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
