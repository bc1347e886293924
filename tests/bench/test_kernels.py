"""The tables of ``python -m bench.kernels``: what is summed up, what counts as met, whom it measures."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from math import isnan, nan

import pytest
import torch
from torch import nn

from bench.kernels import keras_jax, onnx_runtime
from bench.kernels.figures import Figure, Pass, figures, worse
from bench.kernels.rows import Effort, Row, Shape, compare, timed
from bench.kernels.tables import section
from seqloom.cli.timing import Call

LARGE = Shape(32, 10, 256, 256)
SMALL = Shape(2, 5, 3, 4, layers=2)


def scan(cell, what, shape, torch_seconds, ours, bf16=1.0):
    return Row("scan", cell, what, shape, {"torch": torch_seconds, "fp32": ours, "bf16": bf16}, 0.02)


def a_pass():
    ends = {"torch": 10.0, "torch dense": 4.0, "fp32": 2.0, "fp32 dense": 4.0}
    step = {"torch": 6e-5, "fp32 step": 1e-5, "onnxruntime 1": 3e-5, "onnxruntime 2": 2e-5}
    rows = [
        scan("RNN", "training", LARGE, 8.0, 2.0),
        scan("GRU", "training", SMALL, 9.0, 9.0, bf16=3.0),
        scan("RNN", "inference", LARGE, 8.0, 1.0),
        Row("lengths", "GRU", "training", LARGE, ends),
        Row("lengths", "LSTM", "training", LARGE, ends | {"fp32": 3.0}),
        Row("step", "GRU", "inference", SMALL, step),
        Row("step", "LSTM", "inference", SMALL, step | {"fp32 step": 4e-5}),
        Row("overhead", "RNN", "inference", SMALL, {"torch": 5e-5, "fp32": 2e-5}),
        Row("overhead", "RNN", "with gradients", SMALL, {"torch": 5e-5, "fp32": 9e-5}),
        Row("memory", "RNN", "training", SMALL, {"torch": 2e6, "fp32": 1e6}),
        Row("memory", "GRU", "training", SMALL, {}),
    ]
    return Pass(rows, product=1e6)


def test_work_is_counted_layer_by_layer():
    gates = 3
    first, second = 2 * 2 * 5 * gates * 4 * (3 + 4), 2 * 2 * 5 * gates * 4 * (4 + 4)
    assert SMALL.work("GRU") == first + second
    assert SMALL.work("GRU", 3) == 3 * (first + second)


def test_figures():
    found = {figure.name: figure for figure in figures(a_pass())}
    assert found["fp32 training"].value == pytest.approx(2.0)  # of 4 and 1
    assert found["fp32 inference"].value == pytest.approx(8.0)
    assert found["bf16 training, against torch fp32"].value == pytest.approx((8 * 3) ** 0.5)
    assert found["the worst single case, fp32"].value == pytest.approx(1.0)
    assert found["the worst single case, fp32"].note == "GRU training (2, 5, 3, 4) 2 layers"
    # The fastest product is our own inference: once the work in 1 s; training does three times as much in 2 s.
    assert found["share of the fp32 peak, training"].value == pytest.approx(100)
    assert found["unequal lengths: of our dense time"].value == pytest.approx(0.75)
    assert found["unequal lengths: against torch, packed"].value == pytest.approx(10 / 3)
    assert found["one step: against nn.GRUCell"].value == pytest.approx(6)
    assert found["one step: against onnxruntime"].value == pytest.approx(0.5)
    assert found["a call at B 1, T 1, I 1, H 1"].value == pytest.approx(20)
    assert found["peak memory of training, of torch's"].value == pytest.approx(0.5)


def test_a_figure_without_rows_is_not_measured():
    assert all(isnan(figure.value) and figure.met == "not measured" for figure in figures(Pass([], product=1.0)))


@pytest.mark.parametrize(
    ("value", "at_most", "met"),
    [(3.0, False, "yes"), (2.9, False, "**no**"), (4.5, False, "aim"), (3.0, True, "yes"), (3.1, True, "**no**")],
)
def test_met(value, at_most, met):
    assert Figure("x", 3.0, None if at_most else 4.5, value, at_most=at_most).met == met


def test_the_worse_pass_is_quoted():
    low, high = (Figure("x", 1, None, value) for value in (1.0, 2.0))
    assert worse(low, high) is low
    low, high = (Figure("x", 1, None, value, at_most=True) for value in (1.0, 2.0))
    assert worse(low, high) is high
    other = a_pass()
    other.rows[0] = scan("RNN", "training", LARGE, 6.0, 3.0)
    text = section("avx2", [a_pass(), other], "head")
    assert "| fp32 training | at least 3 | 4.5 | 2.00 | 1.41 | **1.41** | **no** | 2 cases |" in text
    assert "| (32, 10, 256, 256) | RNN | training | 6,000 | 3,000 (2.00) |" in text


def test_threads_that_spin_on_do_not_run_between_the_others():
    order = []
    names = ("torch", "onnxruntime", "fp32", "keras")
    times = timed({name: Call(partial(order.append, name)) for name in names}, Effort(rounds=3, seconds=0.0))
    assert times.keys() == set(names)
    turns = [name for name, _ in groupby(order)]
    assert turns[-2:] == ["onnxruntime", "keras"] and turns.count("onnxruntime") == turns.count("keras") == 1
    assert turns[:-2] == ["torch", "fp32"] * (len(turns) // 2 - 1) and turns.count("torch") > 3


def test_a_wrong_answer_is_not_timed():
    right = torch.tensor([1.0, 2.0])
    compare("x", right + 1e-6, right, 1e-5)
    for wrong in (right + 1e-3, right * nan):
        with pytest.raises(AssertionError, match="x: "):
            compare("x", wrong, right, 1e-5)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.skipif(not onnx_runtime.available(), reason="onnxruntime is not installed")
def test_onnxruntime_gives_what_torch_gives(cell):
    torch.manual_seed(3)
    x = torch.randn(5, 2, 3)
    stacked, single = getattr(nn, cell)(3, 4, 2), getattr(nn, cell)(3, 4)
    with torch.no_grad():
        torch.testing.assert_close(onnx_runtime.inference(cell, stacked, x, 1)(), stacked(x)[0])
        step = onnx_runtime.step(cell, single, x[:1], 1)
        repeated = single(x[:1].expand(3, -1, -1))[0]  # the state is fed back
        for wanted in repeated:
            torch.testing.assert_close(torch.from_numpy(step())[0], wanted)


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.skipif(not keras_jax.available(), reason="keras and jax are not installed")
def test_keras_gives_what_torch_gives(cell):
    torch.manual_seed(3)
    layer = getattr(nn, cell)(3, 4, 2)
    x = torch.randn(5, 2, 3, requires_grad=True)
    gradient = torch.randn(5, 2, 4)
    state = tuple(torch.randn(2, 2, 4) for _ in range(2 if cell == "LSTM" else 1))
    layer(x, state if cell == "LSTM" else state[0])[0].backward(gradient)
    found = keras_jax.training(cell, layer, x.detach(), state, gradient)()
    torch.testing.assert_close(found, x.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(keras_jax.inference(cell, layer, x.detach(), 1)(), layer(x)[0], rtol=1e-4, atol=1e-5)
