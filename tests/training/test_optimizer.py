"""AdamW's groups and steps, and the learning rate at points worked by hand."""

from __future__ import annotations

from math import cos, pi
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seqloom.training.optimizer import BETAS, FLOOR, adamw, learning_rate, set_learning_rate


def settings(**changed: float | str) -> SimpleNamespace:
    return SimpleNamespace(**{"lr": 0.02, "weight_decay": 0.3, "schedule": "cosine", "warmup": 0.2} | changed)


def network() -> nn.Module:
    torch.manual_seed(3)
    model = nn.ModuleDict({"embedding": nn.Embedding(7, 3), "rnn": nn.GRU(3, 5), "output": nn.Linear(5, 2)})
    model["frozen"] = nn.Linear(2, 2).requires_grad_(False)
    return model


# --- AdamW ------------------------------------------------------------------------------------------------------------


def test_matrices_decay_and_vectors_do_not() -> None:
    model = network()
    optimizer = adamw(model, settings())
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    found = {name: decay.get(id(p)) for name, p in model.named_parameters()}
    assert found == {
        "embedding.weight": 0.3,
        "rnn.weight_ih_l0": 0.3,
        "rnn.weight_hh_l0": 0.3,
        "rnn.bias_ih_l0": 0.0,
        "rnn.bias_hh_l0": 0.0,
        "output.weight": 0.3,
        "output.bias": 0.0,
        "frozen.weight": None,
        "frozen.bias": None,
    }


def test_a_model_of_matrices_alone_has_no_empty_group() -> None:
    optimizer = adamw(nn.Linear(3, 2, bias=False), settings())
    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_five_steps_are_those_of_torch_s_own_adamw() -> None:
    ours, theirs = network(), network()
    optimizer = adamw(ours, settings())
    other = torch.optim.AdamW(
        [
            {"params": [p for p in theirs.parameters() if p.requires_grad and p.ndim == 2], "weight_decay": 0.3},
            {"params": [p for p in theirs.parameters() if p.requires_grad and p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=BETAS,
        foreach=False,
        fused=False,
    )
    for step in range(5):
        rate = 0.02 / (step + 1)
        set_learning_rate(optimizer, rate)
        for group in other.param_groups:
            group["lr"] = rate
        for model, one in ((ours, optimizer), (theirs, other)):
            tokens = (torch.arange(12) * (step + 2) % 7).reshape(4, 3)
            one.zero_grad()
            output, _ = model["rnn"](model["embedding"](tokens))
            model["output"](output).square().sum().backward()
            one.step()
    for (name, one), (_, two) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7, msg=name)
    assert not torch.equal(ours["output"].bias, network()["output"].bias)


def test_the_first_step_by_hand() -> None:
    """At the first step both moments are corrected to the gradient and its square: a step of lr, and the decay."""
    model = nn.Linear(1, 1)
    before = model.weight.item(), model.bias.item()
    optimizer = adamw(model, settings(lr=0.1, weight_decay=0.5))
    model.weight.grad, model.bias.grad = torch.tensor([[-4.0]]), torch.tensor([3.0])
    optimizer.step()
    assert model.weight.item() == pytest.approx(before[0] * (1 - 0.1 * 0.5) + 0.1, rel=1e-5)
    assert model.bias.item() == pytest.approx(before[1] - 0.1, rel=1e-5)


# --- the learning rate ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("progress", "share"),
    [
        (0.0, 0.01),
        (0.1, 0.01 + 0.99 / 2),
        (0.2, 1.0),
        (0.4, FLOOR + (1 - FLOOR) * (1 + cos(pi / 4)) / 2),
        (0.6, FLOOR + (1 - FLOOR) / 2),
        (1.0, FLOOR),
        (1.7, FLOOR),
    ],
)
def test_warm_up_and_cosine(progress: float, share: float) -> None:
    assert learning_rate(progress, settings()) == pytest.approx(0.02 * share)


def test_without_warm_up_it_begins_at_the_peak() -> None:
    assert learning_rate(0.0, settings(warmup=0.0)) == pytest.approx(0.02)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.5, 1.0])
def test_constant(progress: float) -> None:
    assert learning_rate(progress, settings(schedule="constant")) == 0.02


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.99))
def test_it_rises_and_then_falls_without_a_jump(one: float, two: float, warmup: float) -> None:
    low, high = sorted((one, two))
    s = settings(warmup=warmup)
    first, second = learning_rate(low, s), learning_rate(high, s)
    assert 0 < first <= 0.02 * (1 + 1e-9)
    if high < warmup:
        assert first <= second
    if low >= warmup:
        assert first >= second * (1 - 1e-9)
    assert learning_rate(warmup, s) == pytest.approx(0.02)


def test_every_group_gets_the_rate() -> None:
    optimizer = adamw(network(), settings())
    set_learning_rate(optimizer, 0.007)
    assert [group["lr"] for group in optimizer.param_groups] == [0.007, 0.007]
