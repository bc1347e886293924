"""What must not change a bit: the number of threads, other rows, gradients, the steps of a call, the order of axes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from seqloom.kernels import Options
from tests.kernels.problems import CELL_IDS, CELLS, assert_close, assert_equal, gradients, make, options

pytestmark = pytest.mark.usefixtures("one_thread")

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
types = pytest.mark.parametrize(
    ("dtype", "precision"),
    [(torch.float32, "float32"), (torch.float64, "float32"), (torch.float32, "bfloat16")],
    ids=["float32", "float64", "bfloat16"],
)
SIZES = [  # B, T, I, H
    (1, 50, 33, 257),
    (3, 17, 100, 33),
    (3, 40, 41, 300),
    (8, 11, 20, 210),
    (15, 9, 33, 420),
    (20, 6, 33, 420),
    (33, 20, 17, 65),
    (100, 9, 1, 32),
    (64, 12, 128, 256),
]


def problem_of(name, nonlinearity, size, dtype, precision, which="plain"):
    batch, time, features, hidden = size
    sizes = {"batch": batch, "time": time, "features": features, "hidden": hidden}
    problem = make(name, nonlinearity, **sizes, dtype=dtype)
    problem.options = options(problem, which)._replace(precision=precision)
    return problem


def rows_of(problem, rows):
    """The problem of these rows alone, with leaves of its own."""
    own = [each.detach()[rows].requires_grad_() for each in (problem.input, *problem.state)]
    return replace(problem, input=own[0], state=tuple(own[1:]))


def ragged(size):
    return torch.randint(0, size[1] + 1, (size[0],), generator=torch.Generator().manual_seed(2))


@cells
@types
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_number_of_threads(name, nonlinearity, dtype, precision, size):
    """Outputs, states and their gradients; the gradients of weights are sums, and may round otherwise."""
    problem = problem_of(name, nonlinearity, size, dtype, precision)
    few = 1 + len(problem.state)
    for lengths in (None, ragged(size)):
        found = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results = problem.run(lengths=lengths)
            found.append((results, gradients(results, problem.leaves)))
        torch.set_num_threads(1)
        for results, derivatives in found[1:]:
            assert_equal(results, found[0][0])
            assert_equal(derivatives[:few], found[0][1][:few])
            tolerance = {"rtol": 1e-11, "atol": 1e-11} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-3}
            assert_close(derivatives[few:], found[0][1][few:], **tolerance)


@cells
@types
@pytest.mark.parametrize("size", SIZES[1:], ids=str)
@pytest.mark.parametrize("count", [1, 2])
def test_the_other_rows(name, nonlinearity, dtype, precision, size, count):
    """A row gives what it gives alone, beside fewer rows, and in another order."""
    torch.set_num_threads(count)
    problem = problem_of(name, nonlinearity, size, dtype, precision)
    lengths = ragged(size)
    results = problem.run(lengths=lengths)
    derivatives = gradients([results[0].square()], problem.leaves[: 1 + len(problem.state)])
    for rows in ([size[0] - 1], list(range(size[0] // 2 + 1)), list(reversed(range(size[0])))):
        part = rows_of(problem, rows)
        given = part.run(lengths=lengths[rows])
        assert_equal(given, [each[rows] for each in results])
        weighed = torch.linspace(-1, 2, results[0].numel(), dtype=dtype).view_as(results[0])[rows]
        total = (given[0].square() * weighed).sum()
        assert_equal(torch.autograd.grad(total, [part.input, *part.state]), [each[rows] for each in derivatives])


@cells
@types
@pytest.mark.parametrize(
    ("batch", "count", "hidden"),
    [(1, 1, 65), (5, 1, 65), (15, 1, 210), (40, 1, 65), (1, 2, 530), (5, 2, 530), (8, 2, 530)],
)
def test_step_by_step(name, nonlinearity, dtype, precision, batch, count, hidden):
    """As text is streamed: T calls of one step, each beginning where the one before it ended.

    Weights of 530 units crowd a cache: one call reads them from the first, the next one from the last.
    """
    torch.set_num_threads(count)
    problem = problem_of(name, nonlinearity, (batch, 20, 33, hidden), dtype, precision)
    with torch.no_grad():
        output, *last = problem.run(options=Options(precision=precision))
        state = problem.state
        for t in range(20):
            part = replace(problem, input=problem.input[:, t : t + 1], state=state)
            one, *state = part.run(options=Options(precision=precision))
            assert torch.equal(one[:, 0], output[:, t])
    assert_equal(state, last)


@cells
@types
@pytest.mark.parametrize("size", [*SIZES, (2, 7, 5, 64), (7, 5, 33, 100), (17, 6, 3, 48)], ids=str)
def test_gradients_or_none(name, nonlinearity, dtype, precision, size):
    """Where nothing is kept for backward the rule goes over the rows in two parts."""
    problem = problem_of(name, nonlinearity, size, dtype, precision)
    for lengths in (None, ragged(size)):
        with torch.no_grad():
            alone = problem.run(lengths=lengths)
        assert_equal(alone, problem.run(lengths=lengths))


def test_strides():
    """A transposed [T, B, I] gives the bits of [B, T, I]."""
    problem = problem_of("lstm", "tanh", (33, 20, 17, 65), torch.float32, "float32", "all")
    results = problem.run()
    derivatives = gradients(results, problem.leaves)
    problem.input = problem.input.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    again = problem.run()
    assert_equal(again, results)
    assert_equal(gradients(again, problem.leaves), derivatives)


def test_the_same_twice():
    torch.set_num_threads(2)
    problem = problem_of("gru", "tanh", (64, 12, 128, 256), torch.float32, "float32", "all")
    first, second = problem.run(), problem.run()
    assert_equal(first, second)
    assert_equal(gradients(first, problem.leaves), gradients(second, problem.leaves))


@cells
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rows_beside_one_that_is_not_finite(name, nonlinearity, precision, isa):
    """Rows that share a tile with infinity and NaN give what they give without them."""
    size = (35, 6, 17, 33)
    found = []
    for bad in (False, True):
        problem = problem_of(name, nonlinearity, size, torch.float32, precision)
        if bad:
            with torch.no_grad():
                problem.input[7, 2, 3], problem.input[20, 1, 0] = torch.inf, torch.nan
        results = problem.run(options=problem.options)
        derivatives = gradients([results[0].square()], problem.leaves[: 1 + len(problem.state)])
        others = [row for row in range(size[0]) if row not in (7, 20)]
        found.append([each[others] for each in (*results, *derivatives)])
        assert bad == (not all(each.isfinite().all() for each in (*results, *derivatives)))
    assert_equal(found[1], found[0])


@cells
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("scale", [4e-19, 1.0, 1e18])
def test_a_row_alone_far_from_one(name, nonlinearity, precision, scale, isa):
    """Products below the normal range and near its end: one row, which may have a tile of its own, gives the same."""
    sizes = {"batch": 3, "time": 4, "features": 37, "hidden": 70}
    problem = make(name, nonlinearity, **sizes, dtype=torch.float32, bias=False)
    problem.options = problem.options._replace(precision=precision)
    with torch.no_grad():
        for each in (problem.input, problem.weights.ih):
            each.mul_(scale)
        for each in problem.state:
            each.mul_(min(scale**2, 1))
        problem.input[0, 2], problem.input[1, 3, 5], problem.input[2, 3, 7] = 0, torch.inf, torch.nan
    results = problem.run()
    few = [problem.input, *problem.state]
    derivatives = gradients([results[0].square()], few)
    weighed = torch.linspace(-1, 2, results[0].numel()).view_as(results[0])
    for row in range(3):
        part = rows_of(problem, [row])
        alone = part.run()
        total = (alone[0].square() * weighed[row : row + 1]).sum()
        found = [*alone, *torch.autograd.grad(total, [part.input, *part.state])]
        wanted = [each[row : row + 1] for each in (*results, *derivatives)]
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)
