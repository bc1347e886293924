"""Every cell, whatever runs it over time, gives what its own step gives: values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seqloom import kernels
from seqloom.kernels import Options, Weights
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import names, part

torch.set_num_threads(1)

CELLS = [(name, nonlinearity) for name in names("cells") for nonlinearity in part("cells", name).nonlinearities]
pytestmark = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=["-".join(cell) for cell in CELLS])


def problem(name, nonlinearity, *, batch=5, time=7, features=3, hidden=9, dtype=torch.float64, seed=0, bias=True):
    """A cell with an input, distinct non-zero states and weights, all asking for gradients."""
    cell = part("cells", name)(nonlinearity)
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, scale: float = 0.5) -> Tensor:
        return (torch.randn(shape, generator=generator, dtype=torch.float64) * scale).to(dtype).requires_grad_()

    rows = cell.gates * hidden
    state = tuple(draw(batch, hidden) for _ in cell.states)
    biases = (draw(rows), draw(rows)) if bias else (None, None)
    return cell, draw(batch, time, features), state, Weights(draw(rows, features), draw(rows, hidden), *biases)


def by_hand(cell, input, state, weights, lengths, reverse, options=None):
    """Each row alone, each step by the cell's own equation: nothing is padded, nothing is masked."""
    options = options or Options()
    outputs, last = [], []
    for row, length in enumerate(lengths):
        one = tuple(s[row : row + 1] for s in state)
        output = [torch.zeros_like(one[0])] * input.shape[1]
        of_row = weights
        if options.dropout_mask is not None:
            of_row = weights._replace(hh=weights.hh * options.dropout_mask[row])
        for t in reversed(range(length)) if reverse else range(length):
            if options.fresh is not None and options.fresh[row, t]:
                one = tuple(torch.zeros_like(s) for s in one)
            new = cell.step(input[row : row + 1, t], one, *of_row)
            rates = options.zoneout or (0.0,) * len(new)
            if options.zoneout_marks:
                rates = tuple(marks[row, t].to(input.dtype) for marks in options.zoneout_marks)
            one = tuple(rate * old + (1 - rate) * each for rate, old, each in zip(rates, one, new, strict=True))
            output[t] = one[0]
        outputs.append(torch.stack(output, dim=1))
        last.append(one)
    return torch.cat(outputs), tuple(torch.cat(parts) for parts in zip(*last, strict=True))


def gradients(output, last, leaves):
    """Of a sum that weighs every element of the outputs and of the last states differently."""
    total = output.new_zeros(())
    for part_ in (output, *last):
        weight = torch.linspace(-1, 2, part_.numel(), dtype=part_.dtype).view_as(part_)
        total = total + (part_ * weight).sum()
    return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)


def leaves_of(input, state, weights):
    return [leaf for leaf in (input, *state, *weights) if leaf is not None]


def compare(route, case, lengths, reverse, tolerance, options=None):
    cell, input, state, weights = case
    leaves = leaves_of(input, state, weights)
    whole = [input.shape[1]] * input.shape[0] if lengths is None else lengths
    wanted, wanted_last = by_hand(cell, input, state, weights, whole, reverse, options)
    given_, given_last = route(cell, input, state, weights, lengths, reverse, options or Options())
    assert len(given_last) == len(cell.states)
    for name, one, other in zip(("output", *cell.states), (given_, *given_last), (wanted, *wanted_last), strict=True):
        torch.testing.assert_close(one, other, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
    for one, other in zip(gradients(given_, given_last, leaves), gradients(wanted, wanted_last, leaves), strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def by_reference(cell, input, state, weights, lengths, reverse, options=None):
    lengths = None if lengths is None else torch.as_tensor(lengths)
    return kernels.reference(cell, input, state, weights, lengths, reverse, options or Options())


@pytest.mark.parametrize("route", [kernels.scan, by_reference], ids=["scan", "reference"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2], [4, 1, 3, 0, 2]], ids=["dense", "ragged", "short"])
def test_is_the_step_repeated(name, nonlinearity, route, reverse, lengths):
    compare(route, problem(name, nonlinearity), lengths, reverse, {"rtol": 1e-10, "atol": 1e-12})


def chance(share, *shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))) < share


