"""Forecasts behind the end of series: from files and tables to rows to come; and backtests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqloom.data.formats.base import counted, listed
from seqloom.data.records import Records
from seqloom.data.series import Series
from seqloom.data.timestamps import PARTS
from seqloom.data.zones import Zone
from seqloom.errors import DataError, SettingError
from seqloom.tasks._forecast_baselines import errors_of_rules, linear_rule, simple_rules
from seqloom.tasks._forecast_data import Batch, Part, Windows, by_name, last_rows
from seqloom.tasks._forecast_judging import Judge

if TYPE_CHECKING:
    from torch import nn

    from seqloom.tasks.forecast import Forecast

__all__ = ["backtest", "last_windows", "left_out", "named", "predict", "rows", "table"]

Array = NDArray[np.float64]


def last_windows(task: Forecast, data: Part) -> list[Series]:
    """The last T rows of each series that has so many, and what it must have behind them.

    Raises:
        DataError: no series has (D058).
    """
    ends = _ends(data)
    found = [series for series in ends if not _lacks(task, series)]
    error = None if found else left_out(task, data)
    if error is not None:
        raise error
    return [last_rows(series, task.settings.look_back) for series in found]


def left_out(task: Forecast, data: Part) -> DataError | None:
    """What is wrong with the series that ``last_windows`` left out, as one error; None where it left out none."""
    ends = _ends(data)
    lacking = [(series, lack) for series in ends if (lack := _lacks(task, series))]
    if not lacking:
        return None
    told = listed([f'"{series.name}" {lack}' if series.name else lack for series, lack in lacking], 20)
    whose = f"{len(lacking):,} of {len(ends):,} series have" if len(ends) > 1 else "the series has"
    rest = "the others were forecast; --short-series skip leaves such series out without an error"
    first = lacking[0][0]
    return DataError(
        f"{whose} too few rows to be forecast from: {told}",
        code="D058",
        file=data.file,
        line=int(first.lines[-1]) or None if len(first) else None,
        help=f"{_wanted(task)}{f'; {rest}' if len(lacking) < len(ends) else ''}",
    )


def _ends(data: Part) -> list[Series]:
    """The last piece of each series."""
    return [data.data.series[numbers[-1]] for numbers in by_name(data.data).values()]


def _lacks(task: Forecast, series: Series) -> str:
    """How many of the rows that a forecast reads a series has, if it has too few; else nothing."""
    look_back, horizon = task.settings.look_back, task.settings.horizon
    if len(series) < look_back:
        return f"{len(series):,} of {look_back:,} without a gap at its end"
    ahead = len(series.known) - len(series)
    if task.roles is not None and task.roles.known and ahead < horizon:
        return f"{ahead:,} of {horizon:,} known in advance behind its end"
    return ""


def _wanted(task: Forecast) -> str:
    """What a user should give."""
    told = f"give at least the last {task.settings.look_back:,} rows"
    if task.roles is None or not task.roles.known:
        return told
    known = f"with {', '.join(task.roles.known)} and no {task.roles.targets[0]}"
    return f"{told}, and behind them {counted(task.settings.horizon, 'row')} {known}"


def predict(
    task: Forecast, judge: Judge, inputs: Sequence[Series | Mapping[str, Sequence[Any]]]
) -> list[dict[str, Any]]:
    """The forecast of each series."""
    chosen = [given if isinstance(given, Series) else _from_table(task, given) for given in inputs]
    if not chosen:
        return []
    batch, times = _batch(task, chosen)
    before = np.stack([series.values[-1] for series in chosen])
    forecast, raw, _ = judge.forecast(batch, before)
    bounds = judge.quantiles(raw, judge.levels) if judge.levels else None
    return [
        named(task, series.name, times[place], forecast[place], None if bounds is None else bounds[place], judge.levels)
        for place, series in enumerate(chosen)
    ]


def _from_table(task: Forecast, given: Mapping[str, Sequence[Any]]) -> Series:
    """One series from columns of values, checked as a file is."""
    columns = {str(name): list(values) for name, values in given.items()}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise SettingError("a table has columns of one length, and rows", help='give {"time": [...], "load": [...]}')
    lines = list(range(1, lengths.pop() + 1))
    data = task.check(Records("the table given", columns, lines), use="predict")
    found = last_windows(task, data)
    if len(found) != 1:
        raise SettingError(
            f"a table holds one series, and this one holds {len(found)}", help="give a list of tables, one a series"
        )
    return found[0]


def _batch(task: Forecast, chosen: Sequence[Series]) -> tuple[Batch, list[NDArray[Any] | None]]:
    """The windows [B, T] of series as the model reads them, and the times to come [F] of each."""
    import torch

    preparation, horizon = task.preparation, task.settings.horizon
    parts: list[list[NDArray[Any]]] = [[], [], []]
    coming: list[NDArray[Any] | None] = []
    for series in chosen:
        ahead = _ahead(task, series, horizon)
        coming.append(ahead)
        scaled = preparation.scaled(series)
        times = None if series.times is None or ahead is None else np.concatenate([series.times, ahead])
        known = preparation.known_rows(series, times, slice(0, len(series) + horizon))
        for each, array in zip(parts, (*scaled[:2], known), strict=True):
            each.append(array.astype(np.float32))
    tensors = [torch.from_numpy(np.stack(each)) for each in parts]
    return Batch(tensors[0], *(each if each.shape[2] else None for each in tensors[1:])), coming


def _ahead(task: Forecast, series: Series, horizon: int) -> NDArray[Any] | None:
    """The times of the rows to come: those of the file where it has them, else the next steps."""
    if series.times is None or task.frequency is None:
        return None
    if series.future_times is not None and len(series.future_times) >= horizon:
        return series.future_times[:horizon]
    return task.frequency.after(series.times[-1], horizon, series.times)


def named(
    task: Forecast,
    series: str,
    times: NDArray[Any] | None,
    forecast: Array,
    bounds: Array | None,
    levels: Sequence[float],
) -> dict[str, Any]:
    """A forecast [F, C] with its quantiles [F, C, Q] as a user reads it."""
    found: dict[str, Any] = {"series": series} if task.settings.series else {}
    if times is None:
        found["step"] = list(range(1, len(forecast) + 1))
    else:
        found["time"] = task.preparation.zone.iso(times)
    for number, target in enumerate(task.settings.target):
        found[target] = _digits(forecast[:, number])
        for place, level in enumerate(levels):
            if bounds is not None and level != 0.5:
                found[f"{target} {level:g}"] = _digits(bounds[:, number, place])
    return found


def rows(prediction: Mapping[str, Any], horizon: int) -> Iterator[dict[str, Any]]:
    """A prediction as one record for each step."""
    for step in range(horizon):
        values = {name: value[step] if isinstance(value, list) else value for name, value in prediction.items()}
        head: dict[str, Any] = {name: values.pop(name) for name in ("series", "origin", "time") if name in values}
        yield {**head, "step": step + 1, **values}


def _digits(values: Array) -> list[float]:
    """Seven digits, as many as the model has."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def table(task: Forecast, windows: Windows, place: int) -> dict[str, list[Any]]:
    """A window as a table that ``predict`` takes: the look-back, and what is known in advance behind it."""
    number, start = windows.index[place].tolist()
    whole = windows.part.data.series[number]
    stop = start + windows.look_back
    roles = task.roles
    assert roles is not None  # windows were made of checked data
    ahead = windows.horizon if roles.known else 0
    found: dict[str, list[Any]] = {}
    if whole.times is not None:
        found |= _time_columns(roles.time, whole.times[start : stop + ahead], task.preparation.zone)
    if roles.series is not None:
        found[roles.series] = [whole.name] * (windows.look_back + ahead)
    for column, name in enumerate(roles.targets):
        found[name] = [*whole.values[start:stop, column].tolist(), *[None] * ahead]
    categories = task.categories or {}
    found |= _columns(roles.past, whole.past[start:stop], categories, ahead)
    return found | _columns(roles.known, whole.known[start : stop + ahead], categories, 0)


