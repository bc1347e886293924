"""The embedding beside torch's, and beside torch's one-hot."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from seqloom.errors import SettingError, ShapeError
from seqloom.layers.embedding import Embedding

IDS = torch.tensor([[3, 1, 2, 0], [4, 4, 0, 0]])


def test_as_torch():
    torch.manual_seed(5)
    ours = Embedding(5, 7)
    torch.manual_seed(5)
    torchs = torch.nn.Embedding(5, 7, padding_idx=0)
    assert torch.equal(ours.weight, torchs.weight)
    assert torch.equal(ours(IDS), torchs(IDS))
    assert ours.features == 7
    torchs.load_state_dict(ours.state_dict())


def test_padding_is_zero_and_learns_nothing():
    layer = Embedding(5, 7)
    output = layer(IDS)
    assert torch.count_nonzero(output[0, 3]) == 0
    (output * torch.arange(1.0, output.numel() + 1).view_as(output)).sum().backward()
    assert torch.count_nonzero(layer.weight.grad[0]) == 0
    wanted = torch.arange(29.0, 36) + torch.arange(36.0, 43)  # id 4 stands at [1, 0] and [1, 1]
    assert torch.equal(layer.weight.grad[4], wanted)
    assert not layer.weight.grad.is_sparse


def test_without_padding_every_id_learns():
    layer = Embedding(5, 7, padding=None)
    layer(IDS).sum().backward()
    assert torch.equal(layer.weight.grad[0], torch.full((7,), 3.0))


def test_one_hot():
    layer = Embedding(5, 0)
    wanted = functional.one_hot(IDS, 5).float()
    wanted[..., 0] = 0
    assert torch.equal(layer(IDS), wanted)
    assert torch.equal(layer(IDS.int()), wanted)
    assert torch.equal(Embedding(5, 0, padding=None)(IDS), functional.one_hot(IDS, 5).float())
    assert layer.features == 5
    assert not list(layer.parameters())
    assert not layer.state_dict()


def test_one_hot_follows_the_model_s_type():
    assert Embedding(5, 0).double()(IDS).dtype == torch.float64


@pytest.mark.parametrize("embedding", [7, 0])
def test_an_unknown_id_is_refused(embedding):
    with pytest.raises((IndexError, RuntimeError), match=r"out of (range|bounds)"):
        Embedding(5, embedding)(torch.tensor([5]))


@pytest.mark.parametrize("embedding", [7, 0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_ids_are_integers(embedding, dtype):
    with pytest.raises(ShapeError, match="ids must be integers; given torch"):
        Embedding(5, embedding)(torch.zeros(2, dtype=dtype))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((0, 7), "vocabulary must be at least 1; given 0"), ((5, -1), "embedding must be at least 0")],
)
def test_wrong_sizes(arguments, message):
    with pytest.raises(SettingError, match=message):
        Embedding(*arguments)


def test_padding_is_an_id():
    with pytest.raises(SettingError, match="padding must be an id from 0 to 4; given 5"):
        Embedding(5, 7, padding=5)
