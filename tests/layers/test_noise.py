"""Dropout of states and weights, and zoneout: that the masks act as their papers say, and how they are drawn."""

from __future__ import annotations

import math

import pytest
import torch

from seqloom import kernels
from seqloom.layers.noise import connection_mask, zoneout_marks
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import names

torch.set_num_threads(1)

DOUBLE = {"dtype": torch.float64}
every_cell = pytest.mark.parametrize("name", names("cells"))


@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2]], ids=["dense", "ragged"])
def test_dropout_between_layers(hand, lengths):
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
    hidden = first(x, lengths=lengths)[0]
    alive = hidden > 0

    left = layer(x, lengths=lengths)[0][alive] / hidden[alive]
    kept = left[left > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.7))
    deviation = (0.3 * 0.7 / len(left)) ** 0.5
    assert abs(1 - len(kept) / len(left) - 0.3) < 4 * deviation
    assert not torch.equal(layer(x, lengths=lengths)[0], layer(x, lengths=lengths)[0])
    torch.testing.assert_close(layer.eval()(x, lengths=lengths)[0], hidden)


@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2]], ids=["dense", "ragged"])
def test_dropout_leaves_the_last_layer_alone(lengths):
    layer = Recurrent("gru", 3, 9, 2, dropout=1.0, batch_first=True)
    silent = Recurrent("gru", 9, 9, batch_first=True)
    silent.load_state_dict({k.replace("_l1", "_l0"): v for k, v in layer.state_dict().items() if k.endswith("_l1")})
    output, last = layer(torch.randn(5, 7, 3), lengths=lengths)
    wanted, wanted_last = silent(torch.zeros(5, 7, 9), lengths=lengths)
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(last[1:], wanted_last)


@every_cell
@pytest.mark.parametrize(
    "noise", [{"recurrent_dropout": 0.4}, {"zoneout": 0.3}, {"recurrent_dropout": 0.4, "zoneout": 0.3}]
)
def test_masks_act_as_their_papers_say(hand, name, noise, monkeypatch):
    layer, x, states = hand.make(name, num_layers=2, bidirectional=True, batch_first=True, **noise)
    seen = hand.Seen(monkeypatch)
    given_ = hand.call(layer, x, states, hand.RESETS, lengths=hand.LENGTHS, all_states=True)
    wanted = hand.by_hand(layer, x, states, hand.LENGTHS, hand.RESETS, options=seen.options[0])
    hand.assert_same(given_, wanted, [x, *states, *layer.parameters()])
    plain = hand.by_hand(layer, x, states, hand.LENGTHS, hand.RESETS)
    assert not torch.allclose(given_[0], plain[0], rtol=1e-3)


@every_cell
def test_zoneout_in_evaluation_is_the_mean(hand, name):
    layer, x, states = hand.make(name, num_layers=2, bidirectional=True, batch_first=True, zoneout=0.3)
    options = [kernels.Options(zoneout=(0.3,) * len(states))] * 4
    wanted = hand.by_hand(layer, x, states, hand.LENGTHS, hand.RESETS, options=options)
    given_ = hand.call(layer.eval(), x, states, hand.RESETS, lengths=hand.LENGTHS, all_states=True)
    hand.assert_same(given_, wanted, [x, *states, *layer.parameters()])


def test_zoneout_of_each_state_alone(hand, monkeypatch):
    layer, x, states = hand.make("lstm", batch_first=True, zoneout=(0.0, 0.6))
    seen = hand.Seen(monkeypatch)
    hand.assert_same(
        hand.call(layer, x, states), hand.by_hand(layer, x, states, options=(o := seen.options)[0])[:2], [x, *states]
    )
    of_h, of_c = o[0][0].zoneout_marks
    assert not of_h.any()
    assert of_c.any()
    wanted = hand.by_hand(layer, x, states, options=[kernels.Options(zoneout=(0.0, 0.6))])[:2]
    hand.assert_same(hand.call(layer.eval(), x, states), wanted, [x, *states])


def test_full_zoneout_keeps_the_state(hand):
    layer, x, states = hand.make("gru", zoneout=1.0, batch_first=True)
    for mode in (layer.train(), layer.eval()):
        output, last = hand.call(mode, x, states)
        torch.testing.assert_close(output, states[0].transpose(0, 1).expand(5, 7, 9))
        torch.testing.assert_close(last[0], states[0])


