"""The compiled part, and the choice of who computes."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from seqloom import _native, kernels
from seqloom.errors import ShapeError
from seqloom.kernels import Weights
from seqloom.parts import part

torch.set_num_threads(1)

ISAS = ["portable", "avx2", "avx512", "avx512_bf16"]


def in_a_process(isa):
    """Which instruction set a fresh process chooses with ``SEQLOOM_ISA`` so set."""
    environment = {name: value for name, value in os.environ.items() if name != "SEQLOOM_ISA"}
    if isa is not None:
        environment["SEQLOOM_ISA"] = isa
    code = (
        "from seqloom.errors import SettingError\n"
        "from seqloom import kernels\n"
        "try: print(kernels.isa())\n"
        "except SettingError as error: print(error)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_supported_sets_are_a_beginning_of_the_list():
    supported = _native.supported_isas()
    assert supported == ISAS[: len(supported)]
    assert supported


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="needs the system's own list of the processor's flags")
def test_the_supported_sets_are_those_of_the_system():
    with open("/proc/cpuinfo", encoding="ascii") as file:
        flags = next((set(line.split()) for line in file if line.startswith("flags")), set())
    wanted = ["portable"]
    for isa, needs in {
        "avx2": {"avx2", "fma"},
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
        "avx512_bf16": {"avx512_bf16"},
    }.items():
        if not needs <= flags:
            break
        wanted.append(isa)
    assert _native.supported_isas() == wanted


def test_the_best_one_unless_asked_otherwise():
    assert in_a_process(None) == in_a_process("") == _native.supported_isas()[-1]
    assert in_a_process("portable") == "portable"
    assert [_native.choose_isa(isa) for isa in _native.supported_isas()] == _native.supported_isas()


def test_an_unknown_one_is_refused():
    said = in_a_process("sse9")
    assert 'SEQLOOM_ISA="sse9" is not an instruction set; supported here: portable' in said
    assert "help: unset SEQLOOM_ISA" in said


@pytest.mark.skipif(len(_native.supported_isas()) == len(ISAS), reason="this machine supports every instruction set")
def test_one_the_machine_lacks_is_refused():
    assert "is not supported by this machine; supported here: portable" in in_a_process(ISAS[-1])


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_activations_as_torch(function, dtype):
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(0, 4, 997), [0.0, -0.0, 88.8, -88.8, 1e30, -1e30, np.inf, -np.inf, np.nan]])
    values = values.astype(dtype)
    output = np.full_like(values, 7)
    getattr(_native, function)(values, output)
    wanted = getattr(torch, function)(torch.from_numpy(values).double()).numpy()
    np.testing.assert_allclose(output, wanted, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    getattr(_native, function)(values, values)
    np.testing.assert_array_equal(values, output)


def test_activations_take_torch_s_memory():
    x = torch.randn(33)
    y = torch.full((35,), 7.0)
    _native.tanh(x, y[1:34])
    torch.testing.assert_close(y[1:34], x.tanh())
    assert y[0] == y[34] == 7


def test_activations_refuse_what_does_not_fit():
    x = np.zeros(4, np.float32)
    with pytest.raises(ValueError, match="differ in length"):
        _native.sigmoid(x, np.zeros(3, np.float32))
    for wrong in (np.zeros(4, np.int32), np.zeros(8, np.float32)[::2], np.zeros((2, 2), np.float32)):
        with pytest.raises(TypeError):
            _native.sigmoid(x, wrong)
    _native.sigmoid(x[:0], x[:0])


def test_who_computes():
    x = torch.zeros(1, 1, 1)
    assert kernels.route(part("cells", "gru")(), x) is not kernels.reference

    class Unheard(part("cells", "gru")):
        """A cell that nobody has a fast way for, in a module that is not one of the cells."""

    assert kernels.route(Unheard(), x) is kernels.reference


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


def arguments(**changes):
    named = {
        "cell": part("cells", "lstm")(),
        "input": torch.zeros(2, 5, 3),
        "state": (torch.zeros(2, 4), torch.zeros(2, 4)),
        "weights": Weights(torch.zeros(16, 3), torch.zeros(16, 4), torch.zeros(16), torch.zeros(16)),
    }
    return named | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input": torch.zeros(2, 3)}, r"input must be \[B, T, I=3\], 3 axes; given \[2, 3\], 2 axes"),
        ({"state": (torch.zeros(2, 4),)}, r"state must be 2 tensors \(h, c\); given 1"),
        ({"state": (torch.zeros(2, 4), torch.zeros(3, 4))}, r"state c must be \[B=2, H=4\]; given \[3, 4\]"),
        ({"state": (torch.zeros(2, 4).double(), torch.zeros(2, 4))}, "state h must be torch.float32"),
        ({"weights": Weights(torch.zeros(12, 3), torch.zeros(16, 4))}, r"weight_ih must be \[G\*H=16, I=3\]"),
        ({"weights": Weights(torch.zeros(16, 3), torch.zeros(12, 4))}, r"weight_hh must be \[G\*H=16, H=4\]"),
        (
            {"weights": Weights(torch.zeros(16, 3), torch.zeros(16, 4), torch.zeros(4), torch.zeros(16))},
            r"bias_ih must be \[G\*H=16\]; given \[4\]",
        ),
        (
            {"weights": Weights(torch.zeros(16, 3), torch.zeros(16, 4), torch.zeros(16))},
            "bias_ih and bias_hh must both be given, or neither",
        ),
        ({"lengths": torch.tensor([[5, 5]])}, r"lengths must be \[B=2\], 1 axes; given \[1, 2\]"),
        ({"lengths": [True, False]}, "lengths must be integers; given torch.bool"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    with pytest.raises(ShapeError, match=message):
        kernels.scan(**arguments(**changes))


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int64])
def test_lengths_of_any_integer_type(kind):
    named = arguments(input=torch.randn(2, 5, 3))
    wanted = kernels.scan(**named, lengths=[2, 5])[0]
    assert torch.equal(kernels.scan(**named, lengths=torch.tensor([2, 5], dtype=kind))[0], wanted)
    assert torch.equal(kernels.scan(**named, lengths=np.array([2, 5]))[0], wanted)


def test_a_relu_network_does_not_overflow_on_padding():
    """Its state doubles at each step: on 497 steps of padding it would grow to infinity, and the gradients to NaN."""
    cell = part("cells", "elman")("relu")
    weights = Weights(torch.ones(1, 1).requires_grad_(), torch.full((1, 1), 2.0).requires_grad_())
    x = torch.stack([torch.zeros(500, 1), torch.ones(500, 1)])
    output, (last,) = kernels.scan(cell, x, (torch.zeros(2, 1),), weights, [500, 3])
    assert last.tolist() == [[0.0], [7.0]]
    output.sum().backward()
    # Outputs 1, w + 1, w*w + w + 1 for the recurrent weight w = 2: their derivatives are 0, 1 and 2*w + 1.
    assert weights.hh.grad.item() == 6.0
    assert weights.ih.grad.item() == 1 + 3 + 7
