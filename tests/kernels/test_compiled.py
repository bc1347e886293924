"""The compiled kernels beside the reference: values and every gradient, whatever is asked for and however it lies."""

from __future__ import annotations

import functools

import pytest
import torch

from seqloom import kernels
from seqloom.kernels import Options, Weights
from seqloom.kernels.compiled import compiled_scan
from tests.kernels.problems import (
    CELL_IDS,
    CELLS,
    LENGTHS,
    OPTIONS,
    assert_close,
    assert_equal,
    gradients,
    make,
    options,
)

torch.set_num_threads(1)

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])

SIZES = [  # B, T, I, H
    (1, 1, 1, 1),
    (3, 17, 33, 1),
    (17, 3, 1, 33),
    (33, 2, 100, 17),
    (2, 3, 257, 100),
    (1, 5, 17, 257),
    (100, 1, 3, 3),
    (5, 257, 3, 17),
]


def compare(problem, lengths=None, reverse=False, **tolerance):
    assert kernels.route(problem.cell, problem.input, problem.state, problem.weights, problem.options) is compiled_scan
    given, wanted = problem.run(lengths=lengths, reverse=reverse), problem.run(kernels.reference, lengths, reverse)
    assert_close(given, wanted, **tolerance)
    assert_close(gradients(given, problem.leaves), gradients(wanted, problem.leaves), **tolerance)


@cells
@both_ways
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("which", OPTIONS)
def test_as_the_reference(name, nonlinearity, which, reverse, lengths):
    problem = make(name, nonlinearity)
    problem.options = options(problem, which)
    compare(problem, lengths, reverse)


@cells
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("which", ["plain", "all"])
def test_odd_sizes(name, nonlinearity, size, which):
    batch, time, features, hidden = size
    problem = make(name, nonlinearity, batch=batch, time=time, features=features, hidden=hidden)
    problem.options = options(problem, which)
    lengths = torch.randint(0, time + 1, (batch,), generator=torch.Generator().manual_seed(1))
    compare(problem, None, False, rtol=1e-9, atol=1e-10)
    compare(problem, lengths, True, rtol=1e-9, atol=1e-10)


@cells
def test_without_bias(name, nonlinearity):
    compare(make(name, nonlinearity, bias=False), LENGTHS, True)


def test_all_states_are_optional():
    problem = make("lstm")
    output, h, c, again, steps_c = problem.run(lengths=LENGTHS, options=Options(all_states=True))
    assert again is output
    assert_equal(problem.run(lengths=LENGTHS), (output, h, c))
    last = [length - 1 for length in LENGTHS]
    assert torch.equal(steps_c[[0, 1, 2, 4], [last[row] for row in (0, 1, 2, 4)]], c[[0, 1, 2, 4]])
    assert torch.count_nonzero(steps_c[3]) == 0


# --- how arrays lie ---------------------------------------------------------------------------------------------------


def between(array):
    """The same numbers with room between rows, at an address that no vector is aligned to."""
    wide = torch.ones((*array.shape[:-1], array.shape[-1] + 5), dtype=array.dtype)
    wide[..., 1:-4] = array
    return wide[..., 1:-4]


def features_first(array):
    return array.transpose(-1, -2).contiguous().transpose(-1, -2)


def time_first(array):
    return array.transpose(0, 1).contiguous().transpose(0, 1)


def misaligned(array):
    flat = torch.empty(array.numel() + 1, dtype=array.dtype)[1:]
    return flat.copy_(array.flatten()).view(array.shape)


LAYOUTS = [between, features_first, time_first, misaligned]


