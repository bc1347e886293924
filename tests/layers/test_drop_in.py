"""The layers beside torch's own: same constructor, same weights, same call, same results."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from seqloom.errors import SettingError, ShapeError
from seqloom.layers.drop_in import GRU, LSTM, RNN

torch.set_num_threads(1)

PAIRS = [(RNN, nn.RNN), (GRU, nn.GRU), (LSTM, nn.LSTM)]
DOUBLE = {"dtype": torch.float64}
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


SIZES = ["input_size", "hidden_size", "num_layers"]
REST = ["bias", "batch_first", "dropout", "bidirectional"]
BEYOND = ["recurrent_dropout", "weight_dropout", "zoneout", "precision"]


@ours_and_torchs
def test_constructor_is_torchs(ours, torchs):
    extra = {nn.RNN: ["nonlinearity"], nn.GRU: [], nn.LSTM: []}[torchs]
    last = ["proj_size"] if torchs is nn.LSTM else []
    parameters = inspect.signature(ours).parameters
    assert list(parameters) == [*SIZES, *extra, *REST, *last, "device", "dtype", *BEYOND]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in BEYOND)
    values = [3, 9, 2, *(["relu"] if extra else []), False, True, 0.25, True]
    mine, theirs = ours(*values), torchs(*values)
    for name in (*SIZES, *extra, *REST, "mode", "proj_size", "training", "_all_weights", "_flat_weights_names"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert [w.shape for w in mine._flat_weights] == [w.shape for w in theirs._flat_weights]
    mine, theirs = ours(3, 9), torchs(3, 9)
    for name in (*SIZES, *REST, "mode"):
        assert getattr(mine, name) == getattr(theirs, name), name


@ours_and_torchs
def test_call_is_torchs(ours, torchs):
    parameters = inspect.signature(ours.forward).parameters
    assert list(parameters)[:3] == list(inspect.signature(torchs.forward).parameters) == ["self", "input", "hx"]
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(parameters)[3:])


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
def test_as_torch(hand, ours, torchs, options, given_state):
    mine, theirs = hand.pair(ours, torchs, **options)
    x, state = hand.inputs(mine)
    arguments = (x, state) if given_state else (x,)
    leaves = [x, *hand.as_tuple(state)] if given_state else [x]
    hand.assert_as_torch(mine(*arguments), theirs(*arguments), leaves, mine, theirs)


@ours_and_torchs
@shapes
def test_hx_by_keyword(hand, ours, torchs, options):
    mine, theirs = hand.pair(ours, torchs, **options)
    x, state = hand.inputs(mine)
    torch.testing.assert_close(mine(input=x, hx=state)[0], theirs(input=x, hx=state)[0])


@ours_and_torchs
@shapes
def test_one_sequence_without_a_batch(hand, ours, torchs, options):
    mine, theirs = hand.pair(ours, torchs, **options)
    x = torch.randn(7, 3, **DOUBLE).requires_grad_()
    state = tuple(torch.randn(len(mine.all_weights), 9, **DOUBLE).requires_grad_() for _ in mine.cell.states)
    state = state if len(state) > 1 else state[0]
    hand.assert_as_torch(mine(x, state), theirs(x, state), [x, *hand.as_tuple(state)], mine, theirs)
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])


@ours_and_torchs
@shapes
def test_repr_is_torchs(ours, torchs, options):
    assert repr(ours(3, 9, **options)) == repr(torchs(3, 9, **options))


def test_repr_beyond_torch():
    assert repr(GRU(3, 9, 2, dropout=0.5, zoneout=0.1)) == "GRU(3, 9, num_layers=2, dropout=0.5, zoneout=(0.1,))"
    assert repr(RNN(3, 9, nonlinearity="relu")) == "RNN(3, 9, nonlinearity=relu)"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(7, 5, 4),), r"input must be \[T, B, I=3\]; given \[7, 5, 4\]"),
        ((torch.zeros(7, 5, 3, 1),), r"input must be \[T, B, I=3\], 3 axes; given \[7, 5, 3, 1\], 4 axes"),
        (
            (torch.zeros(7, 5, 3, dtype=torch.float64),),
            "input must be torch.float32, as the weights are; given torch.f",
        ),
        ((torch.zeros(7, 5, 3, device="meta"),), "input must be on cpu, where the weights are; given on meta"),
        ((torch.zeros(7, 5, 3), torch.zeros(1, 5, 8)), r"state h must be \[L\*D=1, B=5, H=9\]; given \[1, 5, 8\]"),
        ((torch.zeros(7, 5, 3), torch.zeros(2, 5, 9)), r"state h must be \[L\*D=1, B=5, H=9\]; given \[2, 5, 9\]"),
        ((torch.zeros(7, 5, 3), (torch.zeros(1, 5, 9),) * 2), "state of the cell gru must be a tensor; given 2"),
        (
            (torch.zeros(7, 3), torch.zeros(1, 1, 9)),
            r"state of one sequence must be \[L\*D, H\], 2 axes; given \[1, 1, 9\]",
        ),
    ],
)
def test_wrong_shapes_name_the_argument(arguments, message):
    with pytest.raises(ShapeError, match=message):
        GRU(3, 9)(*arguments)


def test_lstm_wants_two_states():
    with pytest.raises(ShapeError, match=r"state of the cell lstm must be a tuple \(h, c\); given 1 tensors"):
        LSTM(3, 9)(torch.zeros(7, 5, 3), torch.zeros(1, 5, 9))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RNN(3, 9, nonlinearity="sigmoid"), "valid choices: relu, tanh"),
        (lambda: LSTM(3, 9, proj_size=2), "proj_size must be 0; given 2"),
        (lambda: GRU(3, 9, 2, 0.5), "bias must be True or False; given 0.5"),
        (lambda: GRU(3, 9, batch_first="1"), "batch_first must be True or False; given '1'"),
        (lambda: GRU(3, 9, bidirectional=None), "bidirectional must be True or False; given None"),
        (lambda: GRU(3, 9, zoneout=(0.1, 0.2)), "zoneout must be one rate, or one for each of h"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(SettingError, match=message):
        make()


def test_truth_values_are_taken_as_torch_takes_them():
    layer, peer = GRU(3, 9, bias=0, batch_first=np.True_, bidirectional=1), nn.GRU(3, 9, 1, False, True, 0, True)
    assert (layer.bias, layer.batch_first, layer.bidirectional) == (False, True, True)
    assert str(layer) == str(peer)
    peer.load_state_dict(layer.state_dict())
    x = torch.randn(5, 7, 3)
    torch.testing.assert_close(layer(x), peer(x))


def test_a_warning_points_at_the_caller():
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing with num_layers=1") as seen:
        LSTM(3, 9, dropout=0.5)
    assert seen[0].filename == __file__
