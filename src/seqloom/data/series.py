"""From the rows of a table to series: in order of time, at equal steps, without holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seqloom.data.formats.base import counted, listed
from seqloom.data.missing import cuts, fill
from seqloom.data.numbers import BadRows
from seqloom.data.order import check_order, check_steps, places, refuse_gaps
from seqloom.data.read import require
from seqloom.data.records import Records, Reject
from seqloom.data.roles import Roles, choose_roles, telling_apart
from seqloom.data.table import NumericTable, numeric_table, rows_of_series
from seqloom.data.times import SEEN, Frequency, find_frequency
from seqloom.data.zones import Zone
from seqloom.errors import DataError

__all__ = ["Missing", "Roles", "Series", "SeriesSet", "choose_roles", "read_series"]

Missing = Literal["error", "interpolate", "drop"]
"""What is done with missing values and missing time stamps: refused, filled along a line, or cut out."""

Rows = NDArray[np.int64]

MOST_FILLED = 100_000
"""Rows that may be filled in even where they are more than a hundred for each one that is there."""


@dataclass(frozen=True)
class Series:
    """Numbers at equal steps of time, without holes. N rows, C targets, P past and K known covariates."""

    name: str
    """The value of the column that tells series apart; empty where there is one series."""
    times: NDArray[np.datetime64] | None
    """[N], in microseconds, by the clock of ``SeriesSet.zone``; None where the table has no time."""
    values: NDArray[np.float64]
    """[N, C]."""
    past: NDArray[np.float64]
    """[N, P]."""
    known: NDArray[np.float64]
    """[N + future, K]."""
    lines: Rows
    """The line of each row in the file [N]; 0 for a row that was put in."""
    filled: NDArray[np.bool_]
    """Rows with a value that was filled in [N]: a forecast from such a row, or its score there, is not honest."""
    future_times: NDArray[np.datetime64] | None = None
    """[future]: times behind the last value of which only the known covariates are there."""

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class SeriesSet:
    """All series of a file, one behind the other."""

    file: str
    roles: Roles
    series: list[Series]
    frequency: Frequency | None
    """The step; None where the table has no time, or a single row in each series."""
    zone: Zone
    """By whose clock the times are."""
    categories: dict[str, tuple[str, ...]]
    """The categories of each covariate of words."""
    past_names: tuple[str, ...]
    """The P columns of ``past``: a covariate of words has one column a category, ``wind=NW``."""
    known_names: tuple[str, ...]
    missing: int
    """Values that were missing in the rows that were kept."""
    gaps: int
    """Rows that were missing between them."""
    notes: tuple[str, ...]
    rejects: tuple[Reject, ...]

    @property
    def rows(self) -> int:
        return sum(len(series) for series in self.series)


def read_series(
    records: Records,
    roles: Roles,
    *,
    frequency: Frequency | None = None,
    missing: Missing = "error",
    missing_value: float | None = None,
    bad_rows: str = "error",
    categories: Mapping[str, Sequence[str]] | None = None,
    days_first: bool | None = None,
    zone: Zone | None = None,
) -> SeriesSet:
    """The series of a file.

    Rows at the end of a series that have no target, where a column is known in advance, are its future.

    Args:
        frequency: the step, or None to find it.
        missing: what empty values and left-out time stamps do.
        missing_value: a number that stands for an empty value, such as -9999.
        bad_rows: ``"error"``, or ``"skip"`` to list in ``rejects`` the rows with text among numbers, infinite values,
            times that are none or are written otherwise, out of order or twice.
        categories: of each covariate of words, as training saw them; None to take them from the file.
        days_first: whether the day stands before the month in 1/2/2020, as training saw it; None to find it.
        zone: by whose clock the times are kept, as training did; None to find it.

    Raises:
        DataError: a row does not fit, or something is missing and is to be refused.
    """
    require(records, roles.columns)
    bad = BadRows(records, bad_rows)
    table = numeric_table(records, roles, bad, missing_value, categories, days_first, zone)
    groups = rows_of_series(table.names, bad.good)
    where = roles.time[0] if roles.time else roles.targets[0]
    if table.times is not None:
        several = partial(telling_apart, records, roles) if roles.series is None else None
        for rows in groups.values():
            check_order(table.times, rows, bad, where, table.zone, several)
        groups = rows_of_series(table.names, bad.good)
        frequency = frequency or _found_frequency(table.times, groups, bad, where, table.zone)
        if frequency is not None:
            for rows in groups.values():
                good = places(table.times, rows, rows, frequency)[1]
                check_steps(table.times, rows, good, frequency, bad, where, table.zone)
            groups = rows_of_series(table.names, bad.good)
    else:
        frequency = None
    made = _Made(records, roles, table, bad, frequency, missing)
    for name, rows in groups.items():
        made.add(name, rows)
    return made.result()


class _Made:
    """The series made so far, and what was met on the way."""

    def __init__(
        self,
        records: Records,
        roles: Roles,
        table: NumericTable,
        bad: BadRows,
        frequency: Frequency | None,
        missing: Missing,
    ) -> None:
        self.records, self.roles, self.table, self.bad = records, roles, table, bad
        self.frequency, self.how = frequency, missing
        self.series: list[Series] = []
        self.lines = np.array(records.lines, dtype=np.int64)
        rejected = np.sort(np.array([reject.line for reject in records.rejects], dtype=np.int64))
        # Where rows have no times, their places in the file are their steps: one that was left out leaves a gap.
        self.row_places = np.arange(len(records)) + np.searchsorted(rejected, self.lines)
        if roles.series is not None:
            for rows in rows_of_series(table.names, np.ones(len(records), dtype=bool)).values():
                self.row_places[rows] = np.arange(len(rows))
        self.missing = self.gaps = self.filled = self.longest = self.ends = self.lost = self.future = 0
        self.holidays = 0

    def add(self, name: str, rows: Rows) -> None:
        """Takes the rows [N] of one series, in order."""
        rows, future = self._without_future(rows)
        values = self.table.values[rows]
        positions, _ = places(self.table.times, rows, self.row_places, self.frequency)
        empty = np.isnan(values)
        self.missing += int(empty.sum())
        self.gaps += int((np.diff(positions) - 1).sum())
        self._count_holidays(rows, positions)
        if self.how == "error":
            refuse_gaps(self.table.times, rows, positions, self.bad, self.roles.time, self.frequency, self.table.zone)
            if empty.any():
                self._refuse_missing()
        if self.how == "interpolate":
            self._refuse_endless(rows, positions)
            kinds = np.array([column in self.table.categories for column in self.table.columns])
            found = fill(values, positions, kinds)
            self.filled += found.made
            self.longest = max(self.longest, found.longest)
            self.ends += found.ends
            future = future if found.ends == 0 or (len(found.rows) and found.rows[-1] == len(rows) - 1) else future[:0]
            source = np.where(found.rows >= 0, rows[found.rows], -1)
            self._keep(name, found.values, source, found.filled, future)
            return
        for piece in cuts(np.asarray(~empty.any(axis=1)), positions):
            last = bool(piece[-1] == len(rows) - 1)
            self._keep(name, values[piece], rows[piece], np.zeros(len(piece), bool), future if last else future[:0])
        self.lost += int(empty.any(axis=1).sum())

    def _keep(
        self, name: str, values: NDArray[np.float64], source: Rows, filled: NDArray[np.bool_], future: Rows
    ) -> None:
        """Keeps one series without holes; ``source`` is -1 where a row was put in."""
        if not len(values):
            return
        targets, past, known = (len(part) for part in (self.roles.targets, self.roles.past, self.roles.known))
        ahead = self.table.values[future, targets + past :]
        times = None if self.table.times is None else self._times(source)
        self.series.append(
            Series(
                name,
                times,
                values[:, :targets],
                self._one_hot(values[:, targets : targets + past], self.roles.past),
                self._one_hot(np.concatenate([values[:, targets + past :], ahead]), self.roles.known),
                np.where(source >= 0, self.lines[source], 0),
                filled,
                None if self.table.times is None or not known else self.table.times[future],
            )
        )
        self.future += len(future)

    def _times(self, source: Rows) -> NDArray[np.datetime64]:
        """The times of rows; one that was put in has the time behind the row before it."""
        assert self.table.times is not None
        times = self.table.times[source]
        for index in np.flatnonzero(source < 0).tolist():
            assert self.frequency is not None  # only a step can tell that a row is missing
            times[index] = self.frequency.after(times[index - 1], 1, times[max(0, index - SEEN) : index - 1])[0]
        return times

    def _without_future(self, rows: Rows) -> tuple[Rows, Rows]:
        """The rows that have a target or are followed by one, and those behind them."""
        if not self.roles.known:
            return rows, rows[:0]
        there = np.asarray(~np.isnan(self.table.values[rows, : len(self.roles.targets)]).all(axis=1))
        count = len(rows) - int(there[::-1].argmax()) if there.any() else 0
        future = rows[count:]
        columns = len(self.roles.targets) + len(self.roles.past)
        for row in future.tolist():
            for column in np.flatnonzero(np.isnan(self.table.values[row, columns:])).tolist():
                name = self.roles.known[column]
                message = f'"{name}" is known in advance, but its value is missing here, where no target is'
                raise self.bad.error(row, "D056", message, name, "fill it in, or delete the rows from here on")
        if len(future) and self.table.times is not None and count:
            ahead = np.concatenate([rows[count - 1 : count], future])
            positions, _ = places(self.table.times, ahead, self.row_places, self.frequency)
            refuse_gaps(self.table.times, ahead, positions, self.bad, self.roles.time, self.frequency, self.table.zone)
        return rows[:count], future

    def _one_hot(self, values: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.float64]:
        """Columns of categories [N, X] as one column a category."""
        parts = [np.zeros((len(values), 0))]
        for number, name in enumerate(names):
            column = values[:, number]
            if name in self.table.categories:
                choices = np.arange(len(self.table.categories[name]))
                parts.append((column[:, None] == choices).astype(np.float64))
            else:
                parts.append(column[:, None])
        return np.concatenate(parts, axis=1)

    def _names(self, names: Sequence[str]) -> tuple[str, ...]:
        categories = self.table.categories
        return tuple(
            column
            for name in names
            for column in ([f"{name}={value}" for value in categories[name]] if name in categories else [name])
        )

    def _count_holidays(self, rows: Rows, positions: Rows) -> None:
        if self.frequency is not None and self.frequency.unit == "business day" and self.table.times is not None:
            days, _ = self.frequency.positions(self.table.times[rows])
            self.holidays += int((np.diff(days) - np.diff(positions)).sum())

    def _refuse_endless(self, rows: Rows, positions: Rows) -> None:
        """Refuses to fill gaps that make up nearly all of a series: a time stamp in the wrong century."""
        if not len(rows) or positions[-1] - positions[0] < 100 * len(rows) + MOST_FILLED:
            return
        missing = np.diff(positions) - 1
        gap = int(missing.argmax())
        raise self.bad.error(
            int(rows[gap + 1]),
            "D054",
            f"a gap of {int(missing[gap]):,} rows is too long to be filled in a series of {len(rows):,}",
            self.roles.time[0] if self.roles.time else None,
            "correct the time stamp, or pass --missing drop, which cuts the series there",
        )

    def _refuse_missing(self) -> None:
        """Raises what is missing in the whole file: how many values, and the first rows."""
        rows = np.sort(np.concatenate([self._without_future(rows)[0] for rows in self._all_groups()]))
        empty = np.isnan(self.table.values[rows])
        bad = rows[empty.any(axis=1)]
        columns = [self.table.columns[number] for number in np.flatnonzero(empty.any(axis=0))]
        first = self.table.columns[int(np.flatnonzero(np.isnan(self.table.values[bad[0]]))[0])]
        lines = listed([self.records.lines[row] for row in bad.tolist()])
        where = f"line{'s' if len(bad) > 1 else ''} {lines}"
        several = f" (columns {listed(columns)})" if len(columns) > 1 else ""
        raise self.bad.error(
            int(bad[0]),
            "D056",
            f"values are missing in {counted(len(bad), 'row')} of {len(self.records):,}: {where}{several}",
            first,
            "--missing interpolate fills them along a line, --missing drop cuts the series there; "
            "or name other columns with --target",
        )

    def _all_groups(self) -> list[Rows]:
        return list(rows_of_series(self.table.names, self.bad.good).values())

    def result(self) -> SeriesSet:
        """All that was made, with notes on what was done."""
        if not self.series:
            raise DataError(
                "no row is left: in each of them a value is missing",
                code="D011",
                file=self.records.file,
                line=self.records.lines[0],
                column=self.roles.targets[0],
                help="name other columns with --target",
            )
        rejects = sorted([*self.records.rejects, *self.bad.found.values()], key=lambda reject: reject.line)
        roles, table = self.roles, self.table
        return SeriesSet(
            file=self.records.file,
            roles=roles,
            series=self.series,
            frequency=self.frequency,
            zone=table.zone,
            categories=table.categories,
            past_names=self._names(roles.past),
            known_names=self._names(roles.known),
            missing=self.missing,
            gaps=self.gaps,
            notes=(*self.records.notes, *self._notes()),
            rejects=tuple(rejects),
        )

    def _notes(self) -> list[str]:
        notes = []
        if self.bad.found:
            first = min(reject.line for reject in self.bad.found.values())
            notes.append(f"{counted(len(self.bad.found), 'row')} left out, the first at line {first}")
        if self.holidays:
            notes.append(f"{counted(self.holidays, 'business day')} without a row taken for holidays")
        if self.filled:
            notes.append(
                f"{counted(self.filled, 'missing value')} filled along a line; "
                f"the longest hole has {counted(self.longest, 'row')}"
            )
        if self.ends:
            notes.append(f"{counted(self.ends, 'row')} at the ends left out, where values are missing on one side")
        names = {series.name for series in self.series}
        if self.how == "drop" and len(self.series) > len(names):
            pieces = f"cut into {len(self.series):,} pieces at missing values and time stamps"
            notes.append(f"{pieces}; {counted(self.lost, 'row')} left out")
        if self.future:
            notes.append(f"{counted(self.future, 'row')} behind the last target: known in advance alone")
        return notes


def _found_frequency(
    times: NDArray[np.datetime64], groups: Mapping[str, Rows], bad: BadRows, column: str, zone: Zone
) -> Frequency | None:
    """The step of all series; None where no series has two rows."""
    stamps = [times[rows] for rows in groups.values() if len(rows) > 1]
    if not stamps:
        return None
    found = find_frequency(*stamps)
    if found is None:
        longest = max(groups.values(), key=len)
        steps = np.diff(times[longest])
        odd = int(np.flatnonzero(steps != steps[0])[0]) + 1
        message = (
            f"the time stamps have no regular step: {zone.written(times[longest[odd]])} lies "
            f"{steps[odd - 1].astype('timedelta64[s]')} behind the one before it, and no step makes up half of all"
        )
        help = "bring the rows to equal steps first (an average an hour, say), or name the step with --frequency"
        raise bad.error(int(longest[odd]), "D055", message, column, help)
    return found
