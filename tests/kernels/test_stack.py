"""Layers and directions: resets, options, all states, and how the output lies."""

from __future__ import annotations

import pytest
import torch

from seqloom import kernels
from seqloom.errors import ShapeError
from seqloom.kernels import Options, Weights
from seqloom.parts import part
from tests.kernels.problems import CELL_IDS, CELLS, LENGTHS, assert_close, assert_equal, gradients, make, options

torch.set_num_threads(1)

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)


def stacked(name="lstm", nonlinearity="tanh", layers=2, directions=2, **sizes):
    """Distinct weights and states for each layer and direction."""
    problem = make(name, nonlinearity, **sizes)
    hidden = problem.weights.hh.shape[1]
    weights = [problem.weights]
    for index in range(1, layers * directions):
        features = 3 if index < directions else directions * hidden
        weights.append(make(name, nonlinearity, features=features, seed=index).weights)
    batch = problem.input.shape[0]
    generator = torch.Generator().manual_seed(5)
    state = tuple(
        torch.randn(layers * directions, batch, hidden, generator=generator, dtype=torch.float64)
        for _ in problem.cell.states
    )
    return problem.cell, problem.input, state, weights


@cells
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_is_its_scans_one_above_the_other(name, nonlinearity, lengths):
    cell, input, state, weights = stacked(name, nonlinearity)
    output, last, steps = kernels.stack(
        cell, input, state, weights, lengths, bidirectional=True, options=[Options(all_states=True)] * 4
    )
    for layer in (0, 2):
        below, outputs = input, []
        for index in (layer, layer + 1):
            before = tuple(each[index] for each in state)
            one, after, every = kernels.scan(
                cell, below, before, weights[index], lengths, index > layer, Options(all_states=True)
            )
            outputs.append(one)
            assert_equal([each[index] for each in last], after)
            assert_equal([each[index] for each in steps], every)
        input = torch.cat(outputs, dim=2)
    assert torch.equal(output, input)


def apart(cell, input, state, weights, length, marks):
    """One row [1, T, I], each of its sequences alone: forward from its beginning, reverse from its end."""
    starts = [t for t in range(length) if t == 0 or marks[t]]
    ends = [*starts[1:], length]
    below = input[:, :length]
    for layer in range(0, len(weights), 2):
        outputs = []
        for index in (layer, layer + 1):
            pieces = []
            for start, end in zip(starts, ends, strict=True):
                given = (start == 0 and not marks[0]) if index == layer else end == length
                before = tuple(each[index] * given for each in state)
                pieces.append(
                    kernels.reference(cell, below[:, start:end], before, weights[index], None, index > layer)[0]
                )
            outputs.append(torch.cat(pieces, dim=1))
        below = torch.cat(outputs, dim=2)
    return below


@cells
@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 2, 6]], ids=["dense", "ragged"])
def test_resets(name, nonlinearity, lengths):
    """Nothing passes a mark, in either direction; marks on padding and at a row's end mean nothing."""
    cell, input, state, weights = stacked(name, nonlinearity)
    marks = torch.zeros(5, 7, dtype=torch.bool)
    for place in [(0, 0), (0, 2), (0, 3), (1, 3), (1, 4), (1, 6), (2, 1), (3, 1), (3, 2), (4, 0), (4, 6)]:
        marks[place] = True
    output, _ = kernels.stack(cell, input, state, weights, lengths, bidirectional=True, resets=marks)
    for row, length in enumerate(lengths or [7] * 5):
        of_row = tuple(each[:, row : row + 1] for each in state)
        wanted = apart(cell, input[row : row + 1], of_row, weights, length, marks[row].tolist())
        assert_close([output[row : row + 1, :length]], [wanted])
        assert torch.count_nonzero(output[row, length:]) == 0


