"""``seqloom::scan``, as torch.compile and torch.export see it: the values and gradients of eager mode, to the bit."""

from __future__ import annotations

import functools

import pytest
import torch
import torch.utils.flop_counter
from torch.library import opcheck

from seqloom import GRU, LSTM, RNN
from seqloom.errors import ShapeError
from seqloom.kernels import Options
from seqloom.kernels.calls import given
from seqloom.kernels.compiled import compiled_scan
from seqloom.kernels.operator import operator_scan
from seqloom.kernels.packed import KINDS
from tests.kernels.problems import CELL_IDS, CELLS, LENGTHS, OPTIONS, assert_equal, gradients, make, options

torch.set_num_threads(1)

cells = pytest.mark.parametrize(("name", "nonlinearity"), CELLS, ids=CELL_IDS)
layers = pytest.mark.parametrize("layer", [RNN, GRU, LSTM])


def arguments(problem, lengths=None, reverse=True, time_first=False):
    """Of the operator itself, but for its last."""
    lengths = None if lengths is None else torch.tensor(lengths)
    input = problem.input.detach().transpose(0, 1).requires_grad_() if time_first else problem.input
    scan = given(input, problem.state, lengths, reverse, problem.options, time_first)
    kind = KINDS[problem.cell.name, problem.cell.nonlinearity]
    all_steps = problem.options.all_states and len(problem.state) > 1
    return (kind, problem.options.precision, all_steps, *problem.weights, *scan)


CASES = [(*cell, 3, "all") for cell in CELLS] + [("lstm", "tanh", 3, "plain"), ("gru", "tanh", 3, "rates")]
cases = pytest.mark.parametrize(
    ("name", "nonlinearity", "time", "which"), [*CASES, ("elman", "tanh", 0, "plain"), ("lstm", "tanh", 0, "all")]
)


@cases
def test_keeps_the_contract_of_operators(name, nonlinearity, time, which):
    problem = make(name, nonlinearity, batch=3, time=time, features=2, hidden=5)
    problem.options = options(problem, which)
    operator = torch.ops.seqloom.scan.default
    opcheck(operator, (*arguments(problem, [time, min(time, 1), 0]), False))
    opcheck(operator, (*arguments(problem, reverse=False, time_first=True), True))


@cases
def test_so_does_its_gradient(name, nonlinearity, time, which):
    problem = make(name, nonlinearity, batch=3, time=time, features=2, hidden=5)
    problem.options = options(problem, which)
    for leaf in problem.leaves:
        leaf.requires_grad_(False)
    call = arguments(problem, [time] * 3)
    *results, stash = torch.ops.seqloom.scan(*call, True)
    incoming = [torch.randn_like(each) for each in results]
    two = len(problem.state) > 1
    everything, some = [True, True, two, True, True, True, True], [False, True, False, False, True, False, True]
    for wanted, kept in ((everything, stash), (some, None)):
        opcheck(torch.ops.seqloom.scan_backward.default, (*call, results[0], kept, incoming, wanted))


@cells
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
@pytest.mark.parametrize("which", OPTIONS)
def test_as_the_compiled_way(name, nonlinearity, which, lengths):
    problem = make(name, nonlinearity)
    problem.options = options(problem, which)
    wanted, result = problem.run(lengths=lengths), problem.run(operator_scan, lengths)
    assert_equal(result, wanted)
    assert_equal(gradients(result, problem.leaves), gradients(wanted, problem.leaves))


def test_time_first():
    problem = make("lstm")
    problem.options = options(problem, "all")
    problem.input = problem.input.detach().transpose(0, 1).contiguous().requires_grad_()
    ways = [functools.partial(way, time_first=True) for way in (operator_scan, compiled_scan)]
    result, wanted = (problem.run(way, LENGTHS) for way in ways)
    assert result[0].shape == (7, 5, 9)
    assert_equal(result, wanted)
    assert_equal(gradients(result, problem.leaves), gradients(wanted, problem.leaves))


def test_without_a_step():
    problem = make("lstm", time=0)
    output, h, c = problem.run(operator_scan)
    assert output.shape == (5, 0, 9)
    assert_equal((h, c), problem.state)
    assert h.data_ptr() != problem.state[0].data_ptr()
    found = torch.autograd.grad(h.sum() + 2 * c.sum(), problem.leaves, materialize_grads=True)
    assert_equal(found[1:3], (torch.ones(5, 9).double(), torch.full((5, 9), 2.0).double()))
    assert all(torch.count_nonzero(each) == 0 for each in (found[0], *found[3:]))