def _time_columns(names: Sequence[str], times: NDArray[Any], zone: Zone) -> dict[str, list[Any]]:
    if len(names) == 1:
        return {names[0]: zone.iso(times)}
    units = dict(zip(PARTS, ("Y", "M", "D", "h", "m", "s"), strict=True))
    above = dict(zip(PARTS, (None, "Y", "M", "D", "h", "m"), strict=True))
    found: dict[str, list[Any]] = {}
    for name in names:
        unit, larger = units[name.lower()], above[name.lower()]
        if larger is None:
            values = times.astype("datetime64[Y]").astype(np.int64) + 1970
        else:
            count = (times.astype(f"datetime64[{unit}]") - times.astype(f"datetime64[{larger}]")).astype(np.int64)
            values = count + (1 if unit in "MD" else 0)
        found[name] = values.tolist()
    return found


def _columns(
    names: Sequence[str], values: Array, categories: Mapping[str, Sequence[str]], ahead: int
) -> dict[str, list[Any]]:
    """Covariates [n, X] by column, one-hot columns turned back into words."""
    found: dict[str, list[Any]] = {}
    place = 0
    for name in names:
        if name in categories:
            width = len(categories[name])
            given: list[Any] = [categories[name][code] for code in values[:, place : place + width].argmax(axis=1)]
        else:
            width, given = 1, values[:, place].tolist()
        found[name] = [*given, *[None] * ahead]
        place += width
    return found


