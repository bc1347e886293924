"""What every forecaster owes: shapes, gradients, that it learns, and that neither rows nor steps know of each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from seqloom import parts
from seqloom.errors import SettingError, ShapeError
from seqloom.models.forecasters.base import Forecaster, Shape

NAMES = parts.names("forecasters")
PLAIN = Shape(look_back=11, horizon=7, channels=3)
FULL = Shape(look_back=11, horizon=7, channels=3, past=2, known=4, quantiles=5)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def build(name: str, shape: Shape = PLAIN, **changed: Any) -> Forecaster:
    torch.manual_seed(7)
    settings = {
        "cell": "gru",
        "nonlinearity": "tanh",
        "layers": 1,
        "hidden": 9,
        "dropout": 0.0,
        "segment": 4,
        "normalization": "none",
        "channels": "independent",
    }
    return parts.part("forecasters", name).from_settings(SimpleNamespace(**settings | changed), shape).double()


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def example(shape: Shape, batch: int = 4, horizon: bool = False) -> list[Tensor | None]:
    """Values (with the horizon's, where a training wants them), past and known."""
    rows = shape.look_back + shape.horizon
    values = random(batch, rows, shape.channels) * 2 + 3
    past = random(batch, shape.look_back, shape.past) if shape.past else None
    known = random(batch, rows, shape.known) if shape.known else None
    return [values if horizon else values[:, : shape.look_back], past, known]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


normalizations = pytest.mark.parametrize(
    ("name", "normalization"),
    [
        (name, kind)
        for name in NAMES
        for kind in ("none", "last", "instance")
        if (name, kind) != ("every-step", "instance")  # see test_instance_sees_the_whole_window
    ],
)
channels = pytest.mark.parametrize("channels", ["independent", "together"])
shapes = pytest.mark.parametrize("shape", [PLAIN, FULL], ids=["plain", "covariates-and-quantiles"])


@channels
@shapes
@pytest.mark.parametrize("cell", parts.names("cells"))
@pytest.mark.parametrize("layers", [1, 2])
def test_shapes(name, cell, layers, shape, channels):
    model = build(name, shape, cell=cell, layers=layers, channels=channels)
    assert model(*example(shape)).shape == (4, 7, 3, shape.quantiles)
    prediction, target = model.training_output(*example(shape, horizon=True))
    assert prediction.shape == (*target.shape, shape.quantiles)
    assert target.shape == (4, target.shape[1], 7, 3)


@channels
@shapes
@normalizations
def test_gradients_reach_all_weights(name, shape, channels, normalization):
    model = build(name, shape, channels=channels, normalization=normalization)
    prediction, target = model.training_output(*example(shape, horizon=True))
    (prediction - target.unsqueeze(-1)).abs().mean().backward()
    for weight, value in model.named_parameters():
        assert value.grad is not None, weight
        assert torch.count_nonzero(value.grad) > 0, weight


@channels
@shapes
@normalizations
def test_the_last_origin_is_what_forward_says(name, shape, channels, normalization):
    model = build(name, shape, channels=channels, normalization=normalization)
    values, past, known = example(shape, horizon=True)
    prediction, target = model.training_output(values, past, known)
    torch.testing.assert_close(prediction[:, -1], model(values[:, :11], past, known))
    assert torch.equal(target[:, -1], values[:, 11:])


@channels
@shapes
@normalizations
def test_a_batch_gives_what_its_rows_give_alone(name, shape, channels, normalization):
    model = build(name, shape, channels=channels, normalization=normalization)
    given = example(shape)
    whole = model(*given)
    for row in range(4):
        alone = model(*(None if each is None else each[row : row + 1] for each in given))
        torch.testing.assert_close(alone, whole[row : row + 1], rtol=1e-10, atol=1e-12)


@normalizations
def test_independent_channels_do_not_see_each_other(name, normalization):
    model = build(name, normalization=normalization)
    values = example(PLAIN)[0]
    changed = values.clone()
    changed[:, :, 1] += random(4, 11)
    before, after = model(values), model(changed)
    assert torch.equal(before[:, :, [0, 2]], after[:, :, [0, 2]])
    assert (before[:, :, 1] != after[:, :, 1]).all()


def test_channels_together_do(name):
    model = build(name, channels="together")
    values = example(PLAIN)[0]
    changed = values.clone()
    changed[:, :, 1] += random(4, 11)
    assert (model(values)[:, :, 0] != model(changed)[:, :, 0]).all()


@pytest.mark.parametrize("which", [1, 2], ids=["past", "known"])
def test_covariates_are_read(name, which):
    model = build(name, FULL)
    given = example(FULL)
    before = model(*given)
    given[which] = given[which] + 1
    assert (model(*given) != before).all()


@normalizations
def test_the_forecast_of_a_moved_series_is_moved(name, normalization):
    """Whatever the level: what the normalisations are for."""
    if normalization == "none" or name == "every-step":
        return
    model = build(name, normalization=normalization)
    values = example(PLAIN)[0]
    level = torch.tensor([100.0, -7.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(model(values + level), model(values) + level.view(1, 1, 3, 1))
    if normalization == "instance":
        middle = values.mean(dim=1, keepdim=True)
        larger = model(middle + 5 * (values - middle)) - middle.unsqueeze(3)
        torch.testing.assert_close(larger, 5 * (model(values) - middle.unsqueeze(3)), rtol=1e-4, atol=1e-4)


@channels
def test_it_overfits_a_few_windows(name, channels):
    model = build(name, hidden=24, channels=channels, normalization="last")
    values, *_ = example(PLAIN, batch=3, horizon=True)
    values = values.cumsum(dim=1)  # every window's horizon can be told from its look-back
    if model.stateful:
        values = torch.linspace(0, 9, 18).sin().view(1, 18, 1) * torch.tensor([1.0, 2.0, 0.5]).view(3, 1, 1).double()
        values = values.expand(3, 18, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(400):
        prediction, target = model.training_output(values)
        loss = (prediction[..., 0] - target)[:, -1].square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    naive = (values[:, 10:11] - values[:, 11:]).square().mean()
    assert loss < 0.05 * naive


@channels
@shapes
@pytest.mark.parametrize("cell", parts.names("cells"))
def test_step_is_forward_where_a_state_is_carried(name, cell, shape, channels):
    model = build(name, shape, cell=cell, layers=2, channels=channels, normalization="last").eval()
    values, past, known = example(shape)
    if not model.stateful:
        with pytest.raises(SettingError, match="keep the last 11 rows and call forward"):
            model.step(values[:, 0])
        return
    state = None
    with torch.inference_mode():
        for row in range(11):
            said, state = model.step(
                values[:, row],
                state,
                None if past is None else past[:, row],
                None if known is None else known[:, row : row + 8],
            )
        torch.testing.assert_close(said, model(values, past, known), rtol=1e-10, atol=1e-12)


def test_dropout_acts_in_training_alone(name):
    model = build(name, dropout=0.5)
    values = example(PLAIN)[0]
    if name != "linear":
        assert not torch.equal(model(values), model(values))
    model.eval()
    assert torch.equal(model(values), model(values))


@normalizations
def test_in_bfloat16(name, normalization):
    """Products are rounded, and nothing else: float32 comes out."""
    model = build(name, FULL, normalization=normalization, hidden=32).float()
    given = [None if each is None else each.float() for each in example(FULL)]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(*given)
    exact = model(*given)
    assert rounded.dtype == torch.float32
    rounded.sum().backward()
    assert (rounded - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("look_back", [1, 2, 48])
@pytest.mark.parametrize("horizon", [1, 5])
@pytest.mark.parametrize("segment", [0, 3])
def test_any_size(name, look_back, horizon, segment):
    shape = Shape(look_back, horizon, channels=1)
    model = build(name, shape, segment=segment)
    prediction, target = model.training_output(*example(shape, horizon=True))
    assert prediction.shape == (*target.shape, 1)
    prediction.sum().backward()


def test_wrong_shapes_are_named(name):
    model = build(name, FULL)
    values, past, known = example(FULL)
    with pytest.raises(ShapeError, match=r"values must be \[B, T=11, C=3\]; given \[4, 10, 3\]"):
        model(values[:, 1:], past, known)
    with pytest.raises(ShapeError, match=r"past must be \[B=4, T=11, X=2\]; given"):
        model(values, None, known)
    with pytest.raises(ShapeError, match=r"known must be \[B=4, T=18, X=4\]; given \[4, 11, 4\]"):
        model(values, past, known[:, :11])


@pytest.mark.parametrize(("setting", "value"), [("normalization", "lest"), ("channels", "apart")])
def test_unknown_names(name, setting, value):
    with pytest.raises(SettingError, match=value):
        build(name, **{setting: value})


def test_instance_sees_the_whole_window():
    with pytest.raises(SettingError, match="every-step cannot take normalization instance"):
        build("every-step", normalization="instance")
