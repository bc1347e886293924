"""The short way gives what the long one gives, and leaves to it whatever is out of the ordinary."""

from __future__ import annotations

import pytest
import torch

from seqloom import kernels
from seqloom.errors import ShapeError
from seqloom.kernels import Options
from seqloom.kernels.short import short
from tests.kernels.problems import CELL_IDS, CELLS, assert_close, assert_equal, make

torch.set_num_threads(1)


def ready(name="lstm", nonlinearity="tanh", batch=2, time=3, precision="float32", **how):
    """The arguments of a call that can take the short way: the weights have been packed before."""
    problem = make(name, nonlinearity, batch=batch, time=time, **how)
    state = tuple(each.detach().unsqueeze(0) for each in problem.state)
    chosen = [Options(precision=precision)]
    with torch.no_grad():
        kernels.stack(problem.cell, problem.input.detach(), state, [problem.weights], [1] * batch, options=chosen)
    return {
        "cell": problem.cell,
        "input": problem.input.detach(),
        "state": state,
        "weights": problem.weights,
        "options": None if precision == "float32" else chosen,
    }


def one_layer(weights, **call):
    return short(weights=[weights], **call)


@pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (1, 9), (33, 7)], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@torch.no_grad()
def test_as_the_long_way(name, nonlinearity, sizes, precision):
    call = ready(name, nonlinearity, *sizes, precision=precision, dtype=torch.float32)
    output, last = one_layer(**call)
    lengths = torch.full((sizes[0],), sizes[1])
    state = tuple(each[0] for each in call["state"])
    wanted, wanted_last = kernels.scan(
        call["cell"], call["input"], state, call["weights"], lengths, options=Options(precision=precision)
    )
    assert_equal((output, *last), (wanted, *(each.unsqueeze(0) for each in wanted_last)))


@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (1, 9), (33, 7), (300, 40)], ids=str)
@torch.no_grad()
def test_time_first(sizes):
    call = ready("gru", "tanh", *sizes, hidden=33)
    wanted, _ = one_layer(**call)
    call["input"] = call["input"].transpose(0, 1).contiguous()
    output, _ = one_layer(**call, time_first=True)
    assert torch.equal(output.transpose(0, 1), wanted)
    assert wanted.is_contiguous()
    assert output.is_contiguous()


@pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
def test_with_gradients(name, nonlinearity):
    """After a step of the optimizer too: then the weights are packed anew."""
    call = ready(name, nonlinearity)
    for _ in range(3):
        output, last = one_layer(**call)
        wanted, wanted_last = kernels.reference(
            call["cell"], call["input"], tuple(each[0] for each in call["state"]), call["weights"], None, False
        )
        given = torch.autograd.grad(output.square().sum() + last[0].sum(), call["weights"])
        found = torch.autograd.grad(wanted.square().sum() + wanted_last[0].sum(), call["weights"])
        assert_close((output, *given), (wanted, *found))
        with torch.no_grad():
            for weight in call["weights"]:
                weight.add_(0.1)


@torch.no_grad()
def test_is_taken():
    call = ready()
    call["input"] = torch.randn(2, 40, 3, dtype=torch.float64)[:, ::2]  # any strides but of the features
    assert one_layer(**call) is not None
    assert one_layer(**call | {"weights": [weight.detach() for weight in call["weights"]]}) is None  # not packed yet


def put(weights, name, other):
    getattr(weights, name).data = other(getattr(weights, name).data)
    return weights


