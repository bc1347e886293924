"""Columns of numbers and of categories as arrays, and the rows that do not fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqloom.data.formats.base import listed
from seqloom.data.records import Records, Reject
from seqloom.errors import DataError, nearest

__all__ = ["MISSING_WORDS", "BadRows", "category_codes", "is_numeric", "number_of", "numbers", "present"]

MISSING_WORDS = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none"})
"""What stands in a table, in small letters, where a value is missing."""

SKIP = "fix the row, or pass --bad-rows skip (skipped rows are written to RUN/rejects.jsonl)"


class BadRows:
    """Rows that do not fit: the first one is raised, or with ``bad_rows="skip"`` all are left out and listed."""

    def __init__(self, records: Records, bad_rows: str) -> None:
        self.records = records
        self.skip = bad_rows == "skip"
        self.found: dict[int, Reject] = {}

    def refuse(self, index: int, error: DataError) -> None:
        """Raises the error, or leaves the row out."""
        if not self.skip:
            raise error
        row = ", ".join(f"{name}={values[index]!r}" for name, values in self.records.columns.items())
        self.found.setdefault(index, Reject(self.records.lines[index], error.code, error.message, row))

    def error(self, index: int, code: str, message: str, column: str | None, help: str = SKIP) -> DataError:
        """What is wrong with a row, with its place."""
        return DataError(
            message, code=code, file=self.records.file, line=self.records.lines[index], column=column, help=help
        )

    @property
    def good(self) -> NDArray[np.bool_]:
        """Which rows are left [R]."""
        good = np.ones(len(self.records), dtype=bool)
        good[list(self.found)] = False
        return good


def present(value: Any) -> bool:
    """Whether there is a value at all: not None, NaN, white space or ``NA``."""
    if isinstance(value, str):
        return value.strip().lower() not in MISSING_WORDS
    return value is not None and value == value


def is_numeric(values: Sequence[Any], *, share: float = 0.95) -> bool:
    """Whether nearly all of the values that are there are numbers, and there is one."""
    there = [value for value in values if present(value)]
    return bool(there) and sum(number_of(value) is not None for value in there) >= share * len(there)


def numbers(records: Records, column: str, bad: BadRows, *, missing_value: float | None = None) -> NDArray[np.float64]:
    """The values of a column [R]; NaN where one is missing.

    Args:
        missing_value: a number that stands for a missing value, such as -9999.

    Raises:
        DataError: a value is not a number (D012), or is infinite (D057), where ``bad`` skips no rows.
    """
    values = records.columns[column]
    found = _as_array(values)
    if found is None:
        found = np.full(len(values), np.nan)
        for index, value in enumerate(values):
            if present(value):
                number = number_of(value)
                if number is None:
                    bad.refuse(index, bad.error(index, "D012", _no_number(value), column, _how(value)))
                else:
                    found[index] = number
    for index in np.flatnonzero(np.isinf(found)).tolist():
        bad.refuse(index, bad.error(index, "D057", f'the value "{values[index]}" is infinite', column))
        found[index] = np.nan
    if missing_value is not None:
        found[found == missing_value] = np.nan
    return found


def category_codes(
    records: Records, column: str, bad: BadRows, known: Sequence[str] | None
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """The number of each row's category [R], NaN where it is missing, and the names of the categories, sorted.

    Args:
        known: the categories that training saw, or None to take those of the column.

    Raises:
        DataError: a category is not among the known ones (D060), where ``bad`` skips no rows.
    """
    texts = [str(value).strip() if present(value) else None for value in records.columns[column]]
    categories = tuple(sorted({text for text in texts if text is not None})) if known is None else tuple(known)
    code = {name: float(number) for number, name in enumerate(categories)}
    codes = np.full(len(texts), np.nan)
    for index, text in enumerate(texts):
        if text is None:
            continue
        if text not in code:
            message = f'the category "{text}" does not occur in the training data'
            bad.refuse(index, bad.error(index, "D060", message, column, nearest(text, categories)))
        else:
            codes[index] = code[text]
    return codes, categories


def _as_array(values: Sequence[Any]) -> NDArray[np.float64] | None:
    """All values at once, or None where one of them needs a look of its own."""
    try:
        found = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if any("_" in value for value in values if isinstance(value, str)) else found


def number_of(value: Any) -> float | None:
    """The number that a value holds. Python reads ``1_000`` as a number; a table does not mean it so."""
    try:
        return None if "_" in str(value) else float(value)
    except (TypeError, ValueError):
        return None
    except OverflowError:
        return float("inf")


def _no_number(value: Any) -> str:
    shown = str(value)
    return f'the value "{shown if len(shown) <= 60 else shown[:59] + "…"}" is not a number'


def _how(value: Any) -> str:
    """What to do about a value that is not a number."""
    text = str(value).strip()
    if "," in text and number_of(text.replace(".", "").replace(",", ".")) is not None:
        return "write numbers with a decimal point and without marks between thousands: 1234.5"
    words = listed(sorted(f'"{word}"' for word in MISSING_WORDS if word), 9)
    return f"{SKIP}; a missing value is an empty one or one of {words}"