# --- backtests --------------------------------------------------------------------------------------------------------


def backtest(task: Forecast, model: nn.Module, data: Part, origins: int) -> dict[str, Any]:
    """Forecasts from some origins, evenly spaced over what training and validation did not see."""
    if origins < 1:
        raise SettingError(f"{origins} origins are asked for", help="give a number from 1 on: --origins 50")
    fresh, note = _unseen(task, data)
    windows = task.encode(fresh).thinned(origins)
    evaluation = task.evaluate(model, windows, details=True)
    found: dict[str, Any] = {"origins": len(windows), "count": evaluation.count, **evaluation.metrics}
    rules = simple_rules(windows, task.preparation.period)
    if task.linear is not None:
        rules |= linear_rule(task.linear, task.preparation)
    errors, _ = errors_of_rules(rules, windows, task.preparation)
    found["baselines"] = [{"name": name, **each.metrics()} for name, each in errors.items()]
    found["baselines"].sort(key=lambda row: row[task.metric])
    without = "" if task.linear is not None else "the linear rule is not shown: the run did not keep it"
    evaluation.details["forecast"]["notes"] += filter(None, (without, note))
    return {**found, **evaluation.details}


def _unseen(task: Forecast, data: Part) -> tuple[Part, str]:
    """The rows behind the last time that training and validation saw; all where that leaves none or nothing tells."""
    begin = []
    for series in data.data.series:
        until = task.preparation.until.get(series.name)
        if until is None or series.times is None:
            begin.append(0)
            continue
        last = np.datetime64(until, "us")
        inside = series.times[0] <= last
        begin.append(int((series.times <= last).sum()) if inside and series.times[-1] > last else 0)
    fresh = Part(data.data, tuple(begin), data.end)
    if not task.preparation.until:
        return fresh, "rows without times: whether training saw them is not known"
    if any(begin):
        return fresh, f"origins in the {len(fresh):,} of {len(data):,} rows that training and validation did not see"
    overlap = [
        series.name
        for series in data.data.series
        if series.times is not None
        and series.name in task.preparation.until
        and series.times[0] <= np.datetime64(task.preparation.until[series.name], "us")
    ]
    return fresh, "the rows lie before the end of the training: it may have seen them" if overlap else ""
