"""What a file holds, which task fits it, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from seqloom import parts
from seqloom.data.columns import (
    MOST_LABELS,
    Column,
    check_labels,
    choose_label,
    choose_text,
    complete,
    describe,
    hangul_share,
    is_missing,
    labels,
    require_known_labels,
    texts,
)
from seqloom.data.formats.base import counted, listed
from seqloom.data.numbers import is_numeric
from seqloom.data.read import read, require
from seqloom.data.records import Records
from seqloom.data.roles import choose_roles
from seqloom.data.series_inspection import SeriesInspection, inspect_series
from seqloom.data.split import fold
from seqloom.errors import SettingError

__all__ = [
    "Conflict",
    "Inspection",
    "check_labels",
    "complete",
    "hangul_share",
    "inspect",
    "labels",
    "require_known_labels",
    "texts",
]

MOST_CONFLICTS = 20
FEWEST = 10
"""Rows of numbers that are taken for a series."""


@dataclass(frozen=True)
class Conflict:
    """A text that stands in the file with two labels or more."""

    text: str
    labels: tuple[str, ...]
    lines: tuple[int, ...]


@dataclass(frozen=True)
class Inspection:
    """What was seen in a file, and what was chosen."""

    file: str
    format: str
    rows: int
    columns: tuple[Column, ...]
    seen: str | None
    """The task that the file fits, whether or not this version has it."""
    task: str | None
    """The same where this version has it."""
    text: str | None
    label: str | None
    duplicates: int
    """Rows whose text repeats an earlier one (``split.fold`` makes texts equal)."""
    conflicting: int
    """Texts with two labels or more."""
    conflicts: tuple[Conflict, ...]
    """The first of them."""
    hangul: float
    """The share of Hangul in the text, white space not counted."""
    rejects: int
    """Rows left out."""
    notes: tuple[str, ...]
    series: SeriesInspection | None = None
    """The series of a file that fits the task forecast."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        found = dict(vars(self))
        found["columns"] = [column.to_dict() for column in self.columns]
        found["conflicts"] = [
            {"text": conflict.text, "labels": list(conflict.labels), "lines": list(conflict.lines)}
            for conflict in self.conflicts
        ]
        found["notes"] = list(self.notes)
        found["series"] = None if self.series is None else self.series.to_dict()
        return found

    def lines(self) -> list[str]:
        """What was seen, as a person reads it before a training."""
        if self.series is not None:
            return [*self.series.lines(), *self.notes]
        told = [f"{self.rows:,} rows"]
        if self.text is not None and self.format != "txt":
            column = self.column(self.text)
            told.append(f"{self.text}: text, median {column.words[0]:,.0f} words")
        if self.label is not None:
            column = self.column(self.label)
            most = "".join(f", {share:.0%} {value}" for value, share in column.top[:1])
            told.append(f"{self.label}: {column.distinct} values{most}")
        if self.hangul > 0.05:
            told.append(f"{self.hangul:.0%} Hangul")
        lines = ["; ".join(told)]
        if self.duplicates:
            lines.append(f"{self.duplicates:,} rows repeat an earlier text, and stay on its side of a split")
        if self.conflicting:
            lines.append(f"{self.conflicting:,} texts carry more than one label (seqloom inspect lists them)")
        return [*lines, *self.notes]

    def column(self, name: str) -> Column:
        """What one column holds."""
        return next(column for column in self.columns if column.name == name)


def inspect(
    source: Records | str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    encoding: str = "utf-8",
    bad_rows: str = "error",
) -> Inspection:
    """Looks at all records of a file and chooses the task, the text and the label.

    Args:
        source: records, or the file to read them from with ``encoding`` and ``bad_rows``.
        text: the text column, instead of the one with the longest texts.
        label: the label column, instead of the one with a telling name or the fewest values.

    Raises:
        DataError: the file cannot be read, or a named column is not there.
        SettingError: text and label are the same column, or there is no such encoding.
    """
    records = source if isinstance(source, Records) else read(source, encoding=encoding, bad_rows=bad_rows)
    require(records, [name for name in (text, label) if name is not None])
    if text is not None and text == label:
        raise SettingError(f'column "{text}" cannot be both the text and the label', help="name two columns")
    columns = tuple(describe(name, values) for name, values in records.columns.items())
    text = text or choose_text([column for column in columns if column.name != label])
    label = label or choose_label(columns, text, len(records))
    seen, why = _seen(records, columns, text, label)
    if seen != "classify":
        label = None
    if seen == "forecast":
        text = None
    columns = tuple(_without_blanks(records, column) if column.name == label else column for column in columns)
    contents = texts(records, text) if text else []
    duplicates, conflicting, conflicts = _repeated(records, contents, label)
    known = seen in parts.names("tasks")
    return Inspection(
        file=records.file,
        format=records.format,
        rows=len(records),
        columns=columns,
        seen=seen,
        task=seen if known else None,
        text=text,
        label=label,
        duplicates=duplicates,
        conflicting=conflicting,
        conflicts=conflicts,
        hangul=round(hangul_share(contents), 6),
        rejects=len(records.rejects),
        notes=(*records.notes, *_notes(records, columns, text, label), *_why(seen, why, known)),
        series=inspect_series(records) if seen == "forecast" else None,
    )


