"""A stack beside a loop over its cell's step: lengths, resets, all states; and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.errors import SettingError, ShapeError
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import names

torch.set_num_threads(1)

DOUBLE = {"dtype": torch.float64}
every_cell = pytest.mark.parametrize("name", names("cells"))
orders = pytest.mark.parametrize("batch_first", [True, False], ids=["batch-first", "time-first"])


@every_cell
@orders
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "bias": False}], ids=["one", "four"])
@pytest.mark.parametrize("lengths", [None, [3, 7, 1, 6, 2], [4, 1, 3, 0, 2]], ids=["dense", "ragged", "short"])
@pytest.mark.parametrize("resets", [False, True], ids=["whole", "resets"])
def test_all_states(hand, name, batch_first, options, lengths, resets):
    layer, x, states = hand.make(name, batch_first=batch_first, **options)
    resets = hand.RESETS if resets else None
    wanted = hand.by_hand(layer, x, states, lengths, resets)
    leaves = [x, *states, *layer.parameters()]
    hand.assert_same(hand.call(layer, x, states, resets, lengths=lengths, all_states=True), wanted, leaves)
    hand.assert_same(hand.call(layer, x, states, resets, lengths=lengths), wanted[:2], leaves)


@every_cell
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_batch(hand, name, data):
    batch, time = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    options = {"bidirectional": data.draw(st.booleans()), "num_layers": data.draw(st.integers(1, 2))}
    layer, x, states = hand.make(name, batch, time, batch_first=data.draw(st.booleans()), **options)
    lengths = data.draw(st.none() | st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    flags = st.lists(st.booleans(), min_size=batch * time, max_size=batch * time)
    resets = data.draw(st.none() | flags.map(lambda all_: torch.tensor(all_).view(batch, time)))
    given_ = hand.call(layer, x, states, resets, lengths=lengths, all_states=True)
    hand.assert_same(given_, hand.by_hand(layer, x, states, lengths, resets), [x, *states, *layer.parameters()])


@every_cell
def test_resets_part_a_row_into_sequences(hand, name):
    """Both ways, two layers: as if each piece were a row alone; the given states are those at the row's two ends."""
    layer, x, states = hand.make(name, batch=1, num_layers=2, bidirectional=True, batch_first=True)
    output, last = hand.call(layer, x, states, hand.marks((0, 2), (0, 5), batch=1))
    outputs = []
    for begin, end in ((0, 2), (2, 5), (5, 7)):
        before = [torch.zeros_like(each) for each in states]
        for each, zeros in zip(states, before, strict=True):
            zeros[0::2] = each[0::2] if begin == 0 else 0
            zeros[1::2] = each[1::2] if end == 7 else 0
        piece, after = hand.call(layer, x[:, begin:end], tuple(before))
        outputs.append(piece)
        if begin == 0:
            reverse_ends = [each[1::2] for each in after]
    torch.testing.assert_close(output, torch.cat(outputs, dim=1))
    for each, forward_end, reverse_end in zip(last, after, reverse_ends, strict=True):
        torch.testing.assert_close(each[0::2], forward_end[0::2])
        torch.testing.assert_close(each[1::2], reverse_end)


@orders
def test_outputs_lie_in_the_order_of_the_layer(hand, batch_first):
    layer = Recurrent("lstm", 3, 9, 2, bidirectional=True, batch_first=batch_first)
    shape = (5, 7) if batch_first else (7, 5)
    output, _, (h, c) = layer(torch.randn(*shape, 3), lengths=hand.LENGTHS, all_states=True)
    assert output.view(35, 18).shape == (35, 18)
    assert h.shape == c.shape == (4, *shape, 9)
    torch.testing.assert_close(torch.cat([h[2], h[3]], dim=-1), output)


# --- bfloat16 ---------------------------------------------------------------------------------------------------------


@every_cell
def test_bfloat16_products(hand, name):
    torch.manual_seed(0)
    layer = Recurrent(name, 17, 100, precision="bfloat16")
    exact = Recurrent(name, 17, 100)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(20, 6, 17)
    gradients = []
    for each in (layer, exact):
        output, last = each(x, lengths=[20, 3, 11, 1, 17, 8])
        assert output.dtype == hand.as_tuple(last)[0].dtype == torch.float32
        output.square().sum().backward()
        gradients.append([output, *hand.as_tuple(last), *(parameter.grad for parameter in each.parameters())])
    for one, other in zip(*gradients, strict=True):
        assert (one - other).norm() < 1e-2 * other.norm()


