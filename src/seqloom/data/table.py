"""The columns of a file that a forecast uses, as arrays: times, names of series, numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.data.numbers import BadRows, category_codes, is_numeric, numbers, present
from seqloom.data.records import Records
from seqloom.data.roles import Roles
from seqloom.data.timestamps import Refuse, compose_times, parse_times
from seqloom.data.zones import Zone
from seqloom.errors import DataError

__all__ = ["NumericTable", "numeric_table", "rows_of_series", "times_of"]

Rows = NDArray[np.int64]


class NumericTable(NamedTuple):
    """The columns of a file as arrays, R rows."""

    times: NDArray[np.datetime64] | None
    """By the clock of ``zone``; None where the table has no time."""
    zone: Zone
    names: list[str]
    """The series of each row."""
    values: NDArray[np.float64]
    """[R, C + P + K], a column of categories as their numbers."""
    columns: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]


def numeric_table(
    records: Records,
    roles: Roles,
    bad: BadRows,
    missing_value: float | None,
    known: Mapping[str, Sequence[str]] | None,
    days_first: bool | None = None,
    zone: Zone | None = None,
) -> NumericTable:
    """The columns of a file as arrays; a covariate of words becomes the numbers of its categories."""
    times = None
    if roles.time:
        stamps = {name: records.columns[name] for name in roles.time}
        where: dict[str, Any] = {"file": records.file, "lines": records.lines, "refuse": bad.refuse}
        times, zone = times_of(stamps, **where, days_first=days_first, zone=zone)
    columns = (*roles.targets, *roles.past, *roles.known)
    arrays, categories = [], {}
    for column in columns:
        if column not in roles.targets and _is_words(records.columns[column], column, known):
            chosen = None if known is None else known[column]
            codes, categories[column] = category_codes(records, column, bad, chosen)
            arrays.append(codes)
        else:
            arrays.append(numbers(records, column, bad, missing_value=missing_value))
    names = [""] * len(records)
    if roles.series is not None:
        for index, value in enumerate(records.columns[roles.series]):
            if not present(value):
                bad.refuse(index, bad.error(index, "D056", "the name of the series is missing", roles.series))
            names[index] = str(value).strip()
    return NumericTable(times, zone or Zone(), names, np.stack(arrays, axis=-1), columns, categories)


def times_of(
    columns: Mapping[str, Sequence[Any]],
    *,
    file: str | Path,
    lines: Sequence[int],
    refuse: Refuse | None = None,
    days_first: bool | None = None,
    zone: Zone | None = None,
) -> tuple[NDArray[np.datetime64], Zone]:
    """The times [R] of a column of stamps, or of columns of years, months ..., and the zone by whose clock they are.

    Args:
        columns: the name of each column to its values.
        zone: that of the training; None to find it.

    Raises:
        DataError: as ``parse_times`` and ``compose_times`` say; or here the times tell an offset and those of the
            training did not, or the other way round (D051): which instants they mean could only be guessed.
    """
    if len(columns) > 1:
        return compose_times(columns, file=file, lines=lines, refuse=refuse), Zone()
    ((name, values),) = columns.items()
    times, found = parse_times(values, file=file, lines=lines, column=name, refuse=refuse, days_first=days_first)
    there = np.flatnonzero(~np.isnat(times))
    if zone is not None and len(there) and (zone.offset is None) != (found.offset is None):
        given = str(values[there[0]])
        if found.offset is None:
            told = f'the time "{given}" has no offset from UTC, and those of the training had one'
        elif given.replace(".", "", 1).isdigit():
            told = f'the time "{given}" counts from 1970 in UTC, and those of the training had no offset from UTC'
        else:
            told = f'the time "{given}" has an offset from UTC, and those of the training had none'
        raise DataError(
            told,
            code="D051",
            file=file,
            line=lines[int(there[0])],
            column=name,
            help=f"write the times as in training: 2020-01-31 10:20{zone.suffix}",
        )
    zone = found if zone is None else zone
    return zone.local(times), zone


def _is_words(values: Sequence[Any], column: str, known: Mapping[str, Sequence[str]] | None) -> bool:
    """Whether a covariate holds words: as training saw it, or most of its first values are no numbers."""
    if known is not None:
        return column in known
    sample = [value for value in values if present(value)][:2_000]
    return bool(sample) and not is_numeric(sample, share=0.5)


def rows_of_series(names: Sequence[str], good: NDArray[np.bool_]) -> dict[str, Rows]:
    """The rows of each series, in the order of the file."""
    if not any(names):
        rows = np.flatnonzero(good)
        return {"": rows} if len(rows) else {}
    groups: dict[str, list[int]] = {}
    for index in np.flatnonzero(good).tolist():
        groups.setdefault(names[index], []).append(index)
    return {name: np.array(rows, dtype=np.int64) for name, rows in groups.items()}
