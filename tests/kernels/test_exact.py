"""How near single precision and bfloat16 come to torch's layers in double precision, on every instruction set."""

from __future__ import annotations

import pytest
import torch

from tests.kernels.problems import CELL_IDS, CELLS, assert_near, gradients, make, options
from tests.kernels.test_compiled import MODULES

torch.set_num_threads(1)

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
AS_A_LAYER = 3**-0.5  # weights as a layer draws them
SIZES = [  # B, T, I, H
    (51, 20, 42, 100),
    (3, 33, 1, 17),
    (64, 30, 128, 256),
    (3, 67, 41, 300),
    (15, 21, 33, 420),
    (1, 100, 257, 33),
    (7, 17, 3, 1),
]


def in_double(problem):
    """The results of torch's layer in double precision, and the leaves to ask for gradients of."""
    batch_first = {"batch_first": True, "dtype": torch.float64}
    hidden, features = problem.weights.hh.shape[1], problem.input.shape[2]
    module = MODULES[problem.cell.name, problem.cell.nonlinearity](features, hidden, **batch_first)
    with torch.no_grad():
        for own, given in zip(module.parameters(), problem.weights, strict=True):
            own.copy_(given)
    input = problem.input.detach().double().requires_grad_()
    state = tuple(each.detach().double().requires_grad_() for each in problem.state)
    over = tuple(each.unsqueeze(0) for each in state)
    output, last = module(input, over if len(over) > 1 else over[0])
    last = (last,) if isinstance(last, torch.Tensor) else last
    return [output, *(each.squeeze(0) for each in last)], [input, *state, *module.parameters()]


def slack(nonlinearity):
    """In bfloat16 a relu network's gradients jump where a sum near zero is rounded to the other side."""
    return 0.1 if nonlinearity == "relu" else 1e-2


def compare(problem, values, derivatives):
    given, (wanted, leaves) = problem.run(), in_double(problem)
    assert_near(given, wanted, values)
    assert_near(gradients(given, problem.leaves), gradients(wanted, leaves), derivatives)


@cells
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_single_precision(name, nonlinearity, size, isa):
    batch, time, features, hidden = size
    sizes = {"batch": batch, "time": time, "features": features, "hidden": hidden}
    compare(make(name, nonlinearity, **sizes, dtype=torch.float32, gain=1.0), 5e-7, 5e-6)


@cells
def test_over_4096_steps(name, nonlinearity, isa):
    problem = make(name, nonlinearity, batch=2, time=4096, features=8, hidden=33, dtype=torch.float32)
    given, (wanted, _) = problem.run(), in_double(problem)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=1e-6)


@cells
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_products_in_bfloat16(name, nonlinearity, size, isa):
    batch, time, features, hidden = size
    sizes = {"batch": batch, "time": time, "features": features, "hidden": hidden}
    problem = make(name, nonlinearity, **sizes, dtype=torch.float32, gain=AS_A_LAYER)
    single = problem.run()
    problem.options = problem.options._replace(precision="bfloat16")
    assert not torch.equal(problem.run()[0], single[0])
    compare(problem, 1e-2, slack(nonlinearity))


@cells
def test_double_precision(name, nonlinearity, isa):
    compare(make(name, nonlinearity, batch=7, time=33, features=17, hidden=100), 1e-14, 1e-13)


@cells
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_options_in_single_precision(name, nonlinearity, precision, isa):
    """Beside the same in double precision, which is held to the reference elsewhere."""
    sizes = {"batch": 17, "time": 20, "features": 33, "hidden": 65, "gain": AS_A_LAYER}
    problem, double = make(name, nonlinearity, **sizes, dtype=torch.float32), make(name, nonlinearity, **sizes)
    with torch.no_grad():
        for one, other in zip(double.leaves, problem.leaves, strict=True):
            one.copy_(other)
    double.options = options(double, "all")
    problem.options = options(problem, "all")._replace(precision=precision)
    lengths = torch.arange(17) + 3
    given, wanted = problem.run(lengths=lengths, reverse=True), double.run(lengths=lengths, reverse=True)
    near = (5e-7, 5e-6) if precision == "float32" else (1e-2, slack(nonlinearity))
    assert_near(given, wanted, near[0])
    assert_near(gradients(given, problem.leaves), gradients(wanted, double.leaves), near[1])