@every_cell
def test_mixed_precision(hand, name):
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 16, 2, bidirectional=True, batch_first=True)
    x = torch.randn(5, 7, 3)
    for lengths in (None, hand.LENGTHS):
        wanted = layer(x, lengths=lengths)[0]
        with torch.autocast("cpu", torch.bfloat16):
            output, state = layer(x, lengths=lengths)
            layer(x, state, lengths=lengths)
        output.float().sum().backward()
        assert (output.float() - wanted).norm() < 2e-2 * wanted.norm()
        assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"resets": torch.zeros(5, 7, dtype=torch.bool)}, r"resets must be \[T=7, B=5\]; given \[5, 7\]"),
        ({"resets": torch.zeros(7, 5)}, r"resets must be torch.bool; given torch.float32"),
        ({"lengths": [7, 7, 7, 7]}, r"lengths must be \[B=5\]; given \[4\]"),
        ({"lengths": [7, 7, 7, 7, 8]}, "lengths must be from 0 to T=7; given from 7 to 8"),
    ],
)
def test_wrong_marks_and_lengths(arguments, message):
    with pytest.raises(ShapeError, match=message):
        Recurrent("gru", 3, 9)(torch.zeros(7, 5, 3), **arguments)


@pytest.mark.parametrize(
    ("batch_first", "message"),
    [(False, r"\[T, B, I=3\]; given \[7, 5, 4\]"), (True, r"\[B, T, I=3\]; given \[7, 5, 4\]")],
)
def test_wrong_input_is_said_in_the_order_of_the_layer(batch_first, message):
    with pytest.raises(ShapeError, match="input must be " + message):
        Recurrent("gru", 3, 9, batch_first=batch_first)(torch.zeros(7, 5, 4))


@pytest.mark.parametrize(
    ("x", "state", "message"),
    [
        (torch.zeros(2, 4), None, r"x must be \[B, I=3\]; given \[2, 4\]"),
        (torch.zeros(1, 2, 3), None, r"x must be \[B, I=3\], 2 axes; given \[1, 2, 3\], 3 axes"),
        (torch.zeros(2, 3), torch.zeros(1, 3, 9), r"state h must be \[L\*D=1, B=2, H=9\]; given \[1, 3, 9\]"),
        (torch.zeros(3), torch.zeros(1, 1, 9), r"state of one sequence must be \[L\*D, H\], 2 axes; given \[1, 1, 9\]"),
    ],
)
def test_wrong_step(x, state, message):
    with pytest.raises(ShapeError, match=message):
        Recurrent("gru", 3, 9).step(x, state)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("gnu", 3, 9), {}, '"gnu" is not one of the cells'),
        (("gru", 0, 9), {}, "input_size must be a whole number of at least 1; given 0"),
        (("gru", 3, 9.5), {}, "hidden_size must be a whole number of at least 1; given 9.5"),
        (("gru", 3, 9, 0), {}, "num_layers must be a whole number of at least 1; given 0"),
        (("gru", 3, 9, 2), {"bias": 0.5}, "bias must be True or False; given 0.5"),
        (("gru", 3, 9, 2), {"dropout": 1.5}, "dropout must be a number from 0 to 1; given 1.5"),
        (("gru", 3, 9), {"nonlinearity": "relu"}, 'nonlinearity "relu" is not one that the cell gru has'),
        (("gru", 3, 9), {"recurrent_dropout": -0.1}, "recurrent_dropout must be a number from 0 to 1; given -0.1"),
        (("gru", 3, 9), {"weight_dropout": True}, "weight_dropout must be a number from 0 to 1; given True"),
        (("gru", 3, 9), {"zoneout": 2}, "zoneout must be a number from 0 to 1; given 2"),
        (("gru", 3, 9), {"zoneout": (0.1, 0.2)}, r"zoneout must be one rate, or one for each of h; given \(0.1, 0.2\)"),
        (("lstm", 3, 9), {"zoneout": [0.1]}, r"zoneout must be one rate, or one for each of h, c; given \[0.1\]"),
        (("gru", 3, 9), {"precision": "bf16"}, 'precision "bf16" is not one there is\n  help: .*bfloat16, float32'),
        (("gru", 3, 9), {"precision": "bfloat16", **DOUBLE}, "needs weights of torch.float32; given torch.float64"),
    ],
)
def test_wrong_settings(arguments, options, message):
    with pytest.raises(SettingError, match=message):
        Recurrent(*arguments, **options)


def test_dropout_needs_two_layers():
    with pytest.warns(UserWarning, match="dropout=0.5 does nothing with num_layers=1") as seen:
        Recurrent("gru", 3, 9, dropout=0.5)
    assert seen[0].filename == __file__


def test_repr_names_what_is_not_torchs():
    options = {"recurrent_dropout": 0.25, "weight_dropout": 0.5, "zoneout": (0.1, 0.05), "precision": "bfloat16"}
    text = "recurrent_dropout=0.25, weight_dropout=0.5, zoneout=(0.1, 0.05), precision=bfloat16"
    assert repr(Recurrent("lstm", 3, 9, 2, **options)) == f"Recurrent(lstm, 3, 9, num_layers=2, {text})"
    assert repr(Recurrent("elman", 3, 9, nonlinearity="relu")) == "Recurrent(elman, 3, 9, nonlinearity=relu)"
