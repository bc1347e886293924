"""Transforms are fitted on the training part, undone exactly, and refuse what they cannot take."""

from __future__ import annotations

import json
from itertools import product
from typing import get_args

import numpy as np
import pytest
from scipy import stats
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from seqloom.data.records import Records
from seqloom.data.series import choose_roles, read_series
from seqloom.data.transforms import Pipeline, Scale, Transform
from seqloom.errors import DataError, SettingError, ShapeError

ALL = list(product(get_args(Transform), get_args(Scale)))


def prices(rows: int = 57, targets: int = 3, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.exp(random.normal(0.01, 0.05, size=(rows, targets)).cumsum(axis=0)) * [10, 200, 0.5][:targets]


@pytest.mark.parametrize(("transform", "scale"), ALL)
def test_undone_forecasts_are_the_file(transform: Transform, scale: Scale) -> None:
    values = prices()
    fitted = Pipeline(transform, scale).fit([values[:20], values[20:40]])
    fitted = Pipeline.from_json(json.loads(json.dumps(fitted.to_json(), allow_nan=False)))
    applied = fitted.apply(values)
    assert applied.shape == values.shape
    np.testing.assert_allclose(fitted.undo(applied[45:], values[44]), values[45:], rtol=1e-9)
    # batches of windows, and quantiles beside them
    windows = np.stack([applied[41:47], applied[50:56]])  # [B, F, C]
    before = np.stack([values[40], values[49]])
    wanted = np.stack([values[41:47], values[50:56]])
    np.testing.assert_allclose(fitted.undo(windows, before), wanted, rtol=1e-9)
    quantiles = np.stack([windows, windows], axis=1)  # [B, Q, F, C]
    np.testing.assert_allclose(fitted.undo(quantiles, before[:, None])[:, 1], wanted, rtol=1e-9)


def test_scales_against_another_implementation() -> None:
    values = prices()
    for scale, judge in (("standard", StandardScaler()), ("min-max", MinMaxScaler())):
        found = Pipeline("none", scale).fit([values[:13], values[13:30]]).apply(values)
        np.testing.assert_allclose(found, judge.fit(values[:30]).transform(values), rtol=1e-10)


def test_transforms_by_hand() -> None:
    values = np.array([[1.0, 8.0], [2.0, 4.0], [4.0, 2.0]])
    np.testing.assert_allclose(
        Pipeline("log", "none").fit([values]).apply(values), np.log(2) * np.array([[0, 3], [1, 2], [2, 1]]), atol=1e-15
    )
    np.testing.assert_array_equal(
        Pipeline("difference", "none").fit([values]).apply(values), [[0, 0], [1, -4], [2, -2]]
    )
    np.testing.assert_allclose(
        Pipeline("returns", "none").fit([values]).apply(values), np.log(2) * np.array([[0, 0], [1, -1], [1, -1]])
    )
    # the first row of a series has no difference, and the fit leaves it out
    fitted = Pipeline("difference", "standard").fit([values, values])
    assert fitted.offset is not None and fitted.offset.tolist() == [1.5, -3] and fitted.lost == 1


def test_box_cox_against_another_implementation() -> None:
    random = np.random.default_rng(3)
    for power in (0.0, 0.31, 0.8):
        base = random.normal(8, 1, size=4_001)
        values = np.exp(base / 4) if power == 0 else base ** (1 / power)
        fitted = Pipeline("box-cox", "none").fit([values[:, None]])
        _, judged = stats.boxcox(values)
        assert fitted.power is not None
        np.testing.assert_allclose(fitted.power[0], np.clip(judged, 0, 1), atol=2e-4)
        np.testing.assert_allclose(
            fitted.apply(values[:, None])[:, 0], stats.boxcox(values, fitted.power[0]), rtol=1e-9, atol=1e-12
        )
    # a forecast below all that can be transformed is the least there is
    assert (fitted.undo(np.array([[-1e6]])) == 0).all()


@pytest.mark.parametrize(("transform", "scale"), ALL)
def test_the_future_changes_nothing_that_was_fitted(transform: Transform, scale: Scale) -> None:
    values = prices()
    other = values.copy()
    other[40:] = other[40:] ** 3 + 7
    one, two = (Pipeline(transform, scale).fit([array[:40]]) for array in (values, other))
    assert one.to_json() == two.to_json()
    np.testing.assert_array_equal(one.apply(values)[:40], two.apply(other)[:40])


def test_a_constant_target_is_divided_by_one_and_told() -> None:
    values = np.stack([np.full(9, 0.1), np.arange(9.0)], axis=1)
    for scale in ("standard", "min-max"):
        fitted = Pipeline("none", scale).fit([values])
        assert fitted.constant == (0,)
        np.testing.assert_allclose(fitted.apply(values)[:, 0], 0, atol=1e-15)
        np.testing.assert_allclose(fitted.undo(fitted.apply(values + 1)), values + 1)
    assert fitted.describe(["y", "z"]) == [
        '"y" is constant in the training part: it is not scaled, and MASE is undefined'
    ]
    ones = Pipeline("box-cox", "standard").fit([np.full((9, 1), 2.0)])
    np.testing.assert_allclose(ones.undo(ones.apply(np.full((3, 1), 2.0))), 2.0)


@pytest.mark.parametrize("transform", ["log", "box-cox", "returns"])
@pytest.mark.parametrize("value", [0.0, -2.5])
def test_values_that_a_transform_cannot_take(transform: Transform, value: float) -> None:
    values = prices(20, 2)
    values[11, 1] = value
    with pytest.raises(DataError, match=f"given {value:g} in row 12") as caught:
        Pipeline(transform).fit([values])
    assert caught.value.code == "D059" and caught.value.help
    columns = {"a": values[:, 0].tolist(), "b": values[:, 1].tolist()}
    records = Records("prices.csv", columns, list(range(2, 22)))
    data = read_series(records, choose_roles(records))
    with pytest.raises(DataError, match=f"given {value:g}") as caught:
        Pipeline(transform).check(data)
    assert (caught.value.code, caught.value.line, caught.value.column) == ("D059", 13, "b")
    Pipeline("difference").check(data)


def test_wrong_uses() -> None:
    with pytest.raises(SettingError, match='no transform "logg"'):
        Pipeline("logg")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match='no scale "max"'):
        Pipeline("log", "max")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="not fitted"):
        Pipeline().apply(np.ones((3, 1)))
    with pytest.raises(ShapeError, match="from the row before"):
        Pipeline("returns").fit([prices()]).undo(np.ones((3, 3)))
    with pytest.raises(ShapeError, match="cannot be fitted"):
        Pipeline("difference").fit([np.ones((1, 1))])
