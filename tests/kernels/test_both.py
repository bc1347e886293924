"""Both directions of a layer at once: what each of them gives alone, to the bit."""

from __future__ import annotations

import sys

import pytest
import torch

from seqloom import kernels
from seqloom.kernels import Options, Weights
from tests.kernels.problems import CELL_IDS, CELLS, LENGTHS, assert_close, assert_equal, gradients, make, options

pytestmark = pytest.mark.usefixtures("one_thread")

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
SIZES = [  # B, T, I, H
    (1, 3, 2, 5),
    (1, 50, 33, 100),
    (5, 17, 3, 65),
    (40, 9, 30, 33),
]


@pytest.fixture
def taken(monkeypatch):
    """How often both directions were run at once."""
    module, times = sys.modules["seqloom.kernels.scan"], []
    both = module.compiled_both

    def counted(*arguments):
        times.append(1)
        return both(*arguments)

    monkeypatch.setattr(module, "compiled_both", counted)
    return times


def bidirectional(name, nonlinearity, size=(5, 7, 3, 9), dtype=torch.float64, which="plain", precision="float32"):
    """What ``kernels.stack`` takes, and the options; the directions differ in all but their input."""
    batch, time, features, hidden = size
    sizes = {"batch": batch, "time": time, "features": features, "hidden": hidden, "dtype": dtype}
    ahead, back = (make(name, nonlinearity, seed=seed, **sizes) for seed in (1, 2))
    chosen = [
        options(problem, which, all_states=False, seed=seed)._replace(precision=precision)
        for seed, problem in enumerate((ahead, back))
    ]
    state = tuple(torch.stack(pair).detach().requires_grad_() for pair in zip(ahead.state, back.state, strict=True))
    return ahead.cell, ahead.input, state, [ahead.weights, back.weights], chosen


def leaves(input, state, weights):
    return [input, *state, *(each for one in weights for each in one if each is not None)]


def apart(cell, input, state, weights, lengths, chosen):
    """The same by two scans."""
    outputs, last = [], []
    for index in (0, 1):
        before = tuple(each[index] for each in state)
        output, after = kernels.scan(cell, input, before, weights[index], lengths, index > 0, chosen[index])
        outputs.append(output)
        last.append(after)
    return [torch.cat(outputs, dim=-1), *map(torch.stack, zip(*last, strict=True))]


@cells
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
@pytest.mark.parametrize(
    ("dtype", "precision", "which"),
    [
        (torch.float32, "float32", "plain"),
        (torch.float64, "float32", "all"),
        (torch.float32, "bfloat16", "rates"),
    ],
    ids=["float32", "float64 with all options", "bfloat16 with zoneout"],
)
def test_as_two_scans(name, nonlinearity, size, ragged, dtype, precision, which, taken):
    cell, input, state, weights, chosen = bidirectional(name, nonlinearity, size, dtype, which, precision)
    lengths = torch.randint(0, size[1] + 1, size[:1], generator=torch.Generator().manual_seed(2)) if ragged else None
    everything = leaves(input, state, weights)
    wanted = apart(cell, input, state, weights, lengths, chosen)
    wanted_gradients = gradients(wanted, everything)
    few = 1 + len(state)
    for count in (1, 2, 3, 4):
        torch.set_num_threads(count)
        output, last = kernels.stack(cell, input, state, weights, lengths, bidirectional=True, options=chosen)
        assert output.is_contiguous()
        assert_equal([output, *last], wanted)
        found = gradients([output, *last], everything)
        assert_equal(found[:few], wanted_gradients[:few])
        if count < 4:  # each direction is one thread's: the sums over rows and steps are the same too
            assert_equal(found[few:], wanted_gradients[few:])
        else:
            assert_close(found[few:], wanted_gradients[few:], rtol=1e-4, atol=1e-3)
        with torch.no_grad():
            output, last = kernels.stack(cell, input, state, weights, lengths, bidirectional=True, options=chosen)
        assert_equal([output, *last], wanted)
    assert len(taken) == 8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_and_the_order_of_axes(dtype, taken):
    """Two layers, [T, B, I], features apart in memory."""
    torch.set_num_threads(2)
    sizes = {"time": 30, "hidden": 33, "dtype": dtype}
    problem = make("lstm", **sizes)
    weights = [
        make("lstm", features=features, seed=seed, **sizes).weights for seed, features in enumerate((3, 3, 66, 66))
    ]
    state = tuple(
        torch.stack([make("lstm", seed=seed, **sizes).state[n] for seed in range(4)]).detach() for n in (0, 1)
    )
    marks = torch.rand(5, 30, generator=torch.Generator().manual_seed(3)) < 0.2
    found = []
    for time_first in (False, True):
        input = problem.input.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
        given = input.transpose(0, 1) if time_first else input
        output, last = kernels.stack(
            problem.cell, given, state, weights, bidirectional=True, resets=marks, time_first=time_first
        )
        output = output.transpose(0, 1) if time_first else output
        found.append([output, *last, *gradients([output, *last], leaves(input, (), weights))])
    assert_equal(found[1], found[0])
    assert len(taken) == 4