@cells
@pytest.mark.parametrize("lie", LAYOUTS)
def test_however_arrays_lie(name, nonlinearity, lie):
    """Copies change no bit; all options, states, weights, lengths and gradients that come in lie so too."""
    problem = make(name, nonlinearity)
    problem.options = options(problem, "all")
    lengths = torch.tensor(LENGTHS)
    wanted = problem.run(lengths=lengths)
    incoming = [torch.randn_like(each) for each in wanted]
    wanted_gradients = torch.autograd.grad(wanted, problem.leaves, incoming)

    def lain(array):
        return lie(array.detach()) if array.dim() > 1 else misaligned(array.detach())

    chosen = problem.options
    marks = tuple(map(lain, chosen.zoneout_marks))
    problem.options = chosen._replace(
        fresh=lain(chosen.fresh), dropout_mask=lain(chosen.dropout_mask), zoneout_marks=marks
    )
    problem.input = lain(problem.input).requires_grad_()
    problem.state = tuple(lain(each).requires_grad_() for each in problem.state)
    problem.weights = Weights(*(lain(each).requires_grad_() for each in problem.weights))
    spread = torch.stack([lengths, lengths], dim=1)[:, 0]
    given = problem.run(lengths=spread)
    assert_equal(given, wanted)
    given_gradients = torch.autograd.grad(given, problem.leaves, [lain(each) for each in incoming])
    assert_close(given_gradients, wanted_gradients, rtol=1e-13, atol=1e-13)  # weights: copied to other addresses


@cells
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_expanded_input(name, nonlinearity, axis):
    """One row, one step or one feature, repeated without being copied; gradients come back summed."""
    problem = make(name, nonlinearity)
    one = problem.input.detach().narrow(axis, 0, 1).requires_grad_()
    problem.input = one.expand(5, 7, 3)
    assert problem.input.stride(axis) == 0
    given, wanted = problem.run(), problem.run(kernels.reference)
    assert_close(given, wanted)
    leaves = [one, *problem.leaves[1:]]
    assert_close(gradients(given, leaves), gradients(wanted, leaves))


def test_windows_of_one_series():
    """Rows that overlap in memory."""
    problem = make("gru", batch=6, features=1)
    series = torch.randn(12, dtype=torch.float64, requires_grad=True)
    problem.input = series.unfold(0, 7, 1).unsqueeze(2)  # [6, 7, 1]
    given, wanted = problem.run(), problem.run(kernels.reference)
    assert_close(given, wanted)
    assert_close(gradients(given, [series]), gradients(wanted, [series]))


@cells
def test_expanded_states(name, nonlinearity):
    problem = make(name, nonlinearity)
    start = torch.randn(9, dtype=torch.float64, requires_grad=True)
    problem.state = (start.expand(5, 9),) * len(problem.state)
    given, wanted = problem.run(), problem.run(kernels.reference)
    assert_close(given, wanted)
    assert_close(gradients(given, [start]), gradients(wanted, [start]))


@cells
def test_time_first(name, nonlinearity):
    """Other axes, the same bits: of the input, the output, the steps and their gradients."""
    problem = make(name, nonlinearity)
    problem.options = options(problem, "all")
    wanted = problem.run(lengths=LENGTHS)
    derivatives = gradients(wanted[:1], problem.leaves)
    problem.input = problem.input.detach().transpose(0, 1).contiguous().requires_grad_()
    output, *rest = problem.run(functools.partial(compiled_scan, time_first=True), LENGTHS)
    assert output.is_contiguous()
    assert_equal([output.transpose(0, 1), *rest[: len(problem.state)]], wanted[: 1 + len(problem.state)])
    assert_equal([each.transpose(0, 1) for each in rest[len(problem.state) :]], wanted[1 + len(problem.state) :])
    weighed = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).view(5, 7, 9).transpose(0, 1)
    of_input, *others = torch.autograd.grad((output * weighed).sum(), problem.leaves)
    assert of_input.is_contiguous()
    assert_equal([of_input.transpose(0, 1), *others], derivatives)


def test_a_minus_that_torch_keeps_in_mind():
    """An imaginary part of a conjugate is a view of memory that holds the opposite numbers."""
    problem = make("gru")
    numbers = problem.input.detach()
    wanted = problem.run()
    derivatives = gradients(wanted, problem.leaves[1:])
    problem.input = torch.complex(torch.zeros_like(numbers), -numbers).conj().imag
    assert problem.input.is_neg()
    assert torch.equal(problem.input, numbers)
    assert_close(problem.run(), wanted)
    problem.input = numbers
    results = problem.run()
    incoming = [
        torch._neg_view(-torch.linspace(-1, 2, each.numel(), dtype=each.dtype).view_as(each)) for each in results
    ]
    assert_equal(torch.autograd.grad(results, problem.leaves[1:], incoming), derivatives)


