"""A layer called again and again, in compiled code alone: the long way to the bit, or the long way itself."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import threading

import pytest
import torch

from seqloom import GRU, LSTM, RNN, kernels
from seqloom.errors import ShapeError
from seqloom.kernels.packed import packed_weights
from seqloom.layers.ready import ready
from seqloom.layers.recurrent import Recurrent

COMPILED = ["elman", "gru", "lstm"]
SIZES = [(1, 1), (1, 9), (5, 7), (37, 10), (70, 11)]  # B and T: from one row to rows for two teams


def flat(result):
    output, state = result
    return [output, *(state if isinstance(state, tuple) else (state,))]


def assert_bits(given, wanted):
    assert type(given[1]) is type(wanted[1])
    assert all(
        one.shape == other.shape and torch.equal(one, other)
        for one, other in zip(*map(flat, (given, wanted)), strict=True)
    )


def make(name, hidden=33, **options):
    torch.manual_seed(0)
    return Recurrent(name, 5, hidden, **options).eval()


def arguments(layer, batch, time):
    x = torch.randn(batch, time, 5) if layer.batch_first else torch.randn(time, batch, 5)
    state = tuple(torch.randn(layer.num_layers, batch, layer.hidden_size) for _ in layer.cell.states)
    return x, state if len(state) > 1 else state[0]


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(
    "options",
    [{}, {"batch_first": True, "num_layers": 3}, {"precision": "bfloat16", "bias": False, "num_layers": 2}],
    ids=str,
)
def test_as_the_long_way(monkeypatch, name, sizes, options):
    """With two threads, so that a large batch of several layers is split."""
    layer = make(name, **options)
    x, state = arguments(layer, *sizes)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with torch.inference_mode():
            wanted, wanted_from_zeros = layer(x, state), layer(x)
            layer(x)  # the weights are packed now, and the layer is looked at
            monkeypatch.setattr(kernels, "stack", None)
            for _ in range(2):
                assert_bits(layer(x, state), wanted)
                assert_bits(layer(x), wanted_from_zeros)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("sizes", [(1, 300), (3, 261), (7, 450)], ids=str)
@pytest.mark.parametrize("layers", [2, 3, 4])
def test_layers_that_follow_each_other_in_time(name, sizes, layers, one_thread):
    """With two threads each layer has one of its own; the last chunk of steps is of any size."""
    layer = make(name, num_layers=layers)
    x, state = arguments(layer, *sizes)
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        with torch.inference_mode():
            layer(x, state)  # packed now, and looked at
            found.append((layer(x, state), layer(x)))
    for again in found[1:]:
        assert_bits(again[0], found[0][0])
        assert_bits(again[1], found[0][1])


@pytest.mark.parametrize("name", COMPILED)
@torch.inference_mode()
def test_a_layer_made_for_inference(monkeypatch, name):
    """Torch does not count the changes of its weights: a single number that changes is seen all the same."""
    layer = make(name, num_layers=2)
    x, state = arguments(layer, 3, 6)
    wanted = layer(x, state)
    with monkeypatch.context() as without:
        without.setattr(kernels, "stack", None)
        assert_bits(layer(x, state), wanted)
        layer.weight_hh_l1[2, 3] += 0.5
        with pytest.raises(TypeError):  # the long way, which is not there
            layer(x, state)
    changed = layer(x, state)
    assert not torch.equal(changed[0], wanted[0])
    fresh = make(name, num_layers=2)
    fresh.load_state_dict(layer.state_dict())
    assert_bits(fresh(x, state), changed)


@pytest.mark.parametrize("name", COMPILED)
@torch.no_grad()
def test_a_second_stream_begins_from_zeros(monkeypatch, name):
    layer = make(name, num_layers=2)
    x = torch.randn(3, 5)
    first, state = layer.step(x)
    second, _ = layer.step(x, state)
    assert not torch.equal(first, second)
    monkeypatch.setattr(kernels, "stack", None)
    for _ in range(2):
        again, state = layer.step(x, None)
        assert torch.equal(again, first)
        assert torch.equal(layer.step(x, state)[0], second)


@torch.no_grad()
def test_inputs_that_lie_otherwise(monkeypatch):
    layer = make("gru", batch_first=True)
    x, state = arguments(layer, 4, 6)
    layer(x, state)
    wanted = layer(x, state)
    wide = torch.randn(4, 12, 9)
    wide[:, ::2, 2:7] = x
    apart = x.transpose(1, 2).contiguous().transpose(1, 2)
    turned = state.transpose(0, 1).contiguous().transpose(0, 1)
    assert_bits(layer(apart, state), wanted)  # features apart: the long way
    assert_bits(layer(x, turned), wanted)
    monkeypatch.setattr(kernels, "stack", None)
    assert_bits(layer(wide[:, ::2, 2:7], state), wanted)


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda layer: layer.weight_hh_l0.mul_(1.5), True),
        (lambda layer: layer.weight_hh_l0.data.mul_(1.5), True),
        (lambda layer: setattr(layer, "weight_hh_l0", torch.nn.Parameter(layer.weight_hh_l0 * 1.5)), True),
        (lambda layer: layer._parameters.update(weight_hh_l0=torch.nn.Parameter(layer.weight_hh_l0 * 1.5)), True),
        (lambda layer: setattr(layer.bias_hh_l0, "data", layer.bias_hh_l0 + 0.5), True),
        (lambda layer: setattr(layer, "precision", "bfloat16"), True),
        (lambda layer: setattr(layer, "zoneout", (0.5,)), True),
        (lambda layer: layer.train(), False),
    ],
    ids=["in-place", "behind-torch", "parameter", "dictionary", "data", "precision", "zoneout", "training"],
)
# The large step is computed on two threads while all that is looked at.
@pytest.mark.parametrize(("hidden", "sizes"), [(33, (3, 4)), (290, (1, 1))], ids=["some-steps", "one-large-step"])
@torch.no_grad()
def test_changes_are_seen(change, differs, hidden, sizes, one_thread):
    torch.set_num_threads(2)
    layer = make("gru", hidden)
    x, state = arguments(layer, *sizes)
    before = [layer(x, state) for _ in range(3)][-1]
    change(layer)
    fresh = copy.deepcopy(layer)  # has never been looked at
    assert fresh._ready is None
    wanted = fresh(x, state)
    for _ in range(3):
        assert_bits(layer(x, state), wanted)
    assert torch.equal(wanted[0], before[0]) is not differs


def test_gradients_and_others_are_as_ever():
    layer = make("lstm")
    x, state = arguments(layer, 3, 4)
    with torch.no_grad():
        wanted = [layer(x, state) for _ in range(3)][-1]
    output, _ = layer(x, state)
    assert output.requires_grad
    assert torch.equal(output, wanted[0])
    with torch.no_grad():
        assert layer(x, state, all_states=True)[2][0].shape == (1, 4, 3, 33)
        assert torch.count_nonzero(layer(x, state, lengths=[4, 1, 2])[0][1:, 1]) == 0
        for wrong in (x[:, :, :4], x.double(), x[0]):
            with pytest.raises(ShapeError):
                layer(wrong, state)
        with pytest.raises(ShapeError, match="state"):
            layer(x, state[0])
        batched = torch.func.vmap(lambda each: layer(each, state)[0])(x[None])
        torch.testing.assert_close(batched[0], wanted[0])


@pytest.mark.parametrize(("hidden", "sizes"), [(33, (3, 4)), (290, (1, 1)), (290, (3, 4))], ids=str)
@torch.no_grad()
def test_numbers_with_a_minus_sign_kept_in_mind(hidden, sizes, one_thread):
    torch.set_num_threads(2)
    layer = make("lstm", hidden)
    x, (h, c) = arguments(layer, *sizes)
    wanted = [layer(x, (h, c)) for _ in range(3)][-1]
    torch.testing.assert_close(layer(torch._neg_view(-x), (h, c)), wanted)
    torch.testing.assert_close(layer(x, (h, torch._neg_view(-c))), wanted)


@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_large_steps_as_the_scan(name, layers, monkeypatch, one_thread):
    """On two threads: the second one begins before the call has been looked at."""
    torch.set_num_threads(2)
    layer = make(name, 290, num_layers=layers)
    x, state = arguments(layer, 1, 3)
    wanted, last = layer(x, state)
    layer.step(x[0], state)
    monkeypatch.setattr(kernels, "stack", None)
    for _ in range(3):
        going_on, outputs = state, []
        for each in x:
            output, going_on = layer.step(each, going_on)
            outputs.append(output)
        assert_bits((torch.stack(outputs), going_on), (wanted, last))


@pytest.mark.parametrize("kind", [RNN, GRU, LSTM])
def test_a_copy_begins_anew(kind):
    layer = kind(5, 33).eval()
    x = torch.randn(4, 2, 5)
    with torch.no_grad():
        wanted = [layer(x) for _ in range(3)][-1]
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert twin._ready is None
            for _ in range(2):
                assert_bits(twin(x), wanted)


@torch.no_grad()
def test_outputs_of_any_size(monkeypatch):
    layer = make("gru")
    x, state = arguments(layer, 900, 10)
    wanted = layer(x, state)
    layer(x, state)
    monkeypatch.setattr(kernels, "stack", None)
    assert_bits(layer(x, state), wanted)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_results_are_tensors_of_their_own(monkeypatch, name, mode):
    """They keep their numbers while the layer goes on and when it is gone; anybody may change, save and free them."""
    layer = make(name)
    x, state = arguments(layer, 3, 4)
    with mode():
        wanted = flat(layer(x, state))
        layer(x, state)
        monkeypatch.setattr(kernels, "stack", None)
        kept = flat(layer(x, state))
        assert all(each.is_inference() == (mode is torch.inference_mode) and each.is_contiguous() for each in kept)
        assert all(each.storage_offset() == 0 and each.untyped_storage().nbytes() == 4 * each.numel() for each in kept)
        others = [flat(layer(x * n, state)) for n in range(2, 40)]
        assert len({each.data_ptr() for result in [kept, *others] for each in result}) == len(kept) * 39
        flat(layer(x, state))[0].mul_(2)
        freed = threading.Thread(target=others.clear)
        freed.start()
        freed.join()
        del layer, others
        gc.collect()
        assert all(map(torch.equal, kept, wanted))
        file = io.BytesIO()
        torch.save(kept, file)
        file.seek(0)
        assert all(map(torch.equal, torch.load(file), wanted))


@torch.no_grad()
def test_results_may_become_leaves_of_a_graph():
    layer = make("gru")
    x, state = arguments(layer, 3, 4)
    output = [layer(x, state) for _ in range(3)][-1][0].requires_grad_()
    with torch.enable_grad():
        output.square().sum().backward()
    torch.testing.assert_close(output.grad, 2 * output.detach())


@pytest.mark.parametrize("odd", ["hidden", "inputs", "double"])
def test_layers_that_do_not_fit_together_have_no_short_way(odd):
    """Each is packed by itself; only the long way says what is wrong."""
    layer = make("gru", num_layers=2)
    sizes = {"hidden": (34, 34), "inputs": (32, 33), "double": (33, 33)}[odd]
    dtype = torch.float64 if odd == "double" else torch.float32
    for name, shape in {"weight_ih": sizes, "weight_hh": (sizes[1],), "bias_ih": (), "bias_hh": ()}.items():
        shape = (3 * sizes[1], *shape[:1]) if shape else (3 * sizes[1],)
        setattr(layer, f"{name}_l1", torch.nn.Parameter(torch.randn(shape, dtype=dtype)))
    with torch.no_grad():
        for one in layer._weights():
            packed_weights("gru", "float32", one, 1)
        looked = ready(layer)
        assert looked is not None
        assert looked.forward(torch.randn(7, 4, 5), None, True) is None
        with pytest.raises((ShapeError, RuntimeError)):
            layer(torch.randn(7, 4, 5))
