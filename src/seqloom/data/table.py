"""The columns of a file that a forecast uses, as arrays: times, names of series, numbers and categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seqloom.data.numbers import BadRows, category_codes, is_numeric, numbers, present
from seqloom.data.records import Records
from seqloom.data.roles import Roles
from seqloom.data.timestamps import compose_times, parse_times

__all__ = ["NumericTable", "numeric_table", "rows_of_series"]

Rows = NDArray[np.int64]


class NumericTable(NamedTuple):
    """The columns of a file as arrays, R rows."""

    times: NDArray[np.datetime64] | None
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
) -> NumericTable:
    """The columns of a file as arrays; a covariate of words becomes the numbers of its categories."""
    times = None
    if len(roles.time) == 1:
        values = records.columns[roles.time[0]]
        where: dict[str, Any] = {"file": records.file, "lines": records.lines, "column": roles.time[0]}
        times = parse_times(values, **where, refuse=bad.refuse, days_first=days_first)
    elif roles.time:
        parts = {name: records.columns[name] for name in roles.time}
        times = compose_times(parts, file=records.file, lines=records.lines, refuse=bad.refuse)
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
    return NumericTable(times, names, np.stack(arrays, axis=-1), columns, categories)


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
