"""The layers in code that was written for torch's: what such code reads, copies, replaces, moves and compiles."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from seqloom.layers.drop_in import GRU, LSTM, RNN

torch.set_num_threads(1)

PAIRS = [(RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)]
DOUBLE = {"dtype": torch.float64}
ours_and_torchs = pytest.mark.parametrize(("ours", "torchs"), PAIRS, ids=["RNN", "GRU", "LSTM"])


@ours_and_torchs
def test_copies(ours, torchs):
    layer = ours(3, 9, 2).eval()
    x = torch.randn(7, 5, 3)
    with torch.inference_mode():
        state = layer.step(x[0])[1]
        layer.step(x[1], state)  # what was kept for the next step is not copied
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(other(x)[0], layer(x)[0])
            assert torch.equal(other.step(x[1], state)[0], layer.step(x[1], state)[0])
            assert other.weight_hh_l0.data_ptr() != layer.weight_hh_l0.data_ptr()


@ours_and_torchs
def test_weights_by_their_names(ours, torchs):
    """The usual way to initialise: walk over the names, with the seed's numbers."""
    layers = []
    for kind in (ours, torchs):
        torch.manual_seed(5)
        layer = kind(3, 9, 2, bidirectional=True)
        for names in layer._all_weights:
            for name in names:
                if "weight_hh" in name:
                    nn.init.orthogonal_(getattr(layer, name))
        layer.flatten_parameters()
        layers.append(layer)
    assert list(layers[0].state_dict()) == list(layers[1].state_dict())
    for one, other in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.randn(7, 5, 3)
    torch.testing.assert_close(layers[0](x)[0], layers[1](x)[0])


@ours_and_torchs
@pytest.mark.parametrize("how", ["weight_norm", "parametrized", "pruned", "functional"])
def test_weights_computed_from_others(hand, ours, torchs, how):
    mine, theirs = hand.pair(ours, torchs)
    x, state = hand.inputs(mine)
    results = []
    for layer in (mine, theirs):
        call = layer
        if how == "weight_norm":
            with pytest.warns(FutureWarning, match="weight_norm"):
                nn.utils.weight_norm(layer, "weight_hh_l0")
            layer.weight_hh_l0_g.data.mul_(1.5)
        elif how == "parametrized":
            nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
            layer.parametrizations.weight_hh_l0.original0.data.mul_(1.5)
        elif how == "pruned":
            prune.l1_unstructured(layer, "weight_hh_l0", amount=0.5)
        else:
            doubled = {name: weight * 2 for name, weight in layer.named_parameters()}

            def call(x, state, layer=layer, doubled=doubled):
                return torch.func.functional_call(layer, doubled, (x, state))

        results.append(call(x, state))
    hand.assert_as_torch(*results, [x, *hand.as_tuple(state)], mine, theirs)
    plain, _ = hand.pair(ours, torchs)
    assert not torch.allclose(results[0][0], plain(x, state)[0], rtol=1e-3)


def test_weight_norm_trains():
    """Its weight is a tensor of the last forward call: the gradient must reach what it was computed from."""
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.weight_norm(LSTM(3, 9), "weight_hh_l0")
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x, losses = torch.randn(7, 5, 3), []
    for _ in range(20):
        loss = layer(x)[0].sub(0.5).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert layer.parametrizations.weight_hh_l0.original0.grad.count_nonzero() > 0


@ours_and_torchs
def test_in_a_sequential_twice(ours, torchs):
    """One layer at two places, and modules that take what a recurrent layer gives."""

    class Output(nn.Module):
        def forward(self, results):
            return results[0]

    mine, theirs = (kind(9, 9, batch_first=True, **DOUBLE) for kind in (ours, torchs))
    mine.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 7, 9, **DOUBLE)
    models = [nn.Sequential(each, Output(), nn.Tanh(), each, Output()) for each in (mine, theirs)]
    torch.testing.assert_close(models[0](x), models[1](x))
    for model in models:
        model(x).square().sum().backward()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@ours_and_torchs
