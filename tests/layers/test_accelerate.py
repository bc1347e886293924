"""Models of several kinds, before and after: same results and gradients; nothing that holds on to a layer lets go."""

from __future__ import annotations

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import seqloom
from seqloom.errors import SettingError
from seqloom.layers.accelerate import Accelerated, accelerate

torch.set_num_threads(1)

OURS = (seqloom.RNN, seqloom.GRU, seqloom.LSTM)
KINDS = pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])


class Tagger(nn.Module):
    """A packed, bidirectional LSTM between an embedding and a linear layer."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.encoder = nn.LSTM(5, 7, num_layers=2, bidirectional=True, batch_first=True, dropout=0.0)
        self.output = nn.Linear(14, 3)

    def forward(self, ids):
        packed = pack_padded_sequence(self.embedding(ids), torch.tensor([2, 6, 4]), True, enforce_sorted=False)
        self.encoder.flatten_parameters()
        output, _ = self.encoder(packed)
        return self.output(pad_packed_sequence(output, batch_first=True)[0])


class Translator(nn.Module):
    """An encoder whose state begins a decoder that goes step by step."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 5)
        self.encoder = nn.GRU(5, 7)
        self.decoder = nn.GRU(5, 7, bias=False)
        self.output = nn.Linear(7, 11)

    def forward(self, ids):
        steps = self.embedding(ids.T)
        _, state = self.encoder(steps)
        scores = []
        for step in steps:
            output, state = self.decoder(input=step[None], hx=state)
            scores.append(self.output(output[-1]))
        return torch.stack(scores)


class Nested(nn.Module):
    """Layers in a list, a dictionary and a sequential; one of them at two places; one that carries its state."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 7)
        self.levels = nn.ModuleList([nn.RNN(7, 7, nonlinearity="relu"), nn.LSTM(7, 7)])
        self.more = nn.ModuleDict({"inner": nn.Sequential(nn.GRU(7, 7, num_layers=2, bias=False))})
        self.again = self.levels[1]
        self.state = None

    def forward(self, ids):
        steps = self.embedding(ids.T)
        steps, _ = self.levels[0](steps)
        steps, state = self.levels[1](steps)
        steps, _ = self.again(steps, state)
        steps, self.state = self.more["inner"][0](steps, self.state)
        self.state = self.state.detach()
        return steps.view(-1, 7)


MODELS = {
    Tagger: ("encoder",),
    Translator: ("encoder", "decoder"),
    Nested: ("levels.0", "levels.1", "more.inner.0", "again"),
}
models = pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)


def twins(make):
    """A model and its accelerated copy."""
    torch.manual_seed(0)
    model = make().double()
    fast = copy.deepcopy(model)
    return model, fast, accelerate(fast)


def ids():
    return torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(1))


@models
def test_results_and_gradients_are_the_same(make):
    model, fast, report = twins(make)
    assert report == Accelerated(MODELS[make], {})
    assert all(isinstance(fast.get_submodule(name), OURS) for name in report.replaced)
    assert list(fast.state_dict()) == list(model.state_dict())
    for _ in range(2):  # the second time with the state of the first, where a model keeps one
        results = [each(ids()) for each in (model, fast)]
        torch.testing.assert_close(results[1], results[0], rtol=1e-10, atol=1e-12)
    for result in results:
        (result * torch.linspace(-1, 2, result.numel()).view_as(result)).sum().backward()
    for (name, one), other in zip(fast.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-9, atol=1e-11, msg=name)


def trained(model, accelerated_at):
    """Four steps of an optimizer that was made before; what it holds, and the weights."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(4):
        if step == accelerated_at:
            accelerate(model)
        optimizer.zero_grad()
        model(ids()).square().sum().backward()
        optimizer.step()
    held = [each for group in optimizer.param_groups for each in group["params"]]
    assert all(one is other for one, other in zip(held, model.parameters(), strict=True))
    return model.state_dict()


@models
def test_an_optimizer_goes_on(make):
    torch.manual_seed(0)
    model = make().double()
    fast = trained(copy.deepcopy(model), accelerated_at=2)
    plain = trained(model, accelerated_at=None)
    for name, value in plain.items():
        torch.testing.assert_close(fast[name], value, rtol=1e-7, atol=1e-9, msg=name)
    model.load_state_dict(fast, strict=True)  # into torch's own layers


@KINDS
def test_nothing_but_the_class_changes(kind):
    layer = getattr(nn, kind)(3, 5, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)
    layer.eval().note = "mine"
    layer.weight_hh_l1.requires_grad_(False)
    parameters = dict(layer.named_parameters())
    model = nn.ModuleList([layer])
    accelerate(model)
    assert model[0] is layer
    assert type(layer) is getattr(seqloom, kind)
    fresh = getattr(seqloom, kind)(3, 5, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True)
    assert repr(layer) == repr(fresh)
    assert (layer.training, layer.note, layer.mode) == (False, "mine", fresh.mode)
    assert list(parameters) == list(dict(layer.named_parameters())) == list(dict(fresh.named_parameters()))
    assert all(getattr(layer, name) is parameter for name, parameter in parameters.items())
    assert [parameter.requires_grad for parameter in layer.parameters()].count(False) == 1
    absent = {
        "recurrent_dropout",
        "weight_dropout",
        "zoneout",
        "precision",
    }  # nothing beyond torch: as the class has it
    assert vars(layer).keys() - {"note"} == vars(fresh).keys() - absent
    assert all(getattr(layer, name) == getattr(fresh, name) for name in absent)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        x = torch.randn(2, 4, 3)
        assert torch.equal(other(x)[0], layer(x)[0])


