"""Who computes, and that whoever does gives the same: other types, autocast, torch.func, tracing."""

from __future__ import annotations

import pytest
import torch
import torch.utils.flop_counter
from torch.testing._internal.two_tensor import TwoTensor

from seqloom import GRU, kernels
from seqloom.kernels import Options, Weights, reference
from seqloom.kernels.compiled import compiled_scan
from seqloom.kernels.native_torch import torch_scan
from seqloom.kernels.operator import operator_scan
from seqloom.parts import part
from tests.kernels.problems import (
    CELL_IDS,
    CELLS,
    LENGTHS,
    OPTIONS,
    assert_close,
    assert_near,
    gradients,
    make,
    options,
)

torch.set_num_threads(1)

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own, in forward mode
cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)


def of(problem):
    return kernels.route(problem.cell, problem.input, problem.state, problem.weights, problem.options)


@cells
def test_who_computes(name, nonlinearity):
    single, half = (make(name, nonlinearity, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert of(single) is of(make(name, nonlinearity)) is compiled_scan
    assert kernels.route(single.cell, single.input) is compiled_scan
    assert of(half) is torch_scan
    for which in OPTIONS[1:]:
        single.options, half.options = options(single, which), options(half, which)
        assert (of(single), of(half)) == (compiled_scan, reference)
    single.options = options(single, "mask")
    single.options.dropout_mask.requires_grad_()  # only the reference gives a gradient of the mask
    assert of(single) is reference


def test_a_cell_that_nobody_has_a_fast_way_for():
    class Unheard(part("cells", "gru")):
        """In a module that is not one of the cells."""

    assert kernels.route(Unheard(), torch.zeros(1, 1, 1)) is reference


def test_tensors_that_stand_for_others():
    problem = make("gru", dtype=torch.float32)
    problem.weights = problem.weights._replace(hh=TwoTensor(problem.weights.hh.detach(), problem.weights.hh.detach()))
    assert of(problem) is not compiled_scan
    problem = make("gru", dtype=torch.float32)
    problem.state = (TwoTensor(problem.state[0].detach(), problem.state[0].detach()),)
    assert of(problem) is not compiled_scan


def test_under_others():
    problem = make("gru")
    for leaf in problem.leaves:
        leaf.requires_grad_(False)
    seen = {}

    def look(name, x):
        seen[name] = of(problem)
        return x

    with torch.autograd.forward_ad.dual_level():
        look("dual", None)
    torch.func.vmap(lambda x: look("vmap", x))(torch.ones(2))
    torch.func.grad(lambda x: look("grad", x).sum())(torch.ones(2))
    torch.jit.trace(lambda x: look("trace", x), torch.ones(2), check_trace=False)
    with torch.utils.flop_counter.FlopCounterMode(display=False):
        look("mode", None)
    assert seen == {
        "dual": reference,
        "vmap": reference,
        "grad": reference,
        "trace": torch_scan,
        "mode": operator_scan,
    }


# --- torch's own operators --------------------------------------------------------------------------------------------


@cells
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_torch_s_operators(name, nonlinearity, lengths, reverse):
    """What runs on CUDA, here on the CPU. All states of all steps they give where these are the output."""
    problem = make(name, nonlinearity)
    problem.options = Options(all_states=name != "lstm")
    given, wanted = problem.run(torch_scan, lengths, reverse), problem.run(reference, lengths, reverse)
    assert_close(given, wanted)
    assert_close(gradients(given, problem.leaves), gradients(wanted, problem.leaves))


@cells
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("which", ["plain", "all"])
def test_half_precision(name, nonlinearity, dtype, lengths, which):
    problem = make(name, nonlinearity, dtype=dtype, hidden=8)
    problem.options = options(problem, which, all_states=False)
    double = make(name, nonlinearity, hidden=8)
    double.options = problem.options
    if which == "all":
        double.options = problem.options._replace(dropout_mask=problem.options.dropout_mask.double())
    given, wanted = problem.run(lengths=lengths), double.run(lengths=lengths)
    assert all(each.dtype == dtype for each in given)
    assert_near(given, wanted, 3e-2)
    assert_near(gradients(given, problem.leaves), gradients(wanted, double.leaves), 0.2)


# --- autocast ---------------------------------------------------------------------------------------------------------


@cells
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_autocast(name, nonlinearity, lengths):
    """Products in bfloat16; what comes out is of the weights' type, whatever goes in."""
    problem, low = make(name, nonlinearity, dtype=torch.float32), Options(precision="bfloat16")
    wanted = problem.run(lengths=lengths, options=low)
    with torch.autocast("cpu", torch.bfloat16):
        given = problem.run(lengths=lengths)
        rounded = make(name, nonlinearity, dtype=torch.float32)
        rounded.input = rounded.input.bfloat16()
        rounded.state = tuple(each.bfloat16() for each in rounded.state)
        also = rounded.run(lengths=lengths)
        masked = problem.run(options=Options(dropout_mask=torch.ones(5, 9, dtype=torch.bfloat16)))
    assert_close(given, wanted, rtol=0, atol=0)
    assert_close(masked, problem.run(options=low), rtol=0, atol=0)
    assert all(each.dtype == torch.float32 for each in also)
    assert_near(also, wanted, 1e-2)
    assert_close(gradients(given, problem.leaves), gradients(wanted, problem.leaves), rtol=0, atol=0)


@cells
def test_autocast_leaves_double_precision_alone(name, nonlinearity):
    problem = make(name, nonlinearity)
    wanted = problem.run()
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(problem.run(), wanted, rtol=0, atol=0)


def test_autocast_to_half_precision_computes_in_single():
    """Torch's LSTM has no such mode on a CPU."""
    problem = make("lstm", dtype=torch.float32)
    wanted = problem.run()
    with torch.autocast("cpu", torch.float16):
        assert_close(problem.run(), wanted, rtol=0, atol=0)


def test_second_derivatives_under_autocast():
    problem = make("gru", dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        (first,) = torch.autograd.grad(problem.run()[0].square().sum(), problem.input, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), problem.weights.hh)
    (first,) = torch.autograd.grad(problem.run()[0].square().sum(), problem.input, create_graph=True)
    assert_near([second], torch.autograd.grad(first.square().sum(), problem.weights.hh), 2e-2)


# --- torch.func, forward mode, tracing --------------------------------------------------------------------------------


@cells
def test_torch_func(name, nonlinearity):
    """An ensemble of weights; gradients of each example; a product with the Jacobian."""
    problem = make(name, nonlinearity)
    input, count = problem.input.detach(), len(problem.state)
    state = tuple(each.detach() for each in problem.state)

    def output(weights, input, *state):
        return kernels.scan(problem.cell, input, state, weights)[0]

    weights = Weights(*(weight.detach() for weight in problem.weights))
    many = Weights(*(torch.stack([weight, weight * 0.5]) for weight in weights))
    together = torch.func.vmap(output, in_dims=(0, None, *[None] * count))(many, input, *state)
    halved = Weights(*(weight * 0.5 for weight in weights))
    assert_close(together, [output(weights, input, *state), output(halved, input, *state)])

    def loss(weights, input, *state):
        return output(weights, input.unsqueeze(0), *(each.unsqueeze(0) for each in state)).square().sum()

    each_row = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, *[0] * count))(weights, input, *state)
    wanted = torch.autograd.grad(problem.run()[0].square().sum(), problem.weights)
    assert_close([gradient.sum(dim=0) for gradient in each_row], wanted)

    direction = torch.randn_like(input)
    _, product = torch.func.jvp(lambda x: output(weights, x, *state), (input,), (direction,))
    step = 1e-6
    difference = output(weights, input + step * direction, *state) - output(weights, input - step * direction, *state)
    torch.testing.assert_close(product, difference / (2 * step), rtol=1e-6, atol=1e-8)


