"""Any sizes, lengths, options and layers, in memory that is full of NaN and guarded at both ends."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom import kernels
from seqloom.kernels import Options, Weights, calls, compiled
from tests.kernels.problems import CELLS, OPTIONS, assert_close, gradients, make, options

torch.set_num_threads(1)

SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 33, 64, 65])
GUARD = 1.2345
ROOM = 24  # numbers on each side


@pytest.fixture(autouse=True)
def guarded(monkeypatch):
    """All that the kernels write: NaN at first, with guards around it that are looked at in the end."""
    blocks = []

    def block(like, *shape):
        count = math.prod(shape)
        numbers = torch.full((count + 2 * ROOM,), GUARD, dtype=like.dtype)
        numbers[ROOM : ROOM + count] = float("nan")
        blocks.append(numbers)
        return like.new_empty(0).set_(numbers.untyped_storage(), ROOM, shape)

    monkeypatch.setattr(calls, "memory", lambda like: block(like, *like.shape))
    monkeypatch.setattr(compiled, "stash_memory", block)
    monkeypatch.setattr(calls, "sequence", lambda input, features: block(input, *input.shape[:2], features))
    yield
    assert blocks
    for numbers in blocks:
        assert bool((numbers[:ROOM] == GUARD).all())
        assert bool((numbers[-ROOM:] == GUARD).all())


def draw_problem(data, most_time=12):
    name, nonlinearity = data.draw(st.sampled_from(CELLS))
    sizes = {"batch": data.draw(SIZES), "time": data.draw(st.integers(1, most_time)), "features": data.draw(SIZES)}
    problem = make(name, nonlinearity, **sizes, hidden=data.draw(SIZES), bias=data.draw(st.booleans()))
    problem.options = options(problem, data.draw(st.sampled_from(OPTIONS)), all_states=data.draw(st.booleans()))
    if data.draw(st.booleans()):
        problem.input = problem.input.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    lengths = data.draw(st.none() | st.integers(0, 99))
    if lengths is not None:
        generator = torch.Generator().manual_seed(lengths)
        lengths = torch.randint(0, sizes["time"] + 1, (sizes["batch"],), generator=generator)
    return problem, lengths


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_scan(data):
    problem, lengths = draw_problem(data)
    reverse = data.draw(st.booleans())
    result, wanted = problem.run(lengths=lengths, reverse=reverse), problem.run(kernels.reference, lengths, reverse)
    assert_close(result, wanted, rtol=1e-9, atol=1e-10)
    wished = data.draw(st.lists(st.booleans(), min_size=len(problem.leaves), max_size=len(problem.leaves)))
    for leaf, wish in zip(problem.leaves, wished, strict=True):
        leaf.requires_grad_(wish)
    if any(wished):
        leaves = [leaf for leaf in problem.leaves if leaf.requires_grad]
        result, wanted = problem.run(lengths=lengths, reverse=reverse), problem.run(kernels.reference, lengths, reverse)
        assert_close(gradients(result, leaves), gradients(wanted, leaves), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize(("name", "nonlinearity"), CELLS)
def test_arrays_that_no_cache_holds(name, nonlinearity, reverse):
    """Above 4 MiB each, and the stash of the gated cells above 16 MiB: they are written past the caches."""
    problem = make(name, nonlinearity, batch=33, time=61, features=320, hidden=288)
    lengths = torch.randint(0, 62, (33,), generator=torch.Generator().manual_seed(1))
    result, wanted = problem.run(lengths=lengths, reverse=reverse), problem.run(kernels.reference, lengths, reverse)
    assert_close(result, wanted, rtol=1e-9, atol=1e-10)
    assert_close(gradients(result, problem.leaves), gradients(wanted, problem.leaves), rtol=1e-8, atol=1e-9)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_scan_in_lower_precision(data):
    """Nothing is left unwritten and nothing else is touched; how near it comes is looked at elsewhere."""
    problem, lengths = draw_problem(data)
    double = problem.run(lengths=lengths)
    low = make(problem.cell.name, problem.cell.nonlinearity)
    low.input, low.state = problem.input.detach().float(), tuple(each.detach().float() for each in problem.state)
    low.weights = Weights(*(None if each is None else each.detach().float() for each in problem.weights))
    for leaf in low.leaves:
        leaf.requires_grad_()
    mask = problem.options.dropout_mask
    precision = data.draw(st.sampled_from(["float32", "bfloat16"]))
    low.options = problem.options._replace(dropout_mask=None if mask is None else mask.float(), precision=precision)
    result = low.run(lengths=lengths)
    tolerance = 1e-5 if precision == "float32" else 0.3
    assert_close([each.double() for each in result], double, rtol=tolerance, atol=tolerance)
    assert all(each.isfinite().all() for each in gradients(result, low.leaves))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_stack(data):
    """Layers, directions and resets beside a stack of references."""
    problem, lengths = draw_problem(data, most_time=6)
    layers, both = data.draw(st.integers(1, 3)), data.draw(st.booleans())
    directions = 2 if both else 1
    batch, time, features = problem.input.shape
    hidden = problem.weights.hh.shape[1]
    sizes = {"batch": batch, "time": time, "hidden": hidden}
    weights, states = [], []
    for index in range(layers * directions):
        reads = features if index < directions else directions * hidden
        one = make(problem.cell.name, problem.cell.nonlinearity, features=reads, seed=index, **sizes)
        weights.append(one.weights)
        states.append(one.state)
    state = tuple(torch.stack(each) for each in zip(*states, strict=True))
    resets = torch.rand(batch, time, generator=torch.Generator().manual_seed(7)) < data.draw(
        st.sampled_from([0.0, 0.4])
    )
    output, last = kernels.stack(
        problem.cell, problem.input, state, weights, lengths, bidirectional=both, resets=resets
    )
    ends = torch.full((batch,), time) if lengths is None else lengths
    seen = torch.cat([resets[:, 1:], resets[:, :1] & False], dim=1) & (torch.arange(1, time + 1) < ends.unsqueeze(1))
    below = problem.input
    for layer in range(0, len(weights), directions):
        outputs = []
        for index in range(layer, layer + directions):
            reverse = index > layer
            one, after = kernels.reference(
                problem.cell,
                below,
                tuple(each[index] for each in state),
                weights[index],
                lengths,
                reverse,
                Options(fresh=seen if reverse else resets),
            )
            outputs.append(one)
            assert_close([each[index] for each in last], after, rtol=1e-9, atol=1e-10)
        below = torch.cat(outputs, dim=2)
    assert_close([output], [below], rtol=1e-9, atol=1e-10)