def test_the_model_itself():
    torch.manual_seed(0)
    layer = nn.LSTM(3, 5)
    x = torch.randn(4, 2, 3)
    wanted = layer(x)[0]
    assert accelerate(layer).replaced == ("",)
    assert type(layer) is seqloom.LSTM
    torch.testing.assert_close(layer(x)[0], wanted)


def test_every_reference_to_a_layer():
    """One layer at two places of the model, in a plain list, and in a closure."""
    layer = nn.GRU(4, 4)
    model = nn.ModuleDict({"one": layer, "two": nn.Sequential(layer)})
    model.plain, closure = [layer], lambda: layer
    assert accelerate(model).replaced == ("one", "two.0")
    assert model["one"] is model["two"][0] is model.plain[0] is closure()
    assert len(list(model.parameters())) == 4
    assert type(layer) is seqloom.GRU


def test_hooks_stay():
    seen = []
    model = nn.Sequential(nn.GRU(3, 5))
    layer = model[0]
    handles = [
        layer.register_forward_pre_hook(lambda module, args: seen.append(("before", args[0].shape))),
        layer.register_forward_hook(lambda module, args, output: (output[0] * 2, output[1])),
        layer.register_full_backward_hook(lambda module, into, out: seen.append(("backward", len(out)))),
        layer.register_state_dict_post_hook(lambda module, state, prefix, meta: state.update({prefix + "extra": 1})),
        layer.register_load_state_dict_pre_hook(lambda module, state, prefix, *rest: state.pop(prefix + "extra")),
    ]
    x = torch.randn(4, 2, 3, requires_grad=True)
    wanted = model(x)[0]
    wanted.sum().backward()
    before, seen[:] = list(seen), []
    accelerate(model)
    output = model(x)[0]
    output.sum().backward()
    torch.testing.assert_close(output, wanted)
    assert seen == before
    assert [name for name, _ in before] == ["before", "backward"]
    state = model.state_dict()
    assert "0.extra" in state
    model.load_state_dict(state)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(model(x)[0] * 2, output)
    assert "0.extra" not in model.state_dict()


def test_a_second_time_nothing_is_left_to_do():
    model = nn.Sequential(nn.GRU(3, 5), seqloom.LSTM(3, 5))
    assert accelerate(model).replaced == ("0",)
    layer = model[0]
    assert accelerate(model) == Accelerated()
    assert model[0] is layer
    assert str(accelerate(nn.Linear(2, 2))) == "no recurrent layers found"


class Peephole(nn.LSTM):
    """A layer that somebody changed."""


def scripted():
    return torch.jit.script(nn.LSTM(3, 4))


def quantized():
    with warnings.catch_warnings(action="ignore"):  # torch's own, of its ways to quantize
        return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.LSTM(3, 4)), {nn.LSTM})[0]


def patched():
    layer = nn.GRU(3, 4)
    layer.forward = lambda *arguments: None
    return layer


def lazy():
    layer = nn.RNN(3, 4)
    layer.weight_ih_l0 = nn.UninitializedParameter()
    return layer


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.LSTM(3, 4, proj_size=2), "it has projections (proj_size=2)"),
        (lambda: nn.GRU(3, 4, device="meta"), "it is on meta; seqloom's scans are for CPUs"),
        (lambda: nn.GRU(3, 4).half(), "its weights are torch.float16; seqloom's scans are for torch.float32 and"),
        (lambda: Peephole(3, 4), "it is a subclass of nn.LSTM (Peephole), with methods of its own"),
        (lambda: nn.GRUCell(3, 4), "it is a single cell; seqloom's layers run over time"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.GRU(3, 4), "weight_hh_l0"), "its weights are parametrized"),
        (lambda: nn.utils.weight_norm(nn.GRU(3, 4), "weight_hh_l0"), "its weights are computed from other tensors"),
        (lazy, "its weights are not there yet; run the model once"),
        (patched, "its forward was replaced"),
        (scripted, "it is compiled by TorchScript; accelerate the model before scripting it"),
        (quantized, "it is quantized"),
    ],
)
def test_what_is_left_alone(make, reason):
    layer = make()
    kind, attributes = type(layer), dict(vars(layer))
    report = accelerate(nn.ModuleDict({"layer": layer}))
    assert report.replaced == ()
    assert list(report.left) == ["layer"]
    assert report.left["layer"].startswith(reason)
    assert type(layer) is kind
    assert vars(layer).keys() == attributes.keys()


def test_a_report_reads_well():
    model = nn.ModuleDict({"rnn": nn.GRU(3, 5), "small": nn.LSTM(3, 5, proj_size=2)})
    assert str(accelerate(model)) == "replaced rnn\nleft small: it has projections (proj_size=2)"
    assert str(accelerate(nn.RNN(3, 5))) == "replaced the model itself"


def test_only_modules():
    with pytest.raises(SettingError, match=r"accelerate needs a torch\.nn\.Module; given dict"):
        accelerate({"layer": nn.GRU(3, 5)})
