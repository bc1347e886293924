from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import seqloom as layers
from seqloom.cli import bench
from seqloom.kernels import isa

pytestmark = pytest.mark.usefixtures("one_thread")


def test_each_layer_has_a_row_for_each_pass(seqloom, monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", ((1, 1, 3, 7), (2, 5, 4, 6)))
    answer = seqloom("bench", "--threads", "2", "--seconds", "0.001", "--json")
    rows = json.loads(answer.out)
    assert [(row["layer"], row["pass"], row["B"], row["T"], row["I"], row["H"]) for row in rows] == [
        *((name, "inference", 1, 1, 3, 7) for name in ("RNN", "GRU", "LSTM")),
        *((name, what, 2, 5, 4, 6) for name in ("RNN", "GRU", "LSTM") for what in ("inference", "training")),
    ]
    for row in rows:
        assert row["times as fast"] == pytest.approx(row["torch.nn"] / row["seqloom"], rel=0.1)
        assert row["bf16 times as fast"] == pytest.approx(row["torch.nn"] / row["bf16"], rel=0.1)
    assert "2 threads" in answer.err
    assert isa() in answer.err
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("given", [("--threads", "0"), ("--seconds", "0"), ("--seconds", "nan")])
def test_out_of_range(seqloom, given):
    assert seqloom("bench", *given).status == 2


@pytest.mark.parametrize("name", ["GRU", "LSTM"])
def test_training_computes_all_gradients_from_weights_that_count_as_changed(name):
    torch.manual_seed(3)
    theirs, ours = getattr(nn, name)(3, 5), getattr(layers, name)(3, 5)
    ours.load_state_dict(theirs.state_dict())
    x, gradient = torch.randn(7, 2, 3), torch.randn(7, 2, 5)
    states = [torch.randn(1, 2, 5) for _ in range(2 if name == "LSTM" else 1)]
    found = []
    for layer in (theirs, ours):
        input, *before = (leaf.clone().requires_grad_() for leaf in (x, *states))
        call = bench.training(layer, input, tuple(before) if name == "LSTM" else before[0], gradient)
        for _ in range(2):  # gradients of the first call must not be left in those of the second
            versions = [weight._version for weight in layer.parameters()]
            call.before()
            assert all(weight._version > old for weight, old in zip(layer.parameters(), versions, strict=True))
            call.run()
        found.append([leaf.grad for leaf in (input, *before, *layer.parameters())])
    torch.testing.assert_close(found[1], found[0])
    assert all(weight.equal(theirs.state_dict()[key]) for key, weight in ours.state_dict().items())
