"""Layers one above the other as one node of autograd: one by one to the bit, and the reference's second derivatives."""

from __future__ import annotations

import itertools

import pytest
import torch

from seqloom import kernels
from seqloom.kernels.compiled import compiled_scan
from seqloom.kernels.short import short
from tests.kernels.problems import CELL_IDS, CELLS, assert_close, assert_equal, make

torch.set_num_threads(1)


class Layers:
    """Layers with distinct weights and states, all packed, so that the short way is taken."""

    def __init__(self, name="lstm", nonlinearity="tanh", *, layers=3, time_first=False, **how):
        hidden = how.get("hidden", 9)
        each = [make(name, nonlinearity, **how)]
        each += [
            make(name, nonlinearity, features=hidden, seed=n, **{k: v for k, v in how.items() if k != "features"})
            for n in range(1, layers)
        ]
        self.cell, self.time_first = each[0].cell, time_first
        with torch.no_grad():
            for one in each:
                kernels.scan(one.cell, one.input, one.state, one.weights)
        input = each[0].input.detach()
        self.input = (input.transpose(0, 1).contiguous() if time_first else input).requires_grad_()
        states = zip(*(one.state for one in each), strict=True)
        self.state = tuple(torch.stack(parts).detach().requires_grad_() for parts in states)
        self.weights = [one.weights for one in each]

    @property
    def leaves(self):
        flat = itertools.chain(*self.weights)
        return [each for each in (self.input, *self.state, *flat) if each is not None]

    def at_once(self):
        output, last = short(self.cell, self.input, self.state, self.weights, time_first=self.time_first)
        return [output, *last]

    def one_by_one(self, scan=compiled_scan):
        output, last = self.input, []
        if self.time_first:
            output = output.transpose(0, 1)
        for layer, one in enumerate(self.weights):
            output, after = scan(self.cell, output, tuple(each[layer] for each in self.state), one, None, False)
            last.append(after)
        if self.time_first:
            output = output.transpose(0, 1)
        return [output, *map(torch.stack, zip(*last, strict=True))]


def weighted(computed, which=(0, 1, 2)):
    """A number that depends on some of what was computed, each element with another factor."""
    chosen = [each for n, each in enumerate(computed) if n in which]
    return sum((each * torch.linspace(-1, 2, each.numel(), dtype=each.dtype).view(each.shape)).sum() for each in chosen)


@pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("time_first", [False, True])
@pytest.mark.parametrize("how", [{}, {"bias": False, "batch": 33, "dtype": torch.float32}], ids=["float64", "float32"])
def test_one_by_one_to_the_bit(name, nonlinearity, layers, time_first, how):
    stack = Layers(name, nonlinearity, layers=layers, time_first=time_first, **how)
    computed, wanted = stack.at_once(), stack.one_by_one()
    assert len({each.grad_fn for each in computed}) == 1
    assert_equal(computed, wanted)
    found = torch.autograd.grad(weighted(computed), stack.leaves)
    assert_equal(found, torch.autograd.grad(weighted(wanted), stack.leaves))


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (1, 2)], ids=str)
def test_gradients_of_some_of_what_comes_out(which):
    stack = Layers()
    found = torch.autograd.grad(weighted(stack.at_once(), which), stack.leaves)
    wanted = torch.autograd.grad(weighted(stack.one_by_one(kernels.reference), which), stack.leaves)
    assert_close(found, wanted)


@pytest.mark.parametrize("which", [(0,), (1,), (2,), (3,), (6,), (8, 9), (11,), (14,), (0, 14), (2, 8)], ids=str)
def test_gradients_for_some_of_what_goes_in(which):
    """The input, two states, and four weights of each of three layers; all others ask for none."""
    stack = Layers()
    asked = [stack.leaves[n] for n in which]
    for each in stack.leaves:
        each.requires_grad_(any(each is one for one in asked))
    found = torch.autograd.grad(weighted(stack.at_once()), asked)
    assert_equal(found, torch.autograd.grad(weighted(stack.one_by_one()), asked))