def test_resets_of_one_layer():
    """One direction, with the last states: those of each row's last sequence."""
    cell, input, state, weights = stacked("gru", layers=1, directions=1)
    marks = torch.zeros(5, 7, dtype=torch.bool)
    marks[:, 4] = True
    output, (last,) = kernels.stack(cell, input, state, weights, resets=marks)
    wanted, (wanted_last,) = kernels.stack(cell, input[:, 4:], (torch.zeros_like(state[0]),), weights)
    assert_equal((output[:, 4:], last), (wanted, wanted_last))


@cells
def test_options_of_each_layer_and_direction(name, nonlinearity):
    cell, input, state, weights = stacked(name, nonlinearity)
    problem = make(name, nonlinearity)
    chosen = [options(problem, "all", all_states=False, seed=seed) for seed in range(4)]
    output, last = kernels.stack(cell, input, state, weights, LENGTHS, bidirectional=True, options=chosen)
    for layer in (0, 2):
        outputs = []
        for index in (layer, layer + 1):
            before = tuple(each[index] for each in state)
            one, after = kernels.scan(cell, input, before, weights[index], LENGTHS, index > layer, chosen[index])
            outputs.append(one)
            assert_equal([each[index] for each in last], after)
        input = torch.cat(outputs, dim=2)
    assert torch.equal(output, input)


def test_all_states_if_one_of_them_asks():
    cell, input, state, weights = stacked()
    *_, steps = kernels.stack(
        cell, input, state, weights, bidirectional=True, options=[Options()] * 3 + [Options(all_states=True)]
    )
    assert [each.shape for each in steps] == [(4, 5, 7, 9), (4, 5, 7, 9)]
    *_, steps = kernels.stack(
        cell, input[:, :0], state, weights, bidirectional=True, options=[Options(all_states=True)] * 4
    )
    assert [each.shape for each in steps] == [(4, 5, 0, 9), (4, 5, 0, 9)]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=["compiled", "torch"])
@pytest.mark.parametrize("all_states", [False, True], ids=["last", "all states"])
def test_time_first(layers, directions, lengths, dtype, all_states):
    """The same, whoever computes; what comes out is contiguous in its own order.

    Of torch's operators to the rounding of bfloat16: without AVX-512 their sums depend on the order of the axes.
    """

    def assert_same(given, wanted):
        if dtype == torch.float64:
            assert_equal(given, wanted)
        else:
            assert_close(given, wanted, rtol=2e-2, atol=1e-2)

    cell, input, state, weights = stacked("lstm", layers=layers, directions=directions)
    input, state = input.detach().to(dtype).requires_grad_(), tuple(each.to(dtype) for each in state)
    weights = [Weights(*(weight.detach().to(dtype) for weight in one)) for one in weights]
    asked = {"bidirectional": directions == 2, "options": [Options(all_states=all_states)] * len(weights)}
    wanted, wanted_last, *wanted_steps = kernels.stack(cell, input, state, weights, lengths, **asked)
    turned = input.detach().transpose(0, 1).contiguous().requires_grad_()
    output, last, *steps = kernels.stack(cell, turned, state, weights, lengths, **asked, time_first=True)
    assert_same((output.transpose(0, 1), *last), (wanted, *wanted_last))
    assert output.is_contiguous()
    assert len(steps) == len(wanted_steps) == all_states
    if all_states:
        assert_same([each.transpose(1, 2) for each in steps[0]], wanted_steps[0])
        assert all(each.is_contiguous() for each in steps[0])
    weighed = torch.randn(wanted.shape, dtype=dtype)
    (gradient,) = torch.autograd.grad((wanted * weighed).sum(), input)
    (other,) = torch.autograd.grad((output * weighed.transpose(0, 1)).sum(), turned)
    assert_same([other.transpose(0, 1)], [gradient])


