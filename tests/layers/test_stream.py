"""One step at a time: the scan to the bit, whichever way it goes."""

from __future__ import annotations

import pytest
import torch

from seqloom import kernels
from seqloom.errors import SettingError, ShapeError
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import names

torch.set_num_threads(1)

every_cell = pytest.mark.parametrize("name", names("cells"))


@every_cell
@pytest.mark.parametrize("batch", [1, 2, 37])
@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2}, {"zoneout": 0.3}, {"precision": "bfloat16", "bias": False}], ids=str
)
def test_steps_are_the_scan_to_the_bit(hand, name, batch, options):
    torch.manual_seed(0)
    layer = Recurrent(name, 5, 33, batch_first=True, **options).eval()
    x = torch.randn(batch, 150, 5)
    state = tuple(torch.randn(layer.num_layers, batch, 33) for _ in layer.cell.states)
    with torch.inference_mode():
        output, last = hand.call(layer, x, state)
        state = state if len(state) > 1 else state[0]
        for t in range(150):
            one, state = layer.step(x[:, t], state)
            assert torch.equal(one, output[:, t]), t
    assert all(torch.equal(one, other) for one, other in zip(hand.as_tuple(state), last, strict=True))


@every_cell
def test_step_of_one_sequence(hand, name):
    layer, x, states = hand.make(name, num_layers=2, batch_first=True)
    wanted, wanted_last = layer.step(
        x[0, :1], tuple(each[:, :1] for each in states) if len(states) > 1 else states[0][:, :1]
    )
    alone = tuple(each[:, 0] for each in states)
    output, last = layer.step(x[0, 0], alone if len(states) > 1 else alone[0])
    assert output.shape == (9,)
    assert torch.equal(output, wanted[0])
    assert all(torch.equal(a, b[:, 0]) for a, b in zip(hand.as_tuple(last), hand.as_tuple(wanted_last), strict=True))
    assert torch.equal(layer.step(x[0, 0])[0], layer(x[:1, :1])[0][0, 0])  # from zeros


@every_cell
def test_gradients_go_back_through_steps(hand, name):
    layer, x, states = hand.make(name, num_layers=2, batch_first=True)
    state, outputs = states if len(states) > 1 else states[0], []
    for t in range(7):
        output, state = layer.step(x[:, t], state)
        outputs.append(output)
    wanted = hand.by_hand(layer, x, states)[:2]
    hand.assert_same([torch.stack(outputs, dim=1), hand.as_tuple(state)], wanted, [x, *states, *layer.parameters()])


def streaming(name="gru", **options):
    """A layer that has taken two steps from the state that comes with it, and so knows the short way."""
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 9, 2, **options).eval()
    x, states = torch.randn(4, 3), tuple(torch.randn(2, 4, 9) for _ in layer.cell.states)
    state = states if len(states) > 1 else states[0]
    with torch.inference_mode():
        layer.step(x, state)
        layer.step(x, state)
    return layer, x, state


def assert_as_forward(hand, layer, x, state):
    """In fresh memory each time."""
    given, given_last = layer.step(x, state)
    wanted, wanted_last = layer(x[None], state)
    assert torch.equal(given, wanted[0])
    assert all(map(torch.equal, hand.as_tuple(given_last), hand.as_tuple(wanted_last)))
    with torch.no_grad():
        given.zero_()
    assert torch.count_nonzero(hand.as_tuple(given_last)[0]) == 2 * 4 * 9
    return wanted[0]


@every_cell
@pytest.mark.parametrize("options", [{}, {"zoneout": 0.3}, {"precision": "bfloat16", "bias": False}], ids=str)
def test_the_short_way(hand, monkeypatch, name, options):
    """It asks neither the kernels' checks nor their routes."""
    layer, x, state = streaming(name, **options)
    with torch.inference_mode():
        assert_as_forward(hand, layer, x, state)
        wanted = layer.step(x, state)[0]
        monkeypatch.setattr(kernels, "stack", None)
        for _ in range(3):
            assert torch.equal(layer.step(x, state)[0], wanted)
        padded = torch.randn(4, 5)
        padded[:, 1:4] = x
        assert torch.equal(layer.step(padded[:, 1:4], state)[0], wanted)


def replace_parameter(layer):
    layer.weight_hh_l1 = torch.nn.Parameter(layer.weight_hh_l1 * 1.5)


def replace_data(layer):
    layer.bias_ih_l1.data = layer.bias_ih_l1 + 0.5