# --- gradients --------------------------------------------------------------------------------------------------------


@cells
def test_incoming_gradients_of_any_kind(name, nonlinearity):
    """None, one number for all elements, one for each row, one for each feature."""
    problem = make(name, nonlinearity)
    problem.options = options(problem, "plain")
    given, wanted = problem.run(lengths=LENGTHS), problem.run(kernels.reference, LENGTHS)
    losses = [
        lambda results: results[0].sum(),
        lambda results: results[0].mean(dim=2).square().sum(),
        lambda results: (results[0].sum(dim=(0, 1)) * torch.arange(9.0, dtype=torch.float64)).sum(),
        lambda results: results[1].sum(),
        lambda results: results[-1].square().sum(),
        lambda results: results[0][:, -1].sum() + results[0].transpose(1, 2).flatten().cumsum(0).mean(),
    ]
    for loss in losses:
        of_given = torch.autograd.grad(loss(given), problem.leaves, retain_graph=True)
        assert_close(of_given, torch.autograd.grad(loss(wanted), problem.leaves, retain_graph=True))


@cells
def test_only_the_gradients_that_are_wanted(name, nonlinearity):
    problem = make(name, nonlinearity)
    everything = gradients(problem.run(), problem.leaves)
    for wanted, gradient in zip(problem.leaves, everything, strict=True):
        for leaf in problem.leaves:
            leaf.requires_grad_(leaf is wanted)
        results = problem.run()
        assert_equal(gradients(results, [wanted]), [gradient])


def test_no_gradients_without_anyone_to_ask():
    problem = make("lstm")
    with torch.no_grad():
        assert not any(each.requires_grad for each in problem.run())
    for leaf in problem.leaves:
        leaf.requires_grad_(False)
    assert not any(each.requires_grad for each in problem.run())


def test_a_graph_is_run_twice():
    problem = make("lstm")
    results = problem.run()
    first = gradients(results, problem.leaves, retain_graph=True)
    assert_equal(gradients(results, problem.leaves), first)
    with pytest.raises(RuntimeError, match="second time"):
        gradients(results, problem.leaves)


def test_a_tensor_in_two_places():
    problem = make("lstm")
    _, h, _, ih, hh, bias, _ = problem.leaves
    problem.state, problem.weights = (h, h), Weights(ih, hh, bias, bias)
    leaves = [problem.input, h, ih, hh, bias]
    given = gradients(problem.run(), leaves)
    assert_close(given, gradients(problem.run(kernels.reference), leaves))
    assert_close(gradients(problem.run(), leaves, create_graph=True), given)


@cells
@pytest.mark.parametrize("which", ["plain", "all", "rates"])
def test_second_derivatives(name, nonlinearity, which):
    problem = make(name, nonlinearity, batch=2, time=3, features=2, hidden=3)
    problem.options, count = options(problem, which), len(problem.state)

    def run(input, *rest):
        state, weights = rest[:count], Weights(*rest[count:])
        output, last, steps = kernels.scan(problem.cell, input, state, weights, [2, 3], True, problem.options)
        return output, *last, *steps[1:]

    assert torch.autograd.gradcheck(run, problem.leaves)
    assert torch.autograd.gradgradcheck(run, problem.leaves)


def test_many_gradients_at_once():
    """Jacobians by vectorised backward passes, where gradients that come in have an axis more."""
    problem = make("lstm", batch=2, time=3, hidden=3)

    def run(input, h):
        return kernels.scan(problem.cell, input, (h, problem.state[1]), problem.weights)[0]

    arguments = (problem.input, problem.state[0])
    slow = torch.autograd.functional.jacobian(run, arguments)
    assert_close(torch.autograd.functional.jacobian(run, arguments, vectorize=True), slow)


