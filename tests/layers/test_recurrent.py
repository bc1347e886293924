"""The layers beside torch's own: same weights, same call, same results; and what they take beyond."""

from __future__ import annotations

import inspect
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqloom.errors import SettingError, ShapeError
from seqloom.layers.recurrent import GRU, LSTM, RNN, Recurrent

torch.set_num_threads(1)

PAIRS = [(RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)]
DOUBLE = {"dtype": torch.float64}
LENGTHS = [3, 7, 1, 6, 2]
ours_and_torchs = pytest.mark.parametrize(("ours", "torchs"), PAIRS, ids=["RNN", "GRU", "LSTM"])
shapes = pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"num_layers": 3},
        {"bidirectional": True},
        {"num_layers": 2, "bidirectional": True, "batch_first": True},
    ],
    ids=["plain", "no-bias", "layers", "both-ways", "layers-both-ways-batch-first"],
)


def tensors(state):
    return state if isinstance(state, tuple) else (state,)


def pair(ours, torchs, **options):
    """Our layer and torch's with the same weights, taken over from torch's state dictionary."""
    torch.manual_seed(3)
    theirs = torchs(3, 9, **DOUBLE, **options)
    mine = ours(3, 9, **DOUBLE, **options)
    mine.load_state_dict(theirs.state_dict())
    return mine, theirs


def inputs(layer, batch=5, time=7):
    """An input and distinct non-zero states, all asking for gradients."""
    torch.manual_seed(4)
    shape = (batch, time, 3) if layer.batch_first else (time, batch, 3)
    states = tuple(torch.randn(len(layer.all_weights), batch, 9, **DOUBLE).requires_grad_() for _ in layer.cell.states)
    return torch.randn(shape, **DOUBLE).requires_grad_(), states if len(states) > 1 else states[0]


def assert_same(one, other, leaves, mine, theirs):
    """Outputs, last states, and the gradients of everything that went in."""
    gradients = []
    for (output, state), layer in ((one, mine), (other, theirs)):
        total = sum(
            (part * torch.linspace(-1, 2, part.numel(), **DOUBLE).view_as(part)).sum()
            for part in (output, *tensors(state))
        )
        gradients.append(torch.autograd.grad(total, [*leaves, *layer.parameters()], retain_graph=True))
    for given, wanted in zip((one[0], *tensors(one[1])), (other[0], *tensors(other[1])), strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-10, atol=1e-12)
    for given, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(given, wanted, rtol=1e-9, atol=1e-11)


@ours_and_torchs
def test_constructor_is_torchs(ours, torchs):
    if torchs is nn.RNN:  # torch's signature hides behind *args
        wanted = ["input_size", "hidden_size", "num_layers", "nonlinearity", "bias", "batch_first", "dropout"]
        wanted += ["bidirectional", "device", "dtype"]
    else:
        wanted = ["input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"]
        wanted += (["proj_size"] if torchs is nn.LSTM else []) + ["device", "dtype"]
    assert list(inspect.signature(ours).parameters) == wanted
    mine, theirs = ours(3, 9), torchs(3, 9)
    for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"):
        assert getattr(mine, name) == getattr(theirs, name)


def test_nonlinearity_is_the_fourth_argument():
    assert RNN(3, 9, 1, "relu").cell.nonlinearity == nn.RNN(3, 9, 1, "relu").nonlinearity == "relu"


@ours_and_torchs
@shapes
def test_same_seed_same_weights(ours, torchs, options):
    torch.manual_seed(7)
    mine = ours(3, 9, **options).state_dict()
    torch.manual_seed(7)
    theirs = torchs(3, 9, **options).state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@ours_and_torchs
@shapes
def test_state_dict_goes_back(ours, torchs, options):
    mine, theirs = ours(3, 9, **options), torchs(3, 9, **options)
    assert not torch.equal(mine.weight_hh_l0, theirs.weight_hh_l0)
    theirs.load_state_dict(mine.state_dict())
    x = torch.randn(7, 5, 3)
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])


@ours_and_torchs
@shapes
@pytest.mark.parametrize("given_state", [False, True], ids=["zeros", "state"])
def test_as_torch(ours, torchs, options, given_state):
    mine, theirs = pair(ours, torchs, **options)
    x, state = inputs(mine)
    arguments = (x, state) if given_state else (x,)
    leaves = [x, *tensors(state)] if given_state else [x]
    assert_same(mine(*arguments), theirs(*arguments), leaves, mine, theirs)