def optimize(layer):
    with torch.enable_grad():
        layer(torch.ones(3, 1, 3))[0].sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.5).step()


@pytest.mark.parametrize(
    "change",
    [
        lambda layer: layer.weight_ih_l0.mul_(1.5),
        lambda layer: layer.weight_ih_l0.data.mul_(1.5),
        lambda layer: layer.load_state_dict({name: each * 1.5 for name, each in layer.state_dict().items()}),
        replace_parameter,
        replace_data,
        optimize,
    ],
    ids=["in-place", "behind-torch", "loaded", "parameter", "data", "optimizer"],
)
@torch.no_grad()
def test_steps_see_new_weights(hand, change):
    layer, x, state = streaming()
    before = layer.step(x, state)[0]
    change(layer)
    for _ in range(2):
        after = assert_as_forward(hand, layer, x, state)
        assert not torch.allclose(after, before, rtol=1e-4)


@torch.no_grad()
def test_steps_see_other_arguments(hand):
    layer, x, state = streaming("lstm")
    assert layer.step(x[:2], tuple(each[:, :2] for each in state))[0].shape == (2, 9)
    assert_as_forward(hand, layer, x, state)
    assert_as_forward(hand, layer, x, tuple(each.transpose(0, 1).contiguous().transpose(0, 1) for each in state))
    assert_as_forward(hand, layer, x.t().contiguous().t(), state)
    assert_as_forward(hand, layer, x, list(state))
    with pytest.raises(ShapeError, match=r"x must be torch.float32|input must be torch.float32"):
        layer.step(x.double(), state)
    with pytest.raises(ShapeError, match="state of the cell lstm must be a tuple"):
        layer.step(x, state[0])
    assert_as_forward(hand, layer.double(), x.double(), tuple(each.double() for each in state))


def test_steps_see_other_modes(hand):
    layer, x, state = streaming(zoneout=0.5)
    assert layer.step(x, state)[0].requires_grad
    with torch.no_grad():
        mean = layer.step(x, state)[0]
        drawn = [layer.train().step(x, state)[0] for _ in range(2)]
        assert not torch.equal(*drawn)
        assert torch.equal(layer.eval().step(x, state)[0], mean)
        layer.zoneout = ()
        assert not torch.equal(layer.step(x, state)[0], mean)
        with torch.autocast("cpu", torch.bfloat16):
            low = layer.step(x, state)[0]
        exact = assert_as_forward(hand, layer, x, state)
        assert 0 < (low - exact).norm() < 1e-2 * exact.norm()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch's own, inside of jvp
def test_steps_inside_of_transforms():
    layer, x, state = streaming()

    def step(x, state):
        return layer.step(x, state)[0]

    with torch.no_grad():
        batched = torch.func.vmap(step)(x[:, None], state.movedim(1, 0)[:, :, None])
        torch.testing.assert_close(batched[:, 0], step(x, state))
    derivative = torch.func.jvp(step, (x, state), (torch.ones_like(x), torch.zeros_like(state)))[1]
    small = 1e-2
    around = [step(x + sign * small, state) for sign in (1, -1)]
    torch.testing.assert_close(derivative, (around[0] - around[1]) / (2 * small), rtol=1e-2, atol=1e-3)


def test_steps_with_computed_weights(hand):
    layer, x, state = streaming()
    torch.nn.utils.parametrizations.weight_norm(layer, "weight_hh_l0")
    with torch.no_grad():
        assert_as_forward(hand, layer, x, state)
        layer.parametrizations.weight_hh_l0.original0.mul_(2)
        assert_as_forward(hand, layer, x, state)


@torch.no_grad()
def test_no_rows():
    layer, x, state = streaming()
    for _ in range(2):
        output, last = layer.step(x[:0], state[:, :0])
        assert output.shape == (0, 9)
        assert last.shape == (2, 0, 9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bidirectional": True}, "step needs one direction"),
        ({"recurrent_dropout": 0.1}, r"the same at all steps\n  help: call eval\(\)"),
        ({"weight_dropout": 0.1}, r"the same at all steps\n  help: call eval\(\)"),
    ],
)
def test_no_step(options, message):
    layer = Recurrent("gru", 3, 9, **options)
    with pytest.raises(SettingError, match=message):
        layer.step(torch.zeros(2, 3))
    if not layer.bidirectional:
        assert layer.eval().step(torch.zeros(2, 3))[0].shape == (2, 9)
