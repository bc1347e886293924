"""The reference beside a loop in numpy: one row, one step, one equation at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqloom import kernels
from seqloom.kernels import Options, Weights
from seqloom.parts import part
from tests.kernels.problems import CELL_IDS, CELLS, LENGTHS, OPTIONS, assert_close, make, options

torch.set_num_threads(1)

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def propose(name, nonlinearity, x, state, masked, weights):
    """One step of one row, by the equations in the cells' docstrings; ``masked`` is h as the hidden weights see it."""
    ih, hh, bias_ih, bias_hh = weights
    given, hidden = ih @ x + bias_ih, hh @ masked + bias_hh
    if name == "elman":
        return (np.tanh(given + hidden) if nonlinearity == "tanh" else np.maximum(given + hidden, 0),)
    if name == "gru":
        (r, z, n), (hidden_r, hidden_z, hidden_n) = np.split(given, 3), np.split(hidden, 3)
        r, z = sigmoid(r + hidden_r), sigmoid(z + hidden_z)
        return ((1 - z) * np.tanh(n + r * hidden_n) + z * state[0],)
    i, f, g, o = np.split(given + hidden, 4)
    c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def by_hand(problem, lengths, reverse):
    arrays = [each.detach().numpy() for each in problem.leaves]
    count = len(problem.state)
    input, states, weights, chosen = arrays[0], arrays[1 : 1 + count], arrays[1 + count :], problem.options
    batch, time, _ = input.shape
    steps = [np.zeros((batch, time, states[0].shape[1])) for _ in states]
    last = [state.copy() for state in states]
    for row in range(batch):
        state = [each[row] for each in states]
        length = time if lengths is None else lengths[row]
        for t in range(length - 1, -1, -1) if reverse else range(length):
            if chosen.fresh is not None and chosen.fresh[row, t]:
                state = [np.zeros_like(each) for each in state]
            masked = state[0] if chosen.dropout_mask is None else state[0] * chosen.dropout_mask[row].numpy()
            new = propose(problem.cell.name, problem.cell.nonlinearity, input[row, t], state, masked, weights)
            rates = list(chosen.zoneout) or [0.0] * count
            if chosen.zoneout_marks:
                rates = [marks[row, t].numpy().astype(float) for marks in chosen.zoneout_marks]
            state = [rate * old + (1 - rate) * one for rate, old, one in zip(rates, state, new, strict=True)]
            for over_time, each in zip(steps, state, strict=True):
                over_time[row, t] = each
        for end, each in zip(last, state, strict=True):
            end[row] = each
    return [torch.from_numpy(each) for each in (steps[0], *last, *steps)]


@cells
@both_ways
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("which", OPTIONS)
def test_is_the_equation_at_each_step(name, nonlinearity, which, reverse, lengths):
    problem = make(name, nonlinearity)
    problem.options = options(problem, which)
    given = problem.run(kernels.reference, lengths, reverse)
    wanted = by_hand(problem, lengths, reverse)
    assert_close(given, wanted)
    assert_close(
        problem.run(kernels.reference, lengths, reverse, problem.options._replace(all_states=False)),
        wanted[: 1 + len(problem.state)],
    )


@cells
@pytest.mark.parametrize("which", ["rates", "all"])
def test_numerical_gradients(name, nonlinearity, which):
    problem = make(name, nonlinearity, batch=2, time=3, features=2, hidden=3)
    chosen, count = options(problem, which), len(problem.state)

    def run(input, *rest):
        state, weights = rest[:count], Weights(*rest[count:])
        output, last, steps = kernels.reference(problem.cell, input, state, weights, torch.tensor([2, 3]), True, chosen)
        return output, *last, *steps[1:]

    assert torch.autograd.gradcheck(run, problem.leaves)
    assert torch.autograd.gradgradcheck(run, problem.leaves)


def test_zoneout_at_the_ends_of_its_range():
    problem = make("lstm")
    plain = problem.run(kernels.reference)
    assert_close(problem.run(kernels.reference, options=Options(zoneout=(0.0, 0.0))), plain, rtol=0, atol=0)
    _, h, c = problem.run(kernels.reference, options=Options(zoneout=(1.0, 1.0)))
    assert_close((h, c), problem.state, rtol=0, atol=0)


def test_marks_are_what_rates_expect():
    """Over many draws of marks, the mean of the states after one step is that of the rates."""
    problem = make("lstm", time=1, batch=2, hidden=3)
    generator = torch.Generator().manual_seed(0)
    many = 4000
    drawn = torch.zeros(2, 3, dtype=torch.float64)
    for _ in range(many):
        marks = tuple(torch.rand(2, 1, 3, generator=generator) < rate for rate in (0.25, 0.5))
        drawn += problem.run(kernels.reference, options=Options(zoneout_marks=marks))[2].detach()
    wanted = problem.run(kernels.reference, options=Options(zoneout=(0.25, 0.5)))[2].detach()
    torch.testing.assert_close(drawn / many, wanted, rtol=0, atol=0.03)


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_fresh_start_forgets_all_that_was(spoilt):
    """Not by a product with zero, which NaN would survive."""
    problem = make("gru")
    fresh = torch.zeros(5, 7, dtype=torch.bool)
    fresh[:, 3] = True
    wanted = problem.run(kernels.reference, options=Options(fresh=fresh))
    with torch.no_grad():
        problem.input[:, :3] = spoilt
    given = problem.run(kernels.reference, options=Options(fresh=fresh))
    assert torch.equal(given[0][:, 3:], wanted[0][:, 3:])
    assert not given[0][:, :3].isfinite().any()


def test_a_mask_with_a_cell_of_one_s_own():
    """Masked is the product alone; what a cell does beside it with the state, it does with the whole state."""

    class Leaky(part("cells", "elman")):
        def step(self, input, state, *weights):
            return (0.9 * state[0] + 0.1 * super().step(input, state, *weights)[0],)

    problem = make("elman", time=1)
    problem.cell = Leaky()
    mask = torch.rand(5, 9, dtype=torch.float64).round() * 2
    (output, _) = problem.run(kernels.reference, options=Options(dropout_mask=mask))
    ih, hh, bias_ih, bias_hh = problem.weights
    h = problem.state[0]
    wanted = 0.9 * h + 0.1 * torch.tanh(problem.input[:, 0] @ ih.T + bias_ih + (mask * h) @ hh.T + bias_hh)
    torch.testing.assert_close(output[:, 0], wanted)