@ours_and_torchs
@shapes
def test_hx_by_keyword(ours, torchs, options):
    mine, theirs = pair(ours, torchs, **options)
    x, state = inputs(mine)
    torch.testing.assert_close(mine(input=x, hx=state)[0], theirs(input=x, hx=state)[0])


@ours_and_torchs
@shapes
def test_lengths_as_torchs_packed(ours, torchs, options):
    """Torch's packed sequences are a second implementation of unequal lengths: the same, in every gradient."""
    mine, theirs = pair(ours, torchs, **options)
    x, state = inputs(mine)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), theirs.batch_first, enforce_sorted=False)
    output, last = theirs(packed, state)
    padded = pad_packed_sequence(output, theirs.batch_first, total_length=7)[0]
    assert_same(mine(x, state, LENGTHS), (padded, last), [x, *tensors(state)], mine, theirs)


@ours_and_torchs
@shapes
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_in_packed_out(ours, torchs, options, enforce_sorted):
    mine, theirs = pair(ours, torchs, **options)
    x, state = inputs(mine)
    lengths = torch.tensor(sorted(LENGTHS, reverse=True) if enforce_sorted else LENGTHS)
    packed = pack_padded_sequence(x, lengths, mine.batch_first, enforce_sorted=enforce_sorted)
    one, other = mine(packed, state), theirs(packed, state)
    assert torch.equal(one[0].batch_sizes, other[0].batch_sizes)
    if enforce_sorted:
        assert one[0].sorted_indices is None
    else:
        assert torch.equal(one[0].sorted_indices, other[0].sorted_indices)
        assert torch.equal(one[0].unsorted_indices, other[0].unsorted_indices)
    leaves = [x, *tensors(state)]
    assert_same((one[0].data, one[1]), (other[0].data, other[1]), leaves, mine, theirs)


@ours_and_torchs
@shapes
def test_one_sequence_without_a_batch(ours, torchs, options):
    mine, theirs = pair(ours, torchs, **options)
    x = torch.randn(7, 3, **DOUBLE).requires_grad_()
    state = tuple(torch.randn(len(mine.all_weights), 9, **DOUBLE).requires_grad_() for _ in mine.cell.states)
    state = state if len(state) > 1 else state[0]
    assert_same(mine(x, state), theirs(x, state), [x, *tensors(state)], mine, theirs)
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_dropout_between_layers(lengths):
    """The second layer passes on what it reads, so that its output shows what dropout left of the first one's."""
    torch.manual_seed(0)
    layer = Recurrent("elman", 3, 200, 2, dropout=0.3, batch_first=True, nonlinearity="relu", **DOUBLE)
    with torch.no_grad():
        layer.weight_ih_l1.copy_(torch.eye(200))
        for weight in (layer.weight_hh_l1, layer.bias_ih_l1, layer.bias_hh_l1):
            weight.zero_()
    x = torch.randn(5, 7, 3, **DOUBLE)
    first = Recurrent("elman", 3, 200, batch_first=True, nonlinearity="relu", **DOUBLE)
    first.load_state_dict({name: value for name, value in layer.state_dict().items() if name.endswith("_l0")})
    hidden = first(x, None, lengths)[0]
    alive = hidden > 0

    left = layer(x, None, lengths)[0][alive] / hidden[alive]
    kept = left[left > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.7))
    deviation = (0.3 * 0.7 / len(left)) ** 0.5
    assert abs(1 - len(kept) / len(left) - 0.3) < 4 * deviation
    assert not torch.equal(layer(x, None, lengths)[0], layer(x, None, lengths)[0])
    torch.testing.assert_close(layer.eval()(x, None, lengths)[0], hidden)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["dense", "ragged"])
def test_dropout_leaves_the_last_layer_alone(lengths):
    layer = GRU(3, 9, 2, dropout=1.0, batch_first=True)
    silent = GRU(9, 9, batch_first=True)
    silent.load_state_dict({k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if k.endswith("_l1")})
    output, last = layer(torch.randn(5, 7, 3), None, lengths)
    wanted, wanted_last = silent(torch.zeros(5, 7, 9), None, lengths)
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(last[1:], wanted_last)