@every_cell
def test_dropped_weights(hand, name, monkeypatch):
    layer, x, states = hand.make(name, num_layers=2, bidirectional=True, batch_first=True, weight_dropout=0.375)
    seen = hand.Seen(monkeypatch)
    given_ = hand.call(layer, x, states)
    weights = [tuple(each for each in one if each is not None) for one in seen.weights[0]]
    for (ih, hh, *_), parameters in zip(weights, layer.all_weights, strict=True):
        assert ih is parameters[0]
        torch.testing.assert_close(hh, torch.where(hh != 0, parameters[1] / 0.625, 0.0))
        assert_share(hh == 0, 0.375)
    hand.assert_same(given_, hand.by_hand(layer, x, states, weights=weights)[:2], [x, *states, *layer.parameters()])
    gradient = torch.autograd.grad(given_[0].sum(), layer.weight_hh_l1)[0]
    assert torch.equal(gradient == 0, weights[2][1] == 0)


def assert_share(flags, share):
    """A share of drawn flags, within four standard deviations."""
    assert abs(flags.double().mean().item() - share) < 4 * math.sqrt(share * (1 - share) / flags.numel())


def test_shares_and_scales_of_masks(hand, monkeypatch):
    seen = hand.Seen(monkeypatch)
    layer = Recurrent("lstm", 3, 60, 2, recurrent_dropout=0.3, zoneout=(0.2, 0.5))
    layer(torch.randn(11, 40, 3))
    layer(torch.randn(11, 40, 3))
    options = [each for call_ in seen.options for each in call_]
    masks = [each.dropout_mask for each in options]
    for mask in masks:
        assert mask.shape == (40, 60)
        assert_share(mask == 0, 0.3)
        torch.testing.assert_close(mask[mask != 0], torch.full_like(mask[mask != 0], 1 / 0.7))
    assert all(not torch.equal(masks[0], mask) for mask in masks[1:])  # each layer, each call: its own
    for each in options:
        assert [m.shape for m in each.zoneout_marks] == [(40, 11, 60)] * 2
        assert_share(each.zoneout_marks[0], 0.2)
        assert_share(each.zoneout_marks[1], 0.5)


@pytest.mark.parametrize("noise", [{"recurrent_dropout": 0.4}, {"weight_dropout": 0.4}, {"zoneout": 0.3}])
def test_the_seed_decides_the_noise(noise):
    layer = Recurrent("gru", 3, 9, **noise)
    x = torch.randn(7, 5, 3)

    def run(seed):
        torch.manual_seed(seed)
        return layer(x)[0]

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    layer.eval()
    assert torch.equal(run(1), run(2))


RATES = pytest.mark.parametrize(
    ("rate", "share"), [(0.0, 0.0), (0.3, 0.3), (1e-6, 0.0), (0.999, 0.999), (1 - 1e-6, 1.0), (1.0, 1.0)]
)


def assert_drawn_one_by_one(flags, share):
    """Each of the four flags that come of one random number is set as often, and alone."""
    fours = flags.flatten()[: flags.numel() // 4 * 4].double().view(-1, 4)
    error = (share * (1 - share) / len(fours)) ** 0.5
    assert ((fours.mean(0) - share).abs() <= 4 * error + 1e-5).all()
    for one in range(4):
        for other in range(one):
            both = (fours[:, one] * fours[:, other]).mean()
            assert abs(both - share**2) <= 8 * error + 1e-5


@RATES
def test_connections_are_drawn_one_by_one(rate, share):
    torch.manual_seed(3)
    mask = connection_mask(torch.empty(401, 499, dtype=torch.float64), rate)
    kept = mask[mask != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - share) if share < 1 else 0.0), rtol=1e-2, atol=0)
    assert_drawn_one_by_one(mask == 0, share)
    if 0 < share < 1:
        assert not torch.equal(mask, connection_mask(mask, rate))


@RATES
def test_zoneout_is_drawn_one_by_one(rate, share):
    torch.manual_seed(4)
    marks, others = zoneout_marks(torch.empty(41, 7, 3, dtype=torch.float64), 499, (rate, rate))
    assert marks.dtype == torch.bool
    assert marks.shape == (41, 7, 499)
    assert_drawn_one_by_one(marks, share)
    if 0 < share < 1:
        assert not torch.equal(marks, others)


@pytest.mark.parametrize("noise", [{"recurrent_dropout": 1.0}, {"weight_dropout": 1.0}])
def test_all_dropped_is_finite(hand, noise):
    layer, x, states = hand.make("gru", batch_first=True, **noise)
    with torch.no_grad():
        silent = hand.by_hand(
            layer, x, states, weights=[(w[0], torch.zeros(27, 9, **DOUBLE), *w[2:]) for w in layer.all_weights]
        )
    torch.testing.assert_close(hand.call(layer, x, states)[0], silent[0])
