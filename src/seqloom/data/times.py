"""The step of time stamps, the stamps that come next, and where in the day, the week and the year they stand."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from seqloom.data.timestamps import parse_times
from seqloom.errors import SettingError

__all__ = ["Frequency", "Unit", "calendar_features", "find_frequency", "parse_times"]

Unit = Literal[
    "microsecond", "millisecond", "second", "minute", "hour", "day", "business day", "week", "month", "quarter", "year"
]

Times = NDArray[np.datetime64]

SECOND = 1_000_000
DAY = 86_400 * SECOND
FIXED = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": SECOND,
    "minute": 60 * SECOND,
    "hour": 3600 * SECOND,
    "day": DAY,
    "week": 7 * DAY,
}
"""Microseconds of the units that are always equally long."""
MONTHS = {"month": 1, "quarter": 3, "year": 12}
"""Months of the units that the calendar makes."""
WORDS = {
    "second": "every second",
    "minute": "every minute",
    "hour": "hourly",
    "day": "daily",
    "business day": "daily on business days",
    "week": "weekly",
    "month": "monthly",
    "quarter": "quarterly",
    "year": "yearly",
}
CYCLES = {"minute": 60 * SECOND, "hour": 3600 * SECOND, "day": DAY, "week": 7 * DAY, "year": 365 * DAY}
"""Seasons of clock and calendar, in microseconds."""
SEEN = 24
"""Stamps that tell on which day of the month a series has its rows."""
MONDAY = 4 * DAY
"""1970-01-05, the first Monday since 1970 began, in microseconds."""


@dataclass(frozen=True)
class Frequency:
    """The step from one row to the next: ``count`` units."""

    count: int
    unit: Unit

    def describe(self) -> str:
        """In words: ``hourly``, ``every 15 minutes``, ``daily on business days``."""
        if self.count == 1:
            return WORDS.get(self.unit, f"every {self.unit}")
        return f"every {self.count} {self.unit}s"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The step that a user writes: ``hourly``, ``15 minutes``, ``business day``, ``every 2 weeks``.

        Raises:
            SettingError: it is none; says what is one.
        """
        words = " ".join(text.lower().split())
        for unit, name in WORDS.items():
            if words == name:
                return cls(1, unit)  # type: ignore[arg-type]  # the keys of WORDS are units
        found = re.fullmatch(r"(?:every )?(\d+ ?)?(" + "|".join(get_args(Unit)) + ")s?", words)
        if found is None or int(found[1] or 1) < 1:
            raise SettingError(
                f'"{text}" is not a frequency',
                help=f"write {', '.join(WORDS.values())}, or a number of units, such as 15 minutes; "
                f"units: {', '.join(get_args(Unit))}",
            )
        return cls(int(found[1] or 1), found[2])  # type: ignore[arg-type]  # the pattern holds units alone

    def after(self, last: np.datetime64, count: int, earlier: Times | None = None) -> Times:
        """The next ``count`` time stamps behind ``last``, in microseconds.

        Months, quarters and years keep the latest day of the month among ``last`` and the stamps ``earlier`` than it,
        or the end of the month where all are ends: 28 February is one, or the 28th, or what a month has of a 30th.
        Business days are Monday to Friday; holidays are not known.
        """
        steps = np.arange(1, count + 1) * self.count
        last = last.astype("datetime64[us]")
        if self.unit in FIXED:
            return np.asarray(last + (steps * FIXED[self.unit]).astype("timedelta64[us]"))
        date = last.astype("datetime64[D]")
        clock = last - date
        if self.unit == "business day":
            return np.asarray(np.busday_offset(date, steps, roll="backward").astype("datetime64[us]") + clock)
        months = date.astype("datetime64[M]") + steps * MONTHS[self.unit]
        ends = (months + 1).astype("datetime64[D]") - 1
        before = np.zeros(0, date.dtype) if earlier is None else earlier[-SEEN:].astype(date.dtype)
        seen = np.append(before, date)
        first = seen.astype("datetime64[M]")
        if bool((seen == (first + 1).astype("datetime64[D]") - 1).all()):
            return np.asarray(ends.astype("datetime64[us]") + clock)
        days = np.minimum(months.astype("datetime64[D]") + (seen - first.astype("datetime64[D]")).max(), ends)
        return np.asarray(days.astype("datetime64[us]") + clock)

    def positions(self, times: Times) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """How many steps each time [N] lies behind the first one, and which of them lie on a step [N].

        Within a month, a quarter or a year any day will do: ends of months and last business days are no equal steps.
        """
        if self.unit == "business day":
            dates = times.astype("datetime64[D]")
            steps = np.busday_count(dates[0], dates)
            good = np.is_busday(dates) & (times - dates == times[0] - dates[0])
            return steps // self.count, good & (steps % self.count == 0)
        if self.unit in MONTHS:
            months = times.astype("datetime64[M]").astype(np.int64)
            whole, rest = np.divmod(months - months[0], MONTHS[self.unit] * self.count)
        else:
            whole, rest = np.divmod((times - times[0]).astype(np.int64), FIXED[self.unit] * self.count)
        return whole, rest == 0

    def periods(self) -> tuple[int, ...]:
        """Usual lengths of a season in rows, the shortest first: hourly data have (24, 168)."""
        if self.unit == "business day":
            return (5, 261) if self.count == 1 else ()
        found = []
        for name in CYCLES:
            rows = self._rows(name)
            if (name != "year" or self.step >= DAY) and rows == int(rows) and self._is_seen(name):
                found.append(int(rows))
        return tuple(found)

    @property
    def step(self) -> int:
        """Microseconds of one step; of a month, a quarter or a year on average."""
        if self.unit in MONTHS:
            return self.count * MONTHS[self.unit] * CYCLES["year"] // 12
        return self.count * FIXED["day" if self.unit == "business day" else self.unit]

    def _rows(self, cycle: str) -> float:
        if cycle == "year" and self.unit == "week":
            return 52 / self.count
        return CYCLES[cycle] / self.step

    def _is_seen(self, cycle: str) -> bool:
        """Whether rows come often enough to follow a cycle: an hour is no season of four quarters of it."""
        return self._rows(cycle) >= (24 if cycle in ("minute", "hour") else 2)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        return cls(int(saved["count"]), saved["unit"])