def test_optimizer_and_moves(ours, torchs):
    """Steps of an optimizer, a change of the type, freezing: what a layer goes through in a training script."""
    mine, theirs = (kind(3, 9, 2) for kind in (ours, torchs))
    mine.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(7, 5, 3, dtype=torch.float64)
    for layer in (mine, theirs):
        layer.double()
        layer.weight_ih_l0.requires_grad_(False)
        optimizer = torch.optim.Adam([each for each in layer.parameters() if each.requires_grad], lr=0.01)
        for _ in range(5):
            optimizer.zero_grad()
            layer(x)[0].square().sum().backward()
            nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimizer.step()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-9)
    assert mine.weight_ih_l0.grad is None


@ours_and_torchs
def test_compiles_whole_and_exports(hand, ours, torchs):
    """One graph without breaks, which torch's own layers do not give."""
    layer = ours(3, 9, 2, bidirectional=True)
    x = torch.randn(7, 5, 3)
    wanted = layer(x)
    output, state = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(output, wanted[0])
    for one, other in zip(hand.as_tuple(state), hand.as_tuple(wanted[1]), strict=True):
        torch.testing.assert_close(one, other)
    program = torch.export.export(layer.eval(), (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], wanted[0])


@ours_and_torchs
def test_dropped_weights_compile_whole(ours, torchs):
    torch.manual_seed(1)
    layer = ours(3, 40, weight_dropout=0.5)
    x = torch.randn(7, 5, 3)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    output, _ = compiled(x)
    again, _ = compiled(x)
    torch.testing.assert_close(output[0], layer.eval()(x)[0][0])  # the first step has no product with the state
    assert not torch.equal(output[1:], again[1:])


class OnCuda(torch.Tensor):
    """A tensor that says it is on CUDA."""

    is_cuda = True


@ours_and_torchs
def test_on_cuda_weights_are_laid_out_for_cudnn(ours, torchs, monkeypatch):
    """Called as torch's own layer calls it, with weights that only say where they are."""
    calls = []
    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", lambda weights, *rest: calls.append((len(weights), *rest)))
    monkeypatch.setattr(torch, "_use_cudnn_rnn_flatten_weight", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "is_acceptable", lambda weight: True)
    monkeypatch.setattr(torch.backends.cudnn.rnn, "get_cudnn_mode", str)
    for kind in (ours, torchs):
        layer = kind(3, 9, 2, bidirectional=True, batch_first=True)
        weights = [each.as_subclass(OnCuda) for each in layer.parameters()]
        monkeypatch.setattr(kind, "_flat_weights", weights, raising=False)
        if kind is torchs:
            layer._flat_weights = weights
        layer.flatten_parameters()
    assert len(calls) == 2
    assert calls[0] == calls[1]


def test_the_page_about_the_layers_runs(capsys):
    page = (Path(__file__).parents[2] / "docs" / "recurrent.md").read_text("utf-8")
    names = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        exec(block, names)
    assert capsys.readouterr().out == "replaced encoder\n"
    assert names["steps"].shape == (1, 3, 7, 20)


@ours_and_torchs
@pytest.mark.parametrize(
    "how", [{}, {"num_layers": 2, "batch_first": True}, {"bidirectional": True, "bias": False}], ids=str
)
def test_an_empty_batch_has_its_part_in_training(ours, torchs, how):
    """As where the rows are shared out and a process gets none: gradients of zero, not none at all."""
    shape = (0, 5, 3) if how.get("batch_first") else (5, 0, 3)
    for layer in (torchs(3, 4, **how), ours(3, 4, **how)):
        for _ in range(2):  # the second time the layer has been looked at
            x = torch.randn(shape, requires_grad=True)
            output, state = layer(x)
            state = state if isinstance(state, tuple) else (state,)
            assert all(each.requires_grad for each in (output, *state))
            (output.sum() + sum(each.sum() for each in state)).backward()
            assert x.grad.shape == x.shape
            assert all(torch.equal(each.grad, torch.zeros_like(each)) for each in layer.parameters())
        with torch.no_grad():
            assert not layer(x)[0].requires_grad


@ours_and_torchs
@pytest.mark.parametrize("how", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_gradients_switched_on_in_inference_mode_are_none(ours, torchs, how):
    x = torch.randn(5, 2, 3)
    for layer in (torchs(3, 4, **how), ours(3, 4, **how)):
        wanted = layer(x)[0].detach()
        for _ in range(2):
            with torch.inference_mode(), torch.enable_grad():
                output, _ = layer(x)
            assert not output.requires_grad
            assert torch.equal(output, wanted)
        assert layer(x)[0].requires_grad