def test_forward_mode():
    problem = make("lstm", batch=2, time=3, hidden=3)
    count = len(problem.state)

    def run(input, *rest):
        output, last = kernels.scan(problem.cell, input, rest[:count], Weights(*rest[count:]), [2, 3])
        return output, *last

    assert torch.autograd.gradcheck(run, problem.leaves, check_forward_ad=True)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_traced_layer():
    torch.manual_seed(0)
    layer = GRU(3, 9, 2, bidirectional=True)
    x = torch.randn(7, 5, 3)
    traced = torch.jit.trace(layer, (x,))
    for each in (x, torch.randn(7, 5, 3)):
        output, last = traced(each)
        wanted, wanted_last = layer(each)
        assert_close((output, last), (wanted, wanted_last), rtol=1e-5, atol=1e-6)


def test_sizes_without_values():
    """On the meta device there are shapes alone."""
    problem = make("lstm")
    problem.input = problem.input.to("meta")
    problem.state = tuple(each.to("meta") for each in problem.state)
    problem.weights = Weights(*(each.to("meta") for each in problem.weights))
    assert [each.shape for each in problem.run()] == [(5, 7, 9), (5, 9), (5, 9)]


@pytest.mark.parametrize("mode", ["meta", "cpu"])
def test_whatever_the_default_device(mode):
    problem = make("lstm", dtype=torch.float32)
    wanted = problem.run(lengths=LENGTHS, options=options(problem, "all"))
    derivatives = gradients(wanted, problem.leaves)
    asked = options(problem, "all")
    with torch.device(mode):
        given = problem.run(lengths=torch.tensor(LENGTHS, device="cpu"), options=asked)
    found = []
    for each in given:
        found.append(each.detach())
    assert_close(found, wanted, rtol=0, atol=0)
    assert_close(gradients(given, problem.leaves), derivatives, rtol=0, atol=0)