@cells
def test_time_first_in_one_layer(name, nonlinearity):
    """All gradients, twice differentiable, with lengths, options and resets, which keep their axes."""
    cell, input, state, weights = stacked(name, nonlinearity, layers=1, directions=1)
    resets = torch.zeros(5, 7, dtype=torch.bool)
    resets[:, 3] = True
    asked = {"resets": resets, "options": [options(make(name, nonlinearity), "marks")]}
    leaves = [input, *weights[0]]

    def found(time_first):
        given = input.transpose(0, 1) if time_first else input
        output, last, steps = kernels.stack(cell, given, state, weights, LENGTHS, **asked, time_first=time_first)
        results = [*((output.transpose(0, 1),) if time_first else (output,)), *last]
        results += [each[0].transpose(0, 1) if time_first else each[0] for each in steps]
        first = gradients(results, leaves, create_graph=True)
        return [*results, *first, *gradients(first[:1], leaves)]

    assert_close(found(True), found(False))


def test_wrong_axes_are_named():
    cell, input, state, weights = stacked("gru", layers=1, directions=1)
    with pytest.raises(ShapeError, match=r"input must be \[T, B, I=3\], 3 axes; given \[7, 3\], 2 axes"):
        kernels.stack(cell, input[0], state, weights, time_first=True)
    with pytest.raises(ShapeError, match=r"state h must be \[L\*D=1, B=7, H=9\]; given \[1, 5, 9\]"):
        kernels.stack(cell, input, state, weights, time_first=True)
    with pytest.raises(ShapeError, match=r"lengths must be \[B=5\]; given \[7\]"):
        kernels.stack(cell, input.transpose(0, 1), state, weights, [1] * 7, time_first=True)


def test_dropout_between_layers():
    cell, input, state, weights = stacked("gru", layers=3, directions=1)
    wanted, _ = kernels.stack(cell, input, state, weights, dropout=0.5)
    torch.manual_seed(0)
    dropped, _ = kernels.stack(cell, input, state, weights, dropout=0.5, training=True)
    assert not torch.allclose(dropped, wanted)
    torch.manual_seed(0)
    below = input
    for index, one in enumerate(weights):
        if index > 0:
            below = torch.nn.functional.dropout(below, 0.5)
        below, _ = kernels.scan(cell, below, (state[0][index],), one)
    assert torch.equal(dropped, below)


def test_a_cell_without_a_fast_way_runs_all_the_same():
    """By the reference: layers, directions, lengths and dropout come with any cell."""

    class Leaky(part("cells", "elman")):
        """h' = 0.9 h + 0.1 tanh(...), with a second state that counts the steps."""

        states = ("h", "steps")

        def step(self, input, state, *weights):
            h, steps = state
            return 0.9 * h + 0.1 * super().step(input, (h,), *weights)[0], steps + 1

    torch.manual_seed(0)
    weights = [Weights(torch.randn(4, i), torch.randn(4, 4), torch.randn(4), torch.randn(4)) for i in (3, 3, 8, 8)]
    state = (torch.randn(4, 2, 4), torch.zeros(4, 2, 4))
    x = torch.randn(2, 5, 3)
    output, (h, steps) = kernels.stack(Leaky(), x, state, weights, [5, 2], bidirectional=True)
    assert output.shape == (2, 5, 8)
    assert torch.equal(steps, torch.tensor([5.0, 2.0]).view(1, 2, 1).expand(4, 2, 4))
    alone, _ = kernels.stack(Leaky(), x[1:, :2], tuple(s[:, 1:] for s in state), weights, bidirectional=True)
    torch.testing.assert_close(output[1:, :2], alone)
    torch.testing.assert_close(h[2], output[[0, 1], [4, 1], :4])
    torch.testing.assert_close(h[3], output[:, 0, 4:])
    _, (_, steps) = kernels.stack(
        Leaky(), x, state, weights, bidirectional=True, resets=torch.tensor([[False, False, False, True, False]] * 2)
    )
    assert torch.equal(steps[:, 0, 0], torch.tensor([2.0, 3.0, 2.0, 3.0]))