def find_frequency(*series: Times) -> Frequency | None:
    """The step of time stamps [N] in ascending order, of one or more series: the most common one.

    Days none of which is a Saturday or a Sunday are business days. Steps of 28 days and more are months where the day
    of the month says so, and weeks or days where all are equally long.

    Returns:
        None where there is no step at all, or fewer than half of the steps are alike.
    """
    steps = np.concatenate([np.diff(times).astype(np.int64) for times in series]) if series else np.zeros(0, np.int64)
    if not len(steps):
        return None
    found, counts = np.unique(steps, return_counts=True)
    step, share = int(found[counts.argmax()]), counts.max() / len(steps)
    if step >= 28 * DAY:
        return _long_step(series, step, share)
    if step == DAY and _is_business(series):
        return Frequency(1, "business day")
    if share < 0.5 or step <= 0:
        return None
    return _fixed(step)


def calendar_features(times: Times, frequency: Frequency) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Sine and cosine of the place in the minute, hour, day, week and year: those that rows of this step can follow.

    Returns:
        features [N, K], and their K names: ``day sine``, ``day cosine`` ...; K is 0 for yearly data.
    """
    since = times.astype("datetime64[us]").astype(np.int64)
    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    for name, length in CYCLES.items():
        if not frequency._is_seen(name):
            continue
        if name == "year":
            years = times.astype("datetime64[Y]")
            begin = years.astype("datetime64[us]").astype(np.int64)
            share = (since - begin) / ((years + 1).astype("datetime64[us]").astype(np.int64) - begin)
        else:
            share = (since - MONDAY) % length / length
        columns += [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]
        names += [f"{name} sine", f"{name} cosine"]
    features = np.stack(columns, axis=-1) if columns else np.zeros((len(times), 0))
    return features.astype(np.float32), tuple(names)


def _is_business(series: tuple[Times, ...]) -> bool:
    """Whether the days go over weekends without ever being on one."""
    dates = [times.astype("datetime64[D]") for times in series]
    over = any(int((days[-1] - days[0]).astype(np.int64)) >= len(days) for days in dates if len(days))
    return over and all(bool(np.is_busday(days).all()) for days in dates)


def _long_step(series: tuple[Times, ...], step: int, share: float) -> Frequency | None:
    """Months, quarters, years, or equal numbers of weeks or days."""
    times = np.concatenate(series)
    dates, months = times.astype("datetime64[D]"), times.astype("datetime64[M]")
    days = (dates - months.astype("datetime64[D]")).astype(np.int64)
    ends = dates + 1 == (months + 1).astype("datetime64[D]")
    same_day = bool((days == days[0]).all() or ends.all())
    if not same_day and share >= 0.9:
        return _fixed(step)
    moved = np.concatenate([np.diff(each.astype("datetime64[M]")).astype(np.int64) for each in series])
    found, counts = np.unique(moved, return_counts=True)
    count = int(found[counts.argmax()])
    if count < 1 or counts.max() < 0.5 * len(moved):
        return None
    unit: Unit = "year" if count % 12 == 0 else "quarter" if count % 3 == 0 else "month"
    return Frequency(count // MONTHS[unit], unit)


def _fixed(step: int) -> Frequency:
    """A step of microseconds in the largest unit that measures it."""
    unit = next(unit for unit in reversed(FIXED) if step % FIXED[unit] == 0)
    return Frequency(step // FIXED[unit], unit)  # type: ignore[arg-type]  # the keys of FIXED are units