@pytest.mark.parametrize("name", ["elman", "gru", "lstm"])
def test_mixed_precision(name):
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 16, 2, bidirectional=True, batch_first=True)
    x = torch.randn(5, 7, 3)
    for lengths in (None, LENGTHS):
        wanted = layer(x, None, lengths)[0]
        with torch.autocast("cpu", torch.bfloat16):
            output, state = layer(x, None, lengths)
            layer(x, state, lengths)
        output.float().sum().backward()
        assert (output.float() - wanted).norm() < 2e-2 * wanted.norm()
        assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


def test_a_copy_by_pickle_is_the_same():
    layer = LSTM(3, 9, 2, bidirectional=True)
    x = torch.randn(7, 5, 3)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x)[0], layer(x)[0])


def test_repr():
    assert repr(GRU(3, 9, 2, bidirectional=True)) == "GRU(3, 9, num_layers=2, bidirectional=True)"
    assert repr(Recurrent("elman", 3, 9, nonlinearity="relu")) == "Recurrent(elman, 3, 9, nonlinearity=relu)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(7, 5, 4),), r"input must be \[B, T, I=3\]; given \[5, 7, 4\]"),
        ((torch.zeros(7, 5, 3, 1),), r"input must be \[T, B, I\], 3 axes; given \[7, 5, 3, 1\], 4 axes"),
        (
            (torch.zeros(7, 5, 3, dtype=torch.float64),),
            "input must be torch.float32, as the weights are; given torch.f",
        ),
        ((torch.zeros(7, 5, 3, device="meta"),), "input must be on cpu, where the weights are; given on meta"),
        ((torch.zeros(7, 5, 3), torch.zeros(1, 5, 8)), r"state h must be \[L\*D=1, B=5, H=9\]; given \[1, 5, 8\]"),
        ((torch.zeros(7, 5, 3), torch.zeros(2, 5, 9)), r"state h must be \[L\*D=1, B=5, H=9\]; given \[2, 5, 9\]"),
        ((torch.zeros(7, 5, 3), (torch.zeros(1, 5, 9),) * 2), "state of the cell gru must be a tensor; given 2"),
        ((torch.zeros(7, 3), torch.zeros(1, 1, 9)), r"hx must be \[L\*D, H\] .* given \[1, 1, 9\]"),
        ((torch.zeros(7, 5, 3), None, [7, 7, 7, 7]), r"lengths must be \[B=5\]; given \[4\]"),
        ((torch.zeros(7, 5, 3), None, [7, 7, 7, 7, 8]), "lengths must be from 0 to T=7; given from 7 to 8"),
        ((torch.zeros(7, 5, 3), None, [7, 7, 7, 7, -1]), "lengths must be from 0 to T=7; given from -1 to 7"),
        ((torch.zeros(7, 5, 3), None, [1.0, 2.0, 3.0, 4.0, 5.0]), "lengths must be integers; given torch.float32"),
    ],
)
def test_wrong_shapes_name_the_argument(arguments, message):
    with pytest.raises(ShapeError, match=message):
        GRU(3, 9)(*arguments)


def test_lstm_wants_two_states():
    with pytest.raises(ShapeError, match=r"state of the cell lstm must be a tuple \(h, c\); given 1 tensors"):
        LSTM(3, 9)(torch.zeros(7, 5, 3), torch.zeros(1, 5, 9))


def test_packed_has_its_own_lengths():
    packed = pack_padded_sequence(torch.zeros(7, 2, 3), torch.tensor([7, 2]))
    with pytest.raises(ShapeError, match="lengths must not be given with a PackedSequence"):
        GRU(3, 9)(packed, None, [7, 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recurrent("gnu", 3, 9), '"gnu" is not one of the cells'),
        (lambda: Recurrent("gru", 0, 9), "input_size must be at least 1; given 0"),
        (lambda: Recurrent("gru", 3, 0), "hidden_size must be at least 1; given 0"),
        (lambda: Recurrent("gru", 3, 9, 0), "num_layers must be at least 1; given 0"),
        (lambda: Recurrent("gru", 3, 9, 2, dropout=1.5), "dropout must be from 0 to 1; given 1.5"),
        (lambda: Recurrent("gru", 3, 9, nonlinearity="relu"), 'nonlinearity "relu" is not one that the cell gru has'),
        (lambda: RNN(3, 9, nonlinearity="sigmoid"), "valid choices: relu, tanh"),
        (lambda: LSTM(3, 9, proj_size=2), "proj_size must be 0; given 2"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(SettingError, match=message):
        make()