OTHERWISE = {
    "another type of the input": lambda call: {"input": call["input"].float()},
    "another type of a state": lambda call: {"state": (call["state"][0], call["state"][1].float())},
    "another device": lambda call: {"input": call["input"].to("meta")},
    "a state on another device": lambda call: {"state": (call["state"][0], call["state"][1].to("meta"))},
    "another number of states": lambda call: {"state": call["state"][:1]},
    "another shape of a state": lambda call: {"state": (call["state"][0], call["state"][1][:, :1])},
    "a state without an axis": lambda call: {"state": (call["state"][0], call["state"][1][0])},
    "a state that lies otherwise": lambda call: {"state": (call["state"][0].transpose(1, 2).contiguous().mT,) * 2},
    "another number of features": lambda call: {"input": call["input"][:, :, :2].contiguous()},
    "another number of axes": lambda call: {"input": call["input"][0]},
    "no step": lambda call: {"input": call["input"][:, :0]},
    "features that lie apart": lambda call: {"input": call["input"].mT.contiguous().mT},
    "a parameter": lambda call: {"input": torch.nn.Parameter(call["input"], requires_grad=False)},
    "a minus in mind": lambda call: {"input": torch._neg_view(call["input"])},
    "a state with a minus in mind": lambda call: {"state": (call["state"][0], torch._neg_view(call["state"][1]))},
    "weights of another shape": lambda call: {"weights": put(call["weights"], "hh", lambda hh: hh[:, 1:].contiguous())},
    "weights of another type": lambda call: {"weights": put(call["weights"], "bias_ih", lambda bias: bias.float())},
    "weights that lie otherwise": lambda call: {"weights": put(call["weights"], "ih", lambda ih: ih.T.contiguous().T)},
    "another option": lambda call: {"options": [Options(zoneout=(0.1, 0.1))]},
    "all states": lambda call: {"options": [Options(all_states=True)]},
    "too many options": lambda call: {"options": [Options(), Options()]},
    "no options": lambda call: {"options": []},
    "a precision not packed yet": lambda call: {"options": [Options(precision="bfloat16")]},
}


@pytest.mark.parametrize("otherwise", OTHERWISE.values(), ids=OTHERWISE)
def test_is_not_taken(otherwise):
    call = ready()
    with torch.no_grad():
        assert one_layer(**call) is not None
    call |= otherwise(call)
    assert one_layer(**call) is None


@torch.no_grad()
def test_is_not_taken_under_others():
    call = ready()
    with torch.autocast("cpu", torch.bfloat16):
        assert one_layer(**call) is None
    with torch.autograd.forward_ad.dual_level():
        assert one_layer(**call) is None
    seen = []
    torch.func.vmap(lambda x: seen.append(one_layer(**call)) or x)(torch.ones(2))
    assert seen == [None]
    assert one_layer(**call) is not None


@torch.no_grad()
def test_both_directions_are_not_one_layer():
    call = ready()
    with pytest.raises(ShapeError, match="weights must be one or more for each of 2 directions; given 1"):
        kernels.stack(call["cell"], call["input"], call["state"], [call["weights"]], bidirectional=True)


@torch.no_grad()
def test_whatever_the_default_device():
    call = ready()
    wanted = one_layer(**call)
    with torch.device("meta"):
        output, last = one_layer(**call)
    assert_equal((output, *last), (wanted[0], *wanted[1]))


@pytest.mark.parametrize("gradients", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("time_first", [False, True])
def test_layers_one_above_the_other(time_first, gradients):
    """Two layers with distinct weights and states, against the reference run twice; not before both are packed."""
    below, above = make("lstm", "tanh", batch=5, time=7), make("lstm", "tanh", batch=5, time=7, features=9, seed=1)
    state = tuple(torch.stack(pair).detach() for pair in zip(below.state, above.state, strict=True))
    input = below.input.detach()
    call = {"cell": below.cell, "input": input.transpose(0, 1).contiguous() if time_first else input}
    call |= {"state": state, "weights": [below.weights, above.weights], "time_first": time_first}
    with torch.set_grad_enabled(gradients):
        kernels.scan(below.cell, input, below.state, below.weights)
        assert short(**call) is None  # the second layer's weights are new
        kernels.scan(below.cell, torch.zeros(5, 7, 9, dtype=input.dtype), below.state, above.weights)
        output, last = short(**call)
    middle, first = kernels.reference(below.cell, input, tuple(each[0] for each in state), below.weights, None, False)
    wanted, second = kernels.reference(below.cell, middle, tuple(each[1] for each in state), above.weights, None, False)
    assert_close((output.transpose(0, 1) if time_first else output,), (wanted,))
    assert_close(last, tuple(torch.stack(pair) for pair in zip(first, second, strict=True)))
    if gradients:
        leaves = [*below.weights, *above.weights]
        given = torch.autograd.grad(output.square().sum() + last[1].sum(), leaves)
        found = torch.autograd.grad(wanted.square().sum() + first[1].sum() + second[1].sum(), leaves)
        assert_close(given, found)


def test_layers_need_a_state_each():
    problem = make("gru", "tanh", batch=2, time=3, features=9)
    state = (torch.zeros(3, 2, 9, dtype=torch.float64),)
    with torch.no_grad():
        kernels.scan(problem.cell, problem.input, problem.state, problem.weights)
        assert short(problem.cell, problem.input, state, [problem.weights] * 2) is None
        assert short(problem.cell, problem.input, (state[0][:2],), [problem.weights] * 2) is not None