@cells
def test_gradients_that_are_wanted(name, nonlinearity, taken):
    """Some sources alone, and an output that nobody asked the gradient of."""
    cell, input, state, weights, chosen = bidirectional(name, nonlinearity, (5, 40, 17, 33))
    for wanted in ([input], [weights[1].hh], [state[0], weights[0].bias_ih], [input, weights[0].ih, weights[1].ih]):
        for part in (slice(0, 1), slice(1, 2), slice(None)):
            results = []
            for run in (False, True):
                for leaf in leaves(input, state, weights):
                    leaf.requires_grad_(any(leaf is each for each in wanted))
                torch.set_num_threads(1 + run)
                if run:
                    output, last = kernels.stack(cell, input, state, weights, LENGTHS, bidirectional=True)
                    computed = [output, *last]
                else:
                    computed = apart(cell, input, state, weights, torch.tensor(LENGTHS), chosen)
                results.append(gradients(computed[part], wanted))
            assert_equal(results[1], results[0])
    assert len(taken) == 12


@cells
def test_second_derivatives(name, nonlinearity):
    """As the reference has them, which torch differentiates by itself."""
    cell, input, state, weights, _ = bidirectional(name, nonlinearity, (3, 4, 2, 3))
    everything = leaves(input, state, weights)

    def run(*given):
        input, *rest = given
        state, rest = rest[: len(cell.states)], rest[len(cell.states) :]
        output, last = kernels.stack(
            cell, input, state, [Weights(*rest[:4]), Weights(*rest[4:])], [4, 2, 0], bidirectional=True
        )
        return output, *last

    assert torch.autograd.gradcheck(run, everything)
    assert torch.autograd.gradgradcheck(run, everything)


def test_a_vectorised_jacobian():
    cell, input, state, weights, _ = bidirectional("gru", "tanh", (2, 3, 2, 3))

    def run(input):
        return kernels.stack(cell, input, state, weights, bidirectional=True)[0]

    one_by_one = torch.autograd.functional.jacobian(run, input)
    assert_close([torch.autograd.functional.jacobian(run, input, vectorize=True)], [one_by_one])
    assert one_by_one.abs().sum() > 1


def test_one_direction_that_the_kernels_do_not_take(taken):
    """A mask that asks for its gradient: that direction goes another way, and so both go one by one."""
    cell, input, state, weights, chosen = bidirectional("gru", "tanh")
    mask = torch.full((5, 9), 1.25, dtype=torch.float64, requires_grad=True)
    chosen[1] = Options(dropout_mask=mask)
    output, _ = kernels.stack(cell, input, state, weights, bidirectional=True, options=chosen)
    wanted = apart(cell, input, state, weights, None, chosen)[0]
    assert_equal(gradients([output], [mask]), gradients([wanted], [mask]))
    assert not taken
