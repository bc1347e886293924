"""Rows of series one by one: a row in, a forecast out, at the same cost for every row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seqloom.data.numbers import number_of, present
from seqloom.data.order import places
from seqloom.data.table import times_of
from seqloom.data.times import SEEN
from seqloom.errors import DataError, SettingError, nearest
from seqloom.tasks import _forecast_predicting as predicting
from seqloom.tasks._forecast_data import Batch

if TYPE_CHECKING:
    from torch import nn

    from seqloom.tasks.forecast import Forecast

__all__ = ["Stream"]

FILE = "the stream"


@dataclass
class _Memory:
    """What is kept of one series."""

    state: Any = None
    """Of a model that carries one."""
    rows: NDArray[np.float32] | None = None
    """The last rows for a model that does not: [2 T, C + P + K], filled up to ``count``."""
    count: int = 0
    last: NDArray[np.float64] | None = None
    """The last targets as the file has them, [C]."""
    time: np.datetime64 | None = None
    times: list[np.datetime64] = field(default_factory=list)
    """The last stamps, as many as tell on which day of the month they lie."""
    seen: int = 0


@dataclass
class Stream:
    """Takes the rows of one or several series in order of time.

    A model that carries a state says its forecast from the first row on, from all rows so far; another one keeps the
    last T rows and begins with row T. Where rows are missing the memory of the series begins anew, unless the run
    refuses missing rows: nothing can be filled in from rows that have not come.
    """

    task: Forecast
    model: nn.Module
    series: dict[str, _Memory] = field(default_factory=dict)
    row: int = 0
    """Rows taken so far."""

    def __post_init__(self) -> None:
        roles = self.task.roles
        if roles is not None and roles.known:
            raise SettingError(
                f"rows one by one cannot tell {', '.join(roles.known)} in advance",
                help="seqloom predict RUN FILE, with the rows to come at its end",
            )

    def step(
        self, row: Mapping[str, Any], *, quantiles: Sequence[float] | str | None = None, horizon: int | None = None
    ) -> dict[str, Any] | None:
        """The forecast behind a row; None while there are too few rows, or for a row that is to be skipped.

        Raises:
            DataError: the row lacks a column or a value, is out of order, or leaves a gap.
        """
        self.task.require_horizon(horizon)
        self.row += 1
        try:
            return self._step(row, quantiles)
        except DataError as error:
            if self.task.settings.bad_rows == "skip" and error.code in ("D012", "D050", "D052", "D053", "D055", "D057"):
                return None
            raise

    def _step(self, row: Mapping[str, Any], quantiles: Any) -> dict[str, Any] | None:
        task, roles = self.task, self.task.roles
        assert roles is not None  # a run that was loaded has them
        self._require(row, roles.columns)
        name = "" if roles.series is None else str(row[roles.series]).strip()
        memory = self.series.setdefault(name, _Memory())
        time = self._time(row)
        values = [self._number(row, column) for column in roles.targets]
        past = self._past(row)
        whole = None not in values and None not in past
        if not self._follows(memory, time) or not whole:
            self.series[name] = memory = _Memory(time=memory.time, times=memory.times)
        if time is not None:
            memory.time = time
            memory.times = [*memory.times[1 - SEEN :], time]
        if not whole:
            return None
        memory.seen += 1
        scaled = self._scaled(memory, np.array(values, dtype=np.float64), np.array(past, dtype=np.float64), time)
        ahead = None
        if time is not None and task.frequency is not None:
            ahead = task.frequency.after(time, task.settings.horizon, np.array(memory.times))
        said = self._said(memory, scaled, ahead)
        if said is None:
            return None
        judge = task.judge(self.model, task.levels(quantiles))
        assert memory.last is not None  # set by `_scaled`
        forecast, raw = judge.turned(said, memory.last[None])
        bounds = judge.quantiles(raw, judge.levels)[0] if judge.levels else None
        found = predicting.named(task, name, ahead, forecast[0], bounds, judge.levels)
        return {"origin": memory.seen if time is None else task.preparation.zone.iso(np.array([time]))[0], **found}

    # --- the model ------------------------------------------------------------------------------------------------

    def _said(self, memory: _Memory, row: NDArray[np.float32], ahead: Any) -> Any:
        """What the model says behind a scaled row [C + P + K]: [1, F, C, Q]; None while it cannot."""
        import torch

        task = self.task
        targets, past = len(task.settings.target), task.widths[0]
        future = self._calendar(ahead)  # [F, K]
        with torch.no_grad():
            if self.model.stateful:
                one = torch.from_numpy(row[None])
                known = np.concatenate([row[None, targets + past :], future]) if len(future) else None
                said, memory.state = self.model.step(  # type: ignore[operator]
                    one[:, :targets],
                    memory.state,
                    one[:, targets : targets + past] if past else None,
                    None if known is None else torch.from_numpy(known[None]),
                )
                return said
            rows = self._remembered(memory, row)
            if rows is None:
                return None
            both = torch.from_numpy(rows[None])
            known = np.concatenate([rows[:, targets + past :], future]) if len(future) else None
            batch = Batch(
                both[..., :targets].contiguous(),
                both[..., targets : targets + past].contiguous() if past else None,
                None if known is None else torch.from_numpy(known[None]),
            )
            return self.model(*batch)

    def _remembered(self, memory: _Memory, row: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The last T rows with this one, [T, C + P + K]; None while there are fewer."""
        look_back = self.task.settings.look_back
        if memory.rows is None:
            memory.rows = np.empty((2 * look_back, len(row)), dtype=np.float32)
        if memory.count == len(memory.rows):  # once in T rows the younger half moves to the front
            memory.rows[: look_back - 1] = memory.rows[look_back + 1 :]
            memory.count = look_back - 1
        memory.rows[memory.count] = row
        memory.count += 1
        if memory.count < look_back:
            return None
        found = memory.rows[memory.count - look_back : memory.count].copy()
        first = self.task.preparation.first
        if first is not None:
            found[0, : len(first)] = first
        return found

    def _scaled(
        self, memory: _Memory, values: NDArray[np.float64], past: NDArray[np.float64], time: Any
    ) -> NDArray[np.float32]:
        """A row in the units of the model, [C + P + K]; remembers its values."""
        preparation = self.task.preparation
        rows = values[None] if memory.last is None else np.stack([memory.last, values])
        memory.last = values
        pieces = [preparation.targets.apply(rows)[-1]]
        if preparation.past is not None:
            pieces.append(preparation.past.apply(past[None])[0])
        calendar = self._calendar(None if time is None else np.array([time]))
        if len(calendar):
            pieces.append(calendar[0])
        return np.concatenate(pieces).astype(np.float32)

    def _calendar(self, times: Any) -> NDArray[np.float32]:
        """Calendar features [n, K] of times [n]; no rows where the model reads none."""
        preparation = self.task.preparation
        if not preparation.calendar or times is None or preparation.frequency is None:
            return np.zeros((0, 0), np.float32)
        from seqloom.data.times import calendar_features

        return calendar_features(times, preparation.frequency)[0]

    # --- the row --------------------------------------------------------------------------------------------------

    def _require(self, row: Mapping[str, Any], columns: Sequence[str]) -> None:
        for column in columns:
            if column not in row:
                raise self._bad("D026", f'there is no column "{column}"', None, nearest(column, map(str, row)))

    def _time(self, row: Mapping[str, Any]) -> np.datetime64 | None:
        roles = self.task.roles
        if roles is None or not roles.time:
            return None
        stamp, task = {name: [row[name]] for name in roles.time}, self.task
        found, _ = times_of(stamp, file=FILE, lines=[self.row], days_first=task.days_first, zone=task.zone)
        moment: np.datetime64 = found[0]
        return moment

    def _number(self, row: Mapping[str, Any], column: str) -> float | None:
        """A number, or None for a missing one that may be missing."""
        value, settings = row[column], self.task.settings
        if present(value):
            number = None if isinstance(value, bool) else number_of(value)
            if number is None:
                raise self._bad("D012", f'value "{value}" is not a number', column)
            if not isfinite(number):
                raise self._bad("D057", f"value {number} is infinite", column)
            if number != settings.missing_value:
                return number
        if settings.missing == "error":
            raise self._bad("D056", "a value is missing", column, "train with --missing drop to begin anew behind it")
        return None

    def _past(self, row: Mapping[str, Any]) -> list[float | None]:
        """The past covariates [P] of a row; a word as one number for each category."""
        found: list[float | None] = []
        categories = self.task.categories or {}
        for column in () if self.task.roles is None else self.task.roles.past:
            if column not in categories:
                found.append(self._number(row, column))
                continue
            word = str(row[column]).strip()
            if word not in categories[column]:
                raise self._bad("D060", f'training did not see "{word}"', column, nearest(word, categories[column]))
            found += [float(word == each) for each in categories[column]]
        return found

    def _follows(self, memory: _Memory, time: np.datetime64 | None) -> bool:
        """Whether a row is the next one of its series; a gap is False, or an error."""
        if time is None or memory.time is None:
            return True
        column, zone = self.task.settings.time[0], self.task.preparation.zone
        if time <= memory.time:
            code, what = ("D053", "occurs twice") if time == memory.time else ("D052", "is out of order")
            raise self._bad(
                code, f"the time {zone.written(time)} {what}: {zone.written(memory.time)} was the last one", column
            )
        if self.task.frequency is None:
            return True
        order = np.arange(2)
        stamps = np.array([memory.time, time])
        steps, good = places(stamps, order, order, self.task.frequency)
        if not good.all():
            step = self.task.frequency.describe()
            raise self._bad("D055", f"the time {zone.written(time)} is off the step of the others, {step}", column)
        missing = int(steps[1] - steps[0]) - 1
        if missing and self.task.settings.missing == "error":
            message = f"{missing:,} rows are missing between {zone.written(memory.time)} and {zone.written(time)}"
            raise self._bad("D054", message, column, "train with --missing drop to begin anew behind a gap")
        return not missing

    def _bad(self, code: str, message: str, column: str | None, help: str | None = None) -> DataError:
        help = help or "fix the row, or train with --bad-rows skip to leave such rows out"
        return DataError(message, code=code, file=FILE, line=self.row, column=column, help=help)
