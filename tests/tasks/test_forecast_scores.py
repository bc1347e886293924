"""Errors of forecasts, against values worked out by hand and against utilsforecast."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from utilsforecast import losses

from seqloom.tasks._forecast_judging import loss_of
from seqloom.tasks._forecast_scores import Errors, Spread, block_error, mase_scales

ONE = np.ones(1)


def errors_of(forecast: np.ndarray, truth: np.ndarray, scale: np.ndarray | None = None, **more: object) -> Errors:
    channels = truth.shape[2]
    errors = Errors(np.asarray(more.pop("deviations", np.ones(channels)), dtype=float), more.pop("levels", ()))  # type: ignore[arg-type]
    errors.add(
        forecast, truth, np.ones((len(truth), channels)) if scale is None else scale, more.pop("quantiles", None)
    )  # type: ignore[arg-type]
    return errors


def test_by_hand() -> None:
    truth = np.array([[[1.0], [2.0], [4.0]], [[0.0], [0.0], [-2.0]]])
    forecast = np.array([[[2.0], [2.0], [1.0]], [[0.0], [1.0], [2.0]]])
    found = errors_of(forecast, truth, np.full((2, 1), 2.0)).metrics()
    assert found["mae"] == pytest.approx((1 + 0 + 3 + 0 + 1 + 4) / 6)
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 9 + 1 + 16) / 6))
    assert found["mase"] == pytest.approx(1.5 / 2)
    # |2 - 1| / 3, 0, 3 / 5, 0 where both are 0, 1 / 1, 4 / 4
    assert found["smape"] == pytest.approx((1 / 3 + 3 / 5 + 1 + 1) / 6)
    assert found["standard_mse"] == pytest.approx(27 / 6)


def test_of_several_targets_the_mean_and_standardised_values() -> None:
    truth = np.zeros((1, 2, 2))
    forecast = np.array([[[1.0, 10.0], [3.0, 30.0]]])
    found = errors_of(forecast, truth, deviations=np.array([1.0, 10.0]))
    assert found.metrics()["mae"] == pytest.approx((2 + 20) / 2)
    assert found.metrics()["standard_mae"] == pytest.approx(2.0)
    assert found.metrics()["standard_mse"] == pytest.approx(5.0)
    absolute, root = found.by_step()
    np.testing.assert_allclose(absolute, [1, 3])
    np.testing.assert_allclose(root, [1, 3])


def test_what_is_not_known_is_left_out_everywhere() -> None:
    random = np.random.default_rng(1)
    truth, forecast = random.normal(size=(2, 5, 3, 2))
    scales = random.uniform(1, 2, (5, 2))
    holes = truth.copy()
    holes[1, 2] = np.nan
    holes[3] = np.nan
    found = errors_of(forecast, holes, scales)
    there = ~np.isnan(holes)
    size = np.abs(forecast - truth)
    assert found.metrics()["standard_mae"] == pytest.approx(size[there].mean())
    assert found.metrics()["mae"] == pytest.approx(np.mean([size[..., c][there[..., c]].mean() for c in (0, 1)]))
    scaled = size / scales[:, None]
    assert found.metrics()["mase"] == pytest.approx(np.mean([scaled[..., c][there[..., c]].mean() for c in (0, 1)]))
    assert np.isnan(found.windows_by_target()[3]).all()
    np.testing.assert_allclose(found.windows_by_target()[0], size[0].mean(axis=0))


def test_batches_add_up() -> None:
    random = np.random.default_rng(2)
    truth, forecast = random.normal(size=(2, 7, 4, 3))
    quantiles = np.sort(random.normal(size=(7, 4, 3, 3)), axis=3)
    scales = random.uniform(1, 2, (7, 3))
    levels = (0.1, 0.5, 0.9)
    whole, parts = Errors(np.ones(3), levels), Errors(np.ones(3), levels)
    whole.add(forecast, truth, scales, quantiles)
    for piece in (slice(0, 2), slice(2, 3), slice(3, 7)):
        parts.add(forecast[piece], truth[piece], scales[piece], quantiles[piece])
    assert whole.metrics() == pytest.approx(parts.metrics())


def test_a_constant_training_part_has_no_mase() -> None:
    scales = mase_scales([np.array([[3.0, 1.0], [3.0, 2.0], [3.0, 5.0]])], 1)
    assert np.isnan(scales[0])
    assert scales[1] == pytest.approx(2.0)
    random = np.random.default_rng(3)
    truth, forecast = random.normal(size=(2, 4, 2, 2))
    found = errors_of(forecast, truth, np.broadcast_to(scales, (4, 2)))
    assert found.per_target()[0]["mase"] is None
    assert found.metrics()["mase"] == pytest.approx(found.per_target()[1]["mase"])
    assert errors_of(forecast[..., :1], truth[..., :1], np.full((4, 1), np.nan)).metrics()["mase"] is None


def test_a_season_longer_than_the_training_part_has_no_mase() -> None:
    assert np.isnan(mase_scales([np.arange(8.0)[:, None]], 8)).all()
    np.testing.assert_allclose(mase_scales([np.arange(9.0)[:, None]], 8), [8.0])
    np.testing.assert_allclose(mase_scales([np.arange(9.0)[:, None], np.arange(4.0)[:, None] * 5], 1), [23 / 11])


@pytest.mark.parametrize("period", [1, 7])
def test_against_utilsforecast(period: int) -> None:
    random = np.random.default_rng(period)
    trained = random.normal(size=(40, 1)).cumsum(axis=0)
    truth, forecast = random.normal(size=(2, 1, 11, 1)) * 3
    low, high = forecast - random.uniform(0, 4, forecast.shape), forecast + random.uniform(0, 4, forecast.shape)
    quantiles = np.stack([low, forecast, high], axis=3)
    levels = (0.1, 0.5, 0.9)
    found = errors_of(
        forecast, truth, mase_scales([trained], period)[None], levels=levels, quantiles=quantiles
    ).metrics()
    table = pd.DataFrame(
        {"unique_id": "a", "ds": range(11), "y": truth.ravel(), "m": forecast.ravel()}
        | {"low": low.ravel(), "high": high.ravel()}
    )
    before = pd.DataFrame({"unique_id": "a", "ds": range(-40, 0), "y": trained.ravel()})
    for name in ("mae", "rmse", "smape"):
        assert found[name] == pytest.approx(float(getattr(losses, name)(table, ["m"])["m"][0])), name
    theirs = losses.mase(table, ["m"], period, before)["m"][0]
    assert found["mase"] == pytest.approx(float(theirs))
    of_levels = losses.mqloss(table, {"m": ["low", "m", "high"]}, np.array(levels))["m"][0]
    assert found["pinball"] == pytest.approx(float(of_levels))
    inside = ((truth >= low) & (truth <= high)).mean()
    assert found["coverage"] == pytest.approx(inside)


def test_the_losses_of_training() -> None:
    import torch

    said = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    truth = torch.tensor([[[3.0]]])
    assert float(loss_of("mse", (), said[..., :1], truth)) == 4.0
    assert float(loss_of("mae", (), said[..., :1], truth)) == 2.0
    # 0.1 * 2, 0.5 * 1, 0.9 is above by 1: 0.1 * 1
    assert float(loss_of("quantile", (0.1, 0.5, 0.9), said, truth)) == pytest.approx((0.2 + 0.5 + 0.1) / 3)


def test_the_error_of_a_mean_counts_blocks_and_not_windows() -> None:
    horizon, blocks = 5, 10
    index = np.stack([np.zeros(50, int), np.arange(50)], axis=1)
    means = np.random.default_rng(4).normal(size=blocks)
    found = block_error(np.repeat(means, horizon), index, horizon)
    assert found == pytest.approx(1.96 * means.std(ddof=1) / np.sqrt(blocks))
    assert block_error(np.repeat(means, horizon)[:35], index[:35], horizon) is None
    other = index.copy()
    other[25:] = [[1, start] for start in range(25)]
    assert block_error(np.repeat(means, horizon), other, horizon) == pytest.approx(found)


def test_a_histogram_of_many_errors_holds_a_part_of_them() -> None:
    random = np.random.default_rng(5)
    values = random.normal(2, 3, size=(9000, 40))
    values[0, 0] = np.nan
    spread = Spread(*values.shape)
    for start in range(0, len(values), 700):
        spread.add(values[start : start + 700])
    found = spread.to_dict("load")
    assert found["target"] == "load"
    assert found["mean"] == pytest.approx(np.nanmean(values))
    assert found["standard_deviation"] == pytest.approx(np.nanstd(values))
    assert 100_000 < sum(found["counts"]) <= 200_000
    assert len(found["edges"]) == len(found["counts"]) + 1
