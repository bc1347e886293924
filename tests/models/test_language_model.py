"""The language model: its state, its layers and its dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from seqloom import parts
from seqloom.models.language_model import LanguageModel


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def language_model(cell: str = "gru", **changed: object) -> LanguageModel:
    torch.manual_seed(7)
    given = {
        "embedding": 5,
        "hidden": 6,
        "layers": 2,
        "dropout": 0.0,
        "skip_connections": True,
        "nonlinearity": "tanh",
    }
    return LanguageModel(13, cell=cell, **given | changed)  # type: ignore[arg-type]


def tokens(batch: int, time: int) -> torch.Tensor:
    return torch.randint(0, 13, (batch, time), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("skip_connections", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("cell", parts.names("cells"))
def test_a_text_in_pieces_with_carried_state_is_the_text_in_one(cell: str, layers: int, skip_connections: bool) -> None:
    model = language_model(cell, layers=layers, skip_connections=skip_connections).eval()
    inputs = tokens(3, 11)
    with torch.no_grad():
        whole, end = model(inputs)
        pieces, state = [], ()
        for start, stop in ((0, 1), (1, 5), (5, 6), (6, 11)):
            scores, state = model(inputs[:, start:stop], state)
            pieces.append(scores)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-5, atol=1e-6)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert len(state) == layers * (2 if cell == "lstm" else 1)


@pytest.mark.parametrize("skip_connections", [True, False])
def test_as_torch_s_layers_and_a_linear_one(skip_connections: bool) -> None:
    model = language_model("lstm", skip_connections=skip_connections).eval()
    first, second = nn.LSTM(5, 6, batch_first=True), nn.LSTM(6, 6, batch_first=True)
    first.load_state_dict(model.layers[0].state_dict())
    second.load_state_dict(model.layers[1].state_dict())
    inputs = tokens(2, 9)
    h = [torch.randn(1, 2, 6) for _ in range(4)]
    with torch.no_grad():
        below, (h0, c0) = first(model.embedding(inputs), (h[0], h[1]))
        above, (h1, c1) = second(below, (h[2], h[3]))
        wanted = model.output(torch.cat([below, above], dim=2) if skip_connections else above)
        found, state = model(inputs, tuple(h))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    for one, other in zip(state, (h0, c0, h1, c1), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_the_future_is_not_seen() -> None:
    model = language_model().eval()
    inputs = tokens(2, 8)
    changed = inputs.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 13
    with torch.no_grad():
        one, other = model(inputs)[0], model(changed)[0]
    assert torch.equal(one[:, :5], other[:, :5])
    assert (one[:, 5:] != other[:, 5:]).any(dim=2).all()


def test_dropout_is_one_mask_for_all_steps_and_acts_in_training_alone() -> None:
    model = language_model(dropout=0.5, layers=2, hidden=64)
    entering: list[torch.Tensor] = []
    leaving: list[torch.Tensor] = []
    model.layers[0].register_forward_hook(lambda module, given, result: leaving.append(result[0]))
    model.layers[1].register_forward_pre_hook(lambda module, given: entering.append(given[0]))
    model(tokens(3, 7))
    factors = (entering[0] / leaving[0]).detach()
    assert torch.equal(factors.unique().round(decimals=4), torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert not torch.equal(factors[0], factors[1])
    with torch.no_grad():
        assert not torch.equal(model(tokens(3, 7))[0], model(tokens(3, 7))[0])
        model.eval()
        assert torch.equal(model(tokens(3, 7))[0], model(tokens(3, 7))[0])


def test_one_hot_input_has_no_embedding_weights_and_no_place_for_padding_and_unknown() -> None:
    model = language_model(embedding=0, layers=1, skip_connections=False)
    assert sum(p.numel() for p in model.parameters()) == 3 * 6 * (11 + 6 + 2) + 13 * 6 + 13


def test_weight_dropout_drops_recurrent_weights_others_at_each_call_and_in_training_alone() -> None:
    model = language_model("lstm", weight_dropout=0.4, hidden=16)
    with torch.no_grad():
        one, other = model(tokens(2, 9))[0], model(tokens(2, 9))[0]
        assert torch.equal(one[:, 0], other[:, 0])  # the first step has a state of zeros, and no product with it
        assert not torch.equal(one[:, 1:], other[:, 1:])
        evaluated = model.eval()(tokens(2, 9))[0]
        assert torch.equal(evaluated, language_model("lstm", hidden=16).eval()(tokens(2, 9))[0])
        assert not torch.equal(model.train()(tokens(2, 9))[0], evaluated)  # also behind an evaluation