def test_differentiated_once():
    problem = make("gru")
    (gradient,) = gradients(problem.run(operator_scan)[:1], [problem.input], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        gradient.sum().backward()


# --- layers -----------------------------------------------------------------------------------------------------------

SHAPES = [(2, 4), (3, 6), (7, 5), (1, 1)]  # T, B


def results_and_gradients(call, module, *given, **named):
    """Gradients of the parameters of ``module``, in the order of their names."""
    output, last = call(*given, **named)
    results = [output, *(last if isinstance(last, tuple) else (last,))]
    return [*results, *gradients(results, [leaf for _, leaf in sorted(module.named_parameters())])]


@pytest.fixture(autouse=True)
def fresh_compiler():
    """The compiler counts how often it has compiled a function, over all tests."""
    torch.compiler.reset()


def make_layer(layer, **how):
    torch.manual_seed(0)
    return layer(3, 5, **how)


@layers
@pytest.mark.parametrize(
    "how", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=["one", "four"]
)
def test_compiled_whole(layer, how):
    """Without a break in the graph, for sizes that change."""
    module = make_layer(layer, **how)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for shape in SHAPES:
        x = torch.randn(*shape, 3)
        assert_equal(results_and_gradients(compiled, module, x), results_and_gradients(module, module, x))
        with torch.no_grad():
            assert torch.equal(compiled(x)[0], module(x)[0])
    x, lengths = torch.randn(4, 4, 3), torch.tensor([3, 0, 4, 1])
    assert_equal(
        results_and_gradients(compiled, module, x, lengths=lengths),
        results_and_gradients(module, module, x, lengths=lengths),
    )
    with pytest.raises(ShapeError, match="lengths must be from 0 to T=4; given from 1 to 5"):
        compiled(x, lengths=torch.tensor([1, 2, 3, 5]))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own
def test_compiled_to_machine_code():
    module = make_layer(GRU)
    model = torch.nn.ModuleList([torch.nn.Linear(7, 3), module])
    x = torch.randn(6, 4, 7)

    def run(x):
        output, last = module(model[0](x).relu())
        return output.tanh() * 2, last

    wanted = results_and_gradients(run, model, x)
    torch.testing.assert_close(results_and_gradients(torch.compile(run, fullgraph=True), model, x), wanted)


@layers
@pytest.mark.parametrize("strict", [False, True], ids=["lax", "strict"])
def test_exported(layer, strict):
    """With B and T left open; what is exported can be trained."""
    module = make_layer(layer, num_layers=2)
    sizes = ({0: torch.export.Dim("T"), 1: torch.export.Dim("B")},)
    program = torch.export.export(module, (torch.randn(4, 2, 3),), dynamic_shapes=sizes, strict=strict).module()
    assert any("seqloom.scan" in str(node.target) for node in program.graph.nodes)
    x = torch.randn(9, 5, 3)
    wanted = results_and_gradients(module, module, x)
    assert_equal(results_and_gradients(program, program, x), wanted)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)  # the output lies as it did when it was traced
    assert_equal(results_and_gradients(program, program, turned)[:2], wanted[:2])


def test_exported_for_inference():
    module = make_layer(LSTM, batch_first=True)
    with torch.no_grad():
        program = torch.export.export(module, (torch.randn(2, 4, 3),)).module()
        x = torch.randn(2, 4, 3)
        assert torch.equal(program(x)[0], module(x)[0])


@layers
def test_half_precision_in_a_graph(layer):
    """By torch's operations, one step after the other."""
    module = make_layer(layer).bfloat16()
    x = torch.randn(6, 4, 3).bfloat16()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    given, wanted = results_and_gradients(compiled, module, x), results_and_gradients(module, module, x)
    for one, other in zip(given, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.1)


def test_precision_and_autocast_in_a_graph():
    module = make_layer(GRU)
    x = torch.randn(6, 4, 3)

    def run(x):
        with torch.autocast("cpu", torch.bfloat16):
            return module(x)

    wanted = results_and_gradients(run, module, x)
    assert not torch.equal(wanted[0], module(x)[0])
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    assert_equal(results_and_gradients(compiled, module, x), wanted)


@pytest.mark.parametrize("mode", ["fake", "flops"])
def test_under_a_mode(mode):
    """Modes that watch torch's operations see the operator."""
    problem = make("lstm", dtype=torch.float32)
    wanted = problem.run(options=Options(all_states=True))
    if mode == "flops":
        with torch.utils.flop_counter.FlopCounterMode(display=False):
            assert_equal(problem.run(options=Options(all_states=True)), wanted)
        return
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        results = problem.run(options=Options(all_states=True))
    assert [each.shape for each in results] == [each.shape for each in wanted]
    assert [each.stride() for each in results] == [each.stride() for each in wanted]