def _seen(records: Records, columns: Sequence[Column], text: str | None, label: str | None) -> tuple[str | None, str]:
    """The task that the columns fit, and by what it was known."""
    if records.is_text:
        if _is_numbers(records):
            return "forecast", "a number in each line"
        if _is_tagged(records.columns["text"]):
            return "tag", "a token and its tag in each line, empty lines between sentences"
        return "language", "plain text"
    if text and label:
        return "classify", f'text in "{text}", labels in "{label}"'
    long = [column.name for column in columns if column.kind == "text"]
    if len(long) == 2:
        return "translate", f'two columns of text, "{long[0]}" and "{long[1]}"'
    if text:
        return "language", f'text in "{text}", and no column of labels (--label names one)'
    if not any(is_numeric(records.columns[column.name]) for column in columns):
        return None, "no column of text, and none of numbers"
    roles = choose_roles(records)
    if roles.time:
        return "forecast", f'times in "{", ".join(roles.time)}", numbers in "{roles.targets[-1]}"'
    if _is_numbers(records):
        return "forecast", f'nothing but numbers, in "{", ".join(roles.targets)}"'
    return None, "no column of text, and no times with numbers"


def _is_numbers(records: Records) -> bool:
    """Whether all columns hold numbers, in as many rows as make a series."""
    return len(records) >= FEWEST and all(is_numeric(values[:2_000]) for values in records.columns.values())


def _why(seen: str | None, why: str, known: bool) -> list[str]:
    if known:
        return []
    has = f"; this version has {', '.join(parts.names('tasks'))}"
    return [f"seen: {why}, which is the task {seen}{has}" if seen else f"seen: {why}{has}"]


def _is_tagged(lines: Sequence[str]) -> bool:
    """CoNLL: nearly every line that is not empty or a comment has as many tabs, and there are empty lines between."""
    tabs = [line.count("\t") for line in lines if line and not line.startswith("#")]
    if not tabs or "" not in lines or not tabs[0]:
        return False
    return sum(number == tabs[0] for number in tabs) >= 0.9 * len(tabs)


def _without_blanks(records: Records, column: Column) -> Column:
    """The label column as ``labels`` reads it, without white space around the values."""
    fold_once = lru_cache(MOST_LABELS)(fold)
    values = records.columns[column.name]
    return describe(column.name, [None if is_missing(value) else fold_once(str(value)) for value in values])


def _repeated(records: Records, contents: list[str], label: str | None) -> tuple[int, int, tuple[Conflict, ...]]:
    """How many rows repeat an earlier text, and which texts have two labels."""
    if records.is_text:
        return 0, 0, ()
    first: dict[str, int] = {}
    rows_of: dict[str, list[int]] = {}
    for index, text in enumerate(contents):
        folded = fold(text)
        earlier = first.setdefault(folded, index)
        if earlier != index and folded:  # that a text is empty is a fault of its own
            rows_of.setdefault(folded, [earlier]).append(index)
    repeated = sorted(rows_of.values())
    conflicts = []
    if label is not None:
        values = records.columns[label]
        for rows in repeated:
            found = dict.fromkeys(fold(str(values[index])) for index in rows if not is_missing(values[index]))
            if len(found) > 1:
                lines = tuple(records.lines[index] for index in rows)
                conflicts.append(Conflict(contents[rows[0]], tuple(found), lines))
    return sum(len(rows) - 1 for rows in repeated), len(conflicts), tuple(conflicts[:MOST_CONFLICTS])


def _notes(records: Records, columns: Sequence[Column], text: str | None, label: str | None) -> list[str]:
    """What a user should know before anything is trained."""
    notes = []
    if not records.is_text:
        data = [
            column.name for column in columns if re.fullmatch(r"[-+.\d]+|.*[.!?。]|.{61,}", column.name.strip(), re.S)
        ]
        if data:
            notes.append(f'the first line is taken for the names of columns, but "{data[0][:60]}" looks like a value')
    missing = {column.name: column.missing for column in columns}
    for name, what in ((text, "text"), (label, "label")):
        if name is not None and missing[name] and not records.is_text:
            lines = _lines(records, name, is_missing)
            notes.append(f'no {what} in {counted(missing[name], "row")} of column "{name}": line {lines}')
    if label is not None:
        values = [value for value in set(records.columns[label]) if isinstance(value, str) and not is_missing(value)]
        padded = {value for value in values if value != fold(value)}
        if padded:
            rows = counted(sum(value in padded for value in records.columns[label]), "row")
            lines = _lines(records, label, padded.__contains__)
            notes.append(f"white space around the label in {rows} taken away: line {lines}")
    return notes


def _lines(records: Records, column: str, is_bad: Callable[[Any], bool]) -> str:
    """The lines whose value in a column is bad, as a note names them."""
    return listed([line for line, value in zip(records.lines, records.columns[column], strict=True) if is_bad(value)])
