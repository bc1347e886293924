"""SegRNN beside a straightforward one of torch.nn, and all ways to say the horizon beside each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.segment_model import StraightforwardSegments
from seqloom.models.forecasters.base import Shape
from seqloom.models.forecasters.segment import Segment, segment_rows


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def ours(shape: Shape, **changed: Any) -> Segment:
    torch.manual_seed(3)
    settings = {
        "cell": "gru",
        "nonlinearity": "tanh",
        "layers": 1,
        "hidden": 10,
        "dropout": 0.0,
        "segment": 4,
        "normalization": "last",
        "channels": "independent",
    }
    return Segment.from_settings(SimpleNamespace(**settings | changed), shape).double()


def windows(shape: Shape, batch: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(batch, shape.look_back + shape.horizon, shape.channels, generator=generator).double().cumsum(1)


def losses(model: nn.Module, said: Tensor, values: Tensor) -> dict[str, Tensor]:
    """The gradients of all weights by name, of a loss that differs everywhere."""
    names, weights = zip(*model.named_parameters(), strict=True)
    target = values[:, -said.shape[1] :]
    loss = ((said - target) * torch.linspace(0.5, 2, target[0].numel()).view(target[0].shape)).square().mean()
    return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))


@pytest.mark.parametrize(("look_back", "horizon"), [(12, 20), (4, 4), (8, 12)])
def test_is_the_straightforward_model(look_back, horizon):
    """The same weights: the same forecasts, and the same gradients of every weight."""
    shape = Shape(look_back, horizon, channels=3)
    model = ours(shape)
    plain = StraightforwardSegments(look_back, horizon, 3, rows=4, hidden=10, dropout=0.0).double()
    plain.take(model)
    values = windows(shape)
    said, wanted = model(values[:, :look_back]).squeeze(3), plain(values[:, :look_back])
    torch.testing.assert_close(said, wanted, rtol=1e-10, atol=1e-12)
    of_model, of_plain = losses(model, said, values), losses(plain, wanted, values)
    for name, gradient in of_model.items():
        torch.testing.assert_close(gradient, of_plain[plain.NAMES[name]], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", [Shape(12, 20, 3), Shape(11, 7, 3, past=1, known=2, quantiles=3), Shape(9, 5, 1)])
@pytest.mark.parametrize("channels", ["independent", "together"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_short_way_is_the_long_one(shape, channels, dropout, monkeypatch):
    """All combinations in sums, beside all combinations written out for the recurrent layer."""
    values = windows(shape)
    generator = torch.Generator().manual_seed(2)
    past = torch.randn(5, shape.look_back, shape.past, generator=generator).double() if shape.past else None
    known = None
    if shape.known:
        known = torch.randn(5, shape.look_back + shape.horizon, shape.known, generator=generator).double()
    model = ours(shape, channels=channels, dropout=dropout)
    found = []
    for long in (False, True):
        if long:
            monkeypatch.setattr(Segment, "_say", Segment._say_in_full)
        torch.manual_seed(9)
        said = model(values[:, : shape.look_back], past, known)
        found.append((said, losses(model, said[..., 0], values)))
    (short, of_short), (full, of_full) = found
    torch.testing.assert_close(short, full, rtol=1e-10, atol=1e-12)
    for name, gradient in of_short.items():
        torch.testing.assert_close(gradient, of_full[name], rtol=1e-9, atol=1e-11)


def test_segments_that_do_not_fit_are_filled_up():
    """With segments of 4: 7 rows are read as 8, the first of them twice; 5 rows of 8 that are said are kept."""
    cut, whole = ours(Shape(7, 5, 2)), ours(Shape(8, 8, 2))
    cut.load_state_dict(whole.state_dict())
    values = windows(Shape(7, 0, 2))
    filled = torch.cat([values[:, :1], values], dim=1)
    torch.testing.assert_close(cut(values), whole(filled)[:, :5])


def test_a_mask_is_the_same_for_all_segments_and_keeps_the_mean():
    model = ours(Shape(8, 8, 2), hidden=64, dropout=0.25)
    state = torch.zeros(500, 3, 7, dtype=torch.float64)  # 10,500 factors: not a multiple of 8
    mask = model._mask(state)
    assert mask.shape == state.shape
    assert set(mask.unique().tolist()) == {0.0, 256 / 192}
    assert abs(mask.mean() - 1) < 0.03
    assert not torch.equal(mask, model._mask(state))
    torch.manual_seed(5)
    one = model._mask(state)
    torch.manual_seed(5)
    assert torch.equal(one, model._mask(state))


@pytest.mark.parametrize(
    ("look_back", "horizon", "rows"), [(96, 96, 24), (96, 720, 24), (720, 336, 48), (7, 3, 2), (1, 1, 1), (100, 10, 10)]
)
def test_rows_where_none_are_given(look_back, horizon, rows):
    assert segment_rows(look_back, horizon) == rows