@pytest.mark.parametrize("route", [kernels.scan, by_reference], ids=["scan", "reference"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("kept", ["rates", "marks"])
def test_beyond_torch(name, nonlinearity, route, reverse, kept):
    """Fresh starts, a mask on what the hidden weights see, and zoneout."""
    case = problem(name, nonlinearity)
    states = len(case[0].states)
    mask = chance(0.7, 5, 9).double() * 1.25
    options = Options(fresh=chance(0.3, 5, 7), dropout_mask=mask, zoneout=(0.25, 0.5, 0.125)[:states])
    if kept == "marks":
        marks = tuple(chance(rate, 5, 7, 9) for rate in options.zoneout)
        options = options._replace(zoneout=(), zoneout_marks=marks)
    compare(route, case, [3, 7, 1, 0, 2], reverse, {"rtol": 1e-10, "atol": 1e-12}, options)


@pytest.mark.parametrize("route", [kernels.scan, by_reference], ids=["scan", "reference"])
def test_all_states(name, nonlinearity, route):
    """What a scan of the first t steps ends with, for each t; zero beyond a row's length."""
    cell, input, state, weights = problem(name, nonlinearity)
    lengths = [3, 7, 1, 0, 2]
    output, last, steps = route(cell, input, state, weights, lengths, False, Options(all_states=True))
    assert len(steps) == len(cell.states)
    assert torch.equal(steps[0], output)
    plain, plain_last = route(cell, input, state, weights, lengths, False)
    assert torch.equal(output, plain)
    assert all(torch.equal(one, other) for one, other in zip(last, plain_last, strict=True))
    for row, length in enumerate(lengths):
        for t in range(length):
            one = tuple(s[row : row + 1] for s in state)
            _, end = route(cell, input[row : row + 1, : t + 1], one, weights, None, False)
            for each, wanted in zip(steps, end, strict=True):
                torch.testing.assert_close(each[row, t], wanted[0], rtol=1e-10, atol=1e-12)
        assert all(torch.count_nonzero(each[row, length:]) == 0 for each in steps)


def test_in_a_compiled_graph(name, nonlinearity):
    """Without a break, whoever computes."""
    torch.compiler.reset()
    cell, input, state, weights = problem(name, nonlinearity)

    def run(input, lengths):
        output, last = kernels.scan(cell, input * 2, state, weights, lengths, True)
        return (output.square(), *last)

    lengths = torch.tensor([3, 7, 1, 0, 2])
    given_ = torch.compile(run, fullgraph=True, backend="aot_eager")(input, lengths)
    wanted = run(input, lengths)
    leaves = leaves_of(input, state, weights)
    for one, other in zip(
        (*given_, *gradients(given_[0], given_[1:], leaves)),
        (*wanted, *gradients(wanted[0], wanted[1:], leaves)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2]], ids=["dense", "ragged"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
def test_is_the_step_repeated_in_single_precision(name, nonlinearity, lengths, bias):
    """Against double precision, in relative L2: single elements of a gradient are sums that nearly cancel."""
    cell, input, state, weights = problem(name, nonlinearity, dtype=torch.float32, bias=bias)
    _, input64, state64, weights64 = problem(name, nonlinearity, dtype=torch.float64, bias=bias)
    with torch.no_grad():
        for single, double in zip(
            leaves_of(input, state, weights), leaves_of(input64, state64, weights64), strict=True
        ):
            double.copy_(single)
    wanted = by_hand(cell, input64, state64, weights64, lengths or [7] * 5, True)
    given_ = kernels.scan(cell, input, state, weights, lengths, True)
    for one, other in zip((given_[0], *given_[1]), (wanted[0], *wanted[1]), strict=True):
        assert (one - other).norm() <= 5e-7 * other.norm()
    of_given = gradients(*given_, leaves_of(input, state, weights))
    of_wanted = gradients(*wanted, leaves_of(input64, state64, weights64))
    for one, other in zip(of_given, of_wanted, strict=True):
        assert (one - other).norm() <= 5e-6 * other.norm()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_size(name, nonlinearity, data):
    batch, time = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 9))
    sizes = {"features": data.draw(st.sampled_from([1, 2, 3, 17])), "hidden": data.draw(st.sampled_from([1, 3, 8, 17]))}
    lengths = data.draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    case = problem(name, nonlinearity, batch=batch, time=time, seed=data.draw(st.integers(0, 99)), **sizes)
    compare(kernels.scan, case, lengths, data.draw(st.booleans()), {"rtol": 1e-9, "atol": 1e-10})


def test_numerical_gradients(name, nonlinearity):
    cell, input, state, weights = problem(name, nonlinearity, batch=2, time=3, features=2, hidden=3)
    present = [weight for weight in weights if weight is not None]

    def function(input, *rest):
        state, weights = rest[: len(cell.states)], Weights(*rest[len(cell.states) :])
        output, last = kernels.scan(cell, input, state, weights, [2, 3], True)
        return output, *last

    arguments = (input, *state, *present)
    assert torch.autograd.gradcheck(function, arguments)
    assert torch.autograd.gradgradcheck(function, arguments)


@pytest.mark.parametrize("route", [kernels.scan, by_reference], ids=["scan", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_nothing_is_read_from_padding(name, nonlinearity, route, dtype, reverse):
    cell, input, state, weights = problem(name, nonlinearity, dtype=dtype)
    lengths = [3, 7, 1, 6, 2]
    dirty = input.detach().clone()
    for row, length in enumerate(lengths):
        dirty[row, length:] = torch.tensor([float("nan"), float("inf"), 1e30], dtype=dtype)
    dirty.requires_grad_()
    clean = route(cell, input, state, weights, lengths, reverse)
    given_ = route(cell, dirty, state, weights, lengths, reverse)
    assert torch.equal(given_[0], clean[0])
    assert all(torch.equal(one, other) for one, other in zip(given_[1], clean[1], strict=True))
    of_clean = gradients(*clean, leaves_of(input, state, weights))
    of_dirty = gradients(*given_, leaves_of(dirty, state, weights))
    assert all(torch.equal(one, other) for one, other in zip(of_dirty, of_clean, strict=True))
    for row, length in enumerate(lengths):
        assert torch.count_nonzero(given_[0][row, length:]) == 0
        assert torch.count_nonzero(of_dirty[0][row, length:]) == 0
        assert torch.count_nonzero(of_dirty[0][row, :length]) > 0


def test_gradients_of_padding_are_dropped(name, nonlinearity):
    """A loss may leave NaN in the gradient of what it never looked at."""
    cell, input, state, weights = problem(name, nonlinearity)
    leaves = leaves_of(input, state, weights)
    output, _ = kernels.scan(cell, input, state, weights, [3, 7, 1, 6, 2])
    incoming = torch.ones_like(output)
    wanted = torch.autograd.grad(output, leaves, incoming, retain_graph=True, allow_unused=True)
    incoming[0, 3:] = float("nan")
    given_ = torch.autograd.grad(output, leaves, incoming, allow_unused=True)
    assert all(torch.equal(one, other) for one, other in zip(given_, wanted, strict=True) if other is not None)


@pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "both-ways"])
def test_a_batch_gives_what_its_rows_give_alone(name, nonlinearity, bidirectional):
    torch.manual_seed(1)
    layer = Recurrent(
        name, 3, 9, 2, bidirectional=bidirectional, nonlinearity=nonlinearity, batch_first=True, dtype=torch.float64
    )
    lengths = [3, 7, 1, 6, 2]
    input = torch.randn(5, 7, 3, dtype=torch.float64)
    states = tuple(
        torch.randn(len(layer.all_weights), 5, 9, dtype=torch.float64) for _ in range(len(layer.cell.states))
    )
    output, last = layer(input, states, lengths=lengths)
    last = last if isinstance(last, tuple) else (last,)
    for row, length in enumerate(lengths):
        alone, alone_last = layer(input[row : row + 1, :length], tuple(s[:, row : row + 1] for s in states))
        alone_last = alone_last if isinstance(alone_last, tuple) else (alone_last,)
        torch.testing.assert_close(output[row : row + 1, :length], alone, rtol=1e-10, atol=1e-12)
        for one, other in zip(last, alone_last, strict=True):
            torch.testing.assert_close(one[:, row : row + 1], other, rtol=1e-10, atol=1e-12)


def test_a_sequence_in_two_halves(name, nonlinearity):
    """The states of the first half begin the second: how text is streamed and generated."""
    cell, input, state, weights = problem(name, nonlinearity)
    whole, last = kernels.scan(cell, input, state, weights)
    first, middle = kernels.scan(cell, input[:, :4], state, weights)
    second, end = kernels.scan(cell, input[:, 4:], middle, weights)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    for one, other in zip(end, last, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("batch", "time"), [(0, 4), (3, 0), (0, 0)])
@pytest.mark.parametrize("lengths", [False, True], ids=["dense", "lengths"])
def test_nothing_at_all(name, nonlinearity, batch, time, lengths):
    cell, input, state, weights = problem(name, nonlinearity, batch=batch, time=time)
    output, last = kernels.scan(cell, input, state, weights, [0] * batch if lengths else None)
    assert output.shape == (batch, time, 9)
    assert all(torch.equal(one, other) for one, other in zip(last, state, strict=True))


def test_all_rows_empty(name, nonlinearity):
    cell, input, state, weights = problem(name, nonlinearity)
    output, last = kernels.scan(cell, input, state, weights, [0] * 5, True)
    assert torch.equal(output, torch.zeros(5, 7, 9, dtype=torch.float64))
    assert all(torch.equal(one, other) for one, other in zip(last, state, strict=True))


@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2]], ids=["dense", "ragged"])
def test_mixed_precision(name, nonlinearity, lengths):
    cell, input, state, weights = problem(name, nonlinearity, dtype=torch.float32)
    wanted, wanted_last = by_hand(cell, input, state, weights, lengths or [7] * 5, True)
    with torch.autocast("cpu", torch.bfloat16):
        output, last = kernels.scan(cell, input, state, weights, lengths, True)
        kernels.scan(cell, input, last, weights, lengths)  # its states are taken back
    assert all(gradient.isfinite().all() for gradient in gradients(output, last, leaves_of(input, state, weights)))
    for one, other in zip((output, *last), (wanted, *wanted_last), strict=True):
        assert (one.float() - other).norm() <= 2e-2 * other.norm()


def test_inference(name, nonlinearity):
    cell, input, state, weights = problem(name, nonlinearity, dtype=torch.float32)
    wanted, wanted_last = by_hand(cell, input, state, weights, [3, 7, 1, 6, 2], False)
    with torch.inference_mode():
        output, last = kernels.scan(cell, input, state, weights, [3, 7, 1, 6, 2])
    torch.testing.assert_close(output.clone(), wanted.detach(), rtol=2e-5, atol=2e-6)
    for one, other in zip(last, wanted_last, strict=True):
        torch.testing.assert_close(one.clone(), other.detach(), rtol=2e-5, atol=2e-6)