def test_no_work_for_layers_that_nothing_is_wanted_of(monkeypatch):
    from seqloom.kernels import stacked

    called = []
    backward = stacked.backward
    monkeypatch.setattr(
        stacked, "backward", lambda packed, *rest: called.append(rest[-1][0]) or backward(packed, *rest)
    )
    stack = Layers()
    for each in (stack.input, *stack.state, *stack.weights[0], *stack.weights[1]):
        each.requires_grad_(False)
    weighted(stack.at_once()).backward()
    assert called == [False]  # of the last layer alone, and not for its input
    stack.weights[1].hh.requires_grad_()
    weighted(stack.at_once()).backward()
    assert called == [False, True, False]


def test_one_tensor_in_several_places():
    """Two layers of the same weights, and the same tensor for both states."""
    stack = Layers(layers=3)
    stack.weights[2] = stack.weights[1]
    stack.state = (stack.state[0],) * 2
    leaves = [stack.input, stack.state[0], *stack.weights[0], *stack.weights[1]]
    found = torch.autograd.grad(weighted(stack.at_once()), leaves)
    assert_close(found, torch.autograd.grad(weighted(stack.one_by_one(kernels.reference)), leaves))


@pytest.mark.parametrize(("name", "nonlinearity"), [("elman", "tanh"), ("gru", "tanh"), ("lstm", "tanh")])
@pytest.mark.parametrize("time_first", [False, True])
def test_second_derivatives(name, nonlinearity, time_first):
    stack = Layers(name, nonlinearity, layers=2, time_first=time_first, batch=2, time=3, hidden=4)

    def second(computed):
        first = torch.autograd.grad(weighted([each.square() for each in computed]), stack.leaves, create_graph=True)
        return torch.autograd.grad(weighted([torch.cat([each.flatten() for each in first])], (0,)), stack.leaves)

    assert_close(second(stack.at_once()), second(stack.one_by_one(kernels.reference)))


def test_many_gradients_at_once():
    stack = Layers("gru", layers=2)
    output = stack.at_once()[0][0, -1]
    every = torch.eye(len(output), dtype=output.dtype)
    found = torch.autograd.grad(output, stack.leaves, every, is_grads_batched=True, retain_graph=True)
    for n, one in enumerate(every):
        wanted = torch.autograd.grad(output, stack.leaves, one, retain_graph=True)
        assert_close([each[n] for each in found], wanted)


@pytest.mark.parametrize("place", ["input", "state", "weights"])
def test_what_has_changed_since_is_not_differentiated(place):
    stack = Layers(layers=2)
    computed = stack.at_once()
    with torch.no_grad():
        {"input": stack.input, "state": stack.state[1], "weights": stack.weights[0].hh}[place].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        weighted(computed).backward()


def test_gradients_that_lie_otherwise():
    """One number repeated, and axes in another order."""
    stack = Layers(batch=6, time=7, hidden=9)
    one = torch.tensor(0.25, dtype=torch.float64).expand(6, 7, 9)
    turned = torch.linspace(-1, 1, 6 * 7 * 9, dtype=torch.float64).view(9, 7, 6).permute(2, 1, 0)
    for d_output in (one, turned, turned.neg()):
        found = torch.autograd.grad(stack.at_once()[0], stack.leaves, d_output)
        wanted = torch.autograd.grad(stack.one_by_one(kernels.reference)[0], stack.leaves, d_output.contiguous())
        assert_close(found, wanted)


def test_backward_twice_and_never_again():
    stack = Layers(layers=2)
    loss = weighted(stack.at_once())
    first = torch.autograd.grad(loss, stack.leaves, retain_graph=True)
    assert_equal(torch.autograd.grad(loss, stack.leaves), first)
    with pytest.raises(RuntimeError, match="a second time"):
        torch.autograd.grad(loss, stack.leaves)