@pytest.mark.parametrize("place", ["input", "weight_hh"])
def test_what_backward_reads_must_not_change(place):
    """As with torch's own layers: an error, not a wrong gradient."""
    problem = make("gru")
    input = problem.input.clone()
    problem.input = input
    output, _ = problem.run()
    with torch.no_grad():
        {"input": input, "weight_hh": problem.weights.hh}[place].mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


# --- numbers ----------------------------------------------------------------------------------------------------------

MODULES = {
    ("elman", "tanh"): torch.nn.RNN,
    ("elman", "relu"): lambda *sizes, **how: torch.nn.RNN(*sizes, nonlinearity="relu", **how),
    ("gru", "tanh"): torch.nn.GRU,
    ("lstm", "tanh"): torch.nn.LSTM,
}


@cells
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_not_a_number_as_in_torch(name, nonlinearity, dtype, number):
    """It passes to the steps after it, in its row alone; what saturates saturates."""
    problem = make(name, nonlinearity, dtype=dtype)
    with torch.no_grad():
        problem.input[1, 3, 2] = number
        problem.input[2, 0] = number
        module = MODULES[name, nonlinearity](3, 9, batch_first=True, dtype=dtype)
        for own, given in zip(module.parameters(), problem.weights, strict=True):
            own.copy_(given)
        state = tuple(each.unsqueeze(0) for each in problem.state)
        wanted, last = module(problem.input, state if len(state) > 1 else state[0])
        given = problem.run()
    last = (last,) if isinstance(last, torch.Tensor) else last
    tolerance = {"rtol": 1e-5, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 1e-11, "atol": 1e-12}
    for one, other in zip(given, (wanted, *(each[0] for each in last)), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True, **tolerance)


@cells
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_infinite_gradients_and_weights_as_in_torch(name, nonlinearity, dtype, number):
    """9 units: the gates of the last block stand close together, and none may spoil another's."""
    problem = make(name, nonlinearity, dtype=dtype)
    module = MODULES[name, nonlinearity](3, 9, batch_first=True, dtype=dtype)
    gradient = torch.zeros(5, 7, 9, dtype=dtype)
    gradient[2, 6, 8] = number
    with torch.no_grad():
        for own, given in zip(module.parameters(), problem.weights, strict=True):
            own.copy_(given)
    state = tuple(each.unsqueeze(0) for each in problem.state)
    output, _ = module(problem.input, state if len(state) > 1 else state[0])
    output.backward(gradient)
    biases = [each for key, each in module.named_parameters() if key.startswith("bias")]
    own_output = problem.run()[0]
    own_biases = torch.autograd.grad(own_output, problem.weights[2:], gradient)
    for one, other in zip(own_biases, biases, strict=True):
        torch.testing.assert_close(one, other.grad, equal_nan=True, rtol=1e-4, atol=1e-5)

    with torch.no_grad():
        module.weight_hh_l0[7, 3] = number
        problem.weights[1][7, 3] = number
        zeros = tuple(torch.zeros_like(each) for each in state)
        wanted, _ = module(problem.input, zeros if len(zeros) > 1 else zeros[0])
        problem.state = tuple(each[0] for each in zeros)
        torch.testing.assert_close(problem.run()[0], wanted, equal_nan=True, rtol=1e-5, atol=1e-6)
    assert wanted[0, 0].isnan().any() or nonlinearity == "relu"


def test_a_relu_network_does_not_overflow_on_padding():
    """Its state doubles at each step: on 497 steps of padding it would grow to infinity, and the gradients to NaN."""
    problem = make("elman", "relu", batch=2, time=500, features=1, hidden=1, bias=False)
    weights = problem.weights
    with torch.no_grad():
        problem.input[0], problem.input[1] = 0, 1
        problem.state[0].zero_()
        weights.ih.fill_(1)
        weights.hh.fill_(2)
    output, last = problem.run(lengths=[500, 3])
    assert last.tolist() == [[0.0], [7.0]]
    output.sum().backward()
    # Outputs 1, w + 1, w*w + w + 1 for the recurrent weight w = 2: their derivatives are 0, 1 and 2*w + 1.
    assert weights.hh.grad.item() == 6.0
    assert weights.ih.grad.item() == 1 + 3 + 7
