"""What a column holds, which columns a task can learn from, and checks that name the rows which do not fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np

from seqloom.data.formats.base import counted, listed
from seqloom.data.read import require
from seqloom.data.records import Records, Reject
from seqloom.data.split import fold
from seqloom.data.timestamps import looks_like_time
from seqloom.errors import DataError, nearest

__all__ = [
    "MOST_LABELS",
    "Column",
    "check_labels",
    "choose_label",
    "choose_text",
    "complete",
    "describe",
    "hangul_share",
    "is_missing",
    "labels",
    "require_known_labels",
    "texts",
]

Kind = Literal["text", "category", "number", "time", "id", "empty"]

LABEL_NAMES = (
    *(
        "label",
        "labels",
        "sentiment",
        "class",
        "category",
        "target",
        "rating",
        "polarity",
        "emotion",
        "intent",
        "topic",
    ),
    *("tag", "score", "stars", "y", "레이블", "라벨", "감정", "분류", "평점"),
)
"""Names of label columns, the most telling first."""

MOST_LABELS = 1_000


@dataclass(frozen=True)
class Column:
    """What one column holds."""

    name: str
    kind: Kind
    distinct: int
    missing: int
    characters: tuple[float, int]
    """Median and maximum."""
    words: tuple[float, int]
    """Median and maximum of the words between blanks."""
    top: tuple[tuple[Any, float], ...]
    """The most frequent values and their shares of all rows."""

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        return {
            "name": self.name,
            "kind": self.kind,
            "distinct": self.distinct,
            "missing": self.missing,
            "characters": {"median": self.characters[0], "max": self.characters[1]},
            "words": {"median": self.words[0], "max": self.words[1]},
            "top": [{"value": value, "share": share} for value, share in self.top],
        }


def is_missing(value: object) -> bool:
    """None, NaN, or nothing but white space."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or value != value


def describe(name: str, values: Sequence[Any], *, most_top: int = 10) -> Column:
    """Looks at all values of a column."""
    present = [value for value in values if not is_missing(value)]
    counts = Counter(present)
    written = [value if isinstance(value, str) else str(value) for value in present]
    characters = [len(value) for value in written] or [0]
    words = [len(value.split()) for value in written] or [0]
    top = [(value, round(count / len(values), 6)) for value, count in counts.most_common(most_top)]
    return Column(
        name,
        _kind(written, len(counts), median(words)),
        len(counts),
        len(values) - len(present),
        (median(characters), max(characters)),
        (median(words), max(words)),
        tuple(_shortened(value) for value in top),
    )


def choose_text(columns: Sequence[Column]) -> str | None:
    """The column with the longest texts that are not numbers.

    Short texts that repeat look like categories: they are taken where no column of texts, measured numbers or times
    says that this is another kind of table.
    """
    found = [column for column in columns if column.kind == "text"]
    if not found and not any(column.kind in ("number", "time") for column in columns):
        found = [column for column in columns if column.kind in ("category", "id") and not _is_numeric(column)]
        found = [column for column in found if column.name.lower() not in LABEL_NAMES]
    return max(found, key=lambda column: column.characters).name if found else None


def choose_label(columns: Sequence[Column], text: str | None, rows: int) -> str | None:
    """The column of labels: one with a telling name, or else the one with the fewest different values."""
    others = {column.name: column for column in columns if column.name != text and column.kind != "empty"}
    for wanted in LABEL_NAMES:
        for name, column in others.items():
            measured = column.kind in ("number", "time") and wanted not in LABEL_NAMES[:2]
            if name.lower() == wanted and column.words[0] <= 3 and not measured:
                return name
    few = [
        column
        for column in others.values()
        if column.kind == "category" and 2 <= column.distinct <= min(MOST_LABELS, rows / 2)
    ]
    return min(few, key=lambda column: column.distinct).name if few else None


def texts(records: Records, column: str) -> list[str]:
    """The values of the text column as strings; a missing one is empty.

    Raises:
        DataError: there is no such column.
    """
    require(records, [column])
    return ["" if value is None else str(value) for value in records.columns[column]]


def labels(records: Records, column: str) -> list[str]:
    """The values of the label column as strings, in NFC and without white space around them: ``"2  "`` is ``"2"``.

    Raises:
        DataError: there is no such column, or a label is missing.
    """
    require(records, [column])
    values = records.columns[column]
    missing = [index for index, value in enumerate(values) if is_missing(value)]
    if missing:
        raise _some_missing(records, column, missing, "D044", "the label is missing")
    return [fold(str(value)) for value in values]


def complete(records: Records, text: str, label: str | None = None, *, bad_rows: str = "error") -> Records:
    """The records that have a text and, where a column is named for it, a label.

    Raises:
        DataError: some have none; with ``bad_rows="skip"`` these are left out and listed, and it is an error only that
            none is left. Or a column is not there.
    """
    require(records, [text] if label is None else [text, label])
    bad: dict[int, Reject] = {}
    for column, code, what in ((text, "D043", "the text is empty"), (label, "D044", "the label is missing")):
        if column is None:
            continue
        missing = [index for index, value in enumerate(records.columns[column]) if is_missing(value)]
        if missing and bad_rows != "skip":
            raise _some_missing(records, column, missing, code, what)
        for index in missing:
            row = ", ".join(f"{name}={values[index]!r}" for name, values in records.columns.items())
            bad.setdefault(index, Reject(records.lines[index], code, f'{what} (column "{column}")', row))
    if not bad:
        return records
    kept = records.take(index for index in range(len(records)) if index not in bad)
    if not len(kept):
        raise DataError(
            "no record is left: the text or the label of every row is missing",
            code="D011",
            file=records.file,
            line=records.lines[0],
            column=text,
            help="name other columns with --text and --label",
        )
    first = records.lines[min(bad)]
    note = f"{counted(len(bad), 'row')} without text or label left out, the first at line {first}"
    rejects = sorted([*records.rejects, *bad.values()], key=_line)
    return replace(kept, notes=(*kept.notes, note), rejects=tuple(rejects))


def check_labels(records: Records, column: str) -> None:
    """Checks that there is something to learn: two labels or more, and far fewer than records.

    Raises:
        DataError: a single label, one label a row, or a label is missing.
    """
    found = Counter(labels(records, column))
    rows = len(records)
    if len(found) == 1:
        raise DataError(
            f'every row has the label "{next(iter(found))}": there is nothing to tell apart',
            code="D041",
            file=records.file,
            line=records.lines[0],
            column=column,
            help="name the column of labels with --label, or give a file with two labels or more",
        )
    if len(found) == rows or len(found) > max(MOST_LABELS, rows / 2):
        each = "each row has a label of its own" if len(found) == rows else f"{len(found):,} labels in {rows:,} rows"
        raise DataError(
            f"{each}: no label can be learned from one example",
            code="D042",
            file=records.file,
            line=records.lines[0],
            column=column,
            help="name the column of labels with --label; to predict numbers, put them into a few classes first",
        )


def require_known_labels(records: Records, column: str, known: Sequence[str]) -> None:
    """Checks that a run knows every label of a file.

    Raises:
        DataError: it does not know one; names its first row.
    """
    for line, label in zip(records.lines, labels(records, column), strict=True):
        if label not in known:
            raise DataError(
                f'the label "{label}" does not occur in the training data',
                code="D045",
                file=records.file,
                line=line,
                column=column,
                help=nearest(label, known),
            )


def hangul_share(texts: Sequence[str]) -> float:
    """The share of Hangul, syllables and letters, among all characters that are not white space."""
    hangul = written = 0
    for start in range(0, len(texts), 512):  # few enough that the numbers of long texts stay in the caches
        joined = "".join(texts[start : start + 512])
        if joined.isascii():
            written += int(np.count_nonzero(np.frombuffer(joined.encode("ascii"), dtype=np.uint8) > 0x20))
        else:
            codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            written += int(np.count_nonzero((codes > 0x20) & (codes != 0xA0) & (codes != 0x3000)))
            syllables = (codes >= 0xAC00) & (codes <= 0xD7A3)
            letters = ((codes >= 0x1100) & (codes <= 0x11FF)) | ((codes >= 0x3131) & (codes <= 0x318E))
            hangul += int(np.count_nonzero(syllables | letters))
    return hangul / written if written else 0.0


def _kind(written: list[str], distinct: int, words: float) -> Kind:
    """The kind of a column whose values that are not missing are ``written``."""
    rows = len(written)
    if not rows:
        return "empty"
    few = distinct <= min(MOST_LABELS, rows / 2)
    sample = written[: MOST_LABELS * 2]
    if sum(looks_like_time(value.strip()) for value in sample) >= 0.95 * len(sample):
        return "time"
    if sum(_is_number(value) for value in sample) >= 0.95 * len(sample):
        whole = all(value.strip().lstrip("+-").isdecimal() for value in sample)
        if whole and distinct == rows > 2 and all(value.strip().isdecimal() for value in sample):
            return "id"
        return "category" if few and whole and distinct <= 100 else "number"
    if words < 2 and rows > 2 and sum(_looks_like_id(value) for value in sample) >= 0.9 * len(sample):
        return "id" if distinct == rows else "category"
    return "category" if few and words <= 5 else "text"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _is_numeric(column: Column) -> bool:
    return bool(column.top) and all(_is_number(str(value)) for value, _ in column.top)


def _looks_like_id(value: str) -> bool:
    return not re.search(r"\s", value) and any(character.isdecimal() or character in "/_" for character in value)


def _shortened(pair: tuple[Any, float], most: int = 80) -> tuple[Any, float]:
    value, share = pair
    if isinstance(value, str) and len(value) > most:
        value = value[: most - 1] + "…"
    return value, share


def _some_missing(records: Records, column: str, missing: list[int], code: str, what: str) -> DataError:
    lines = [records.lines[index] for index in missing]
    where = f"line{'s' if len(lines) > 1 else ''} {listed(lines)}"
    return DataError(
        f"{what} in {counted(len(missing), 'row')} of {len(records):,}: {where}",
        code=code,
        file=records.file,
        line=lines[0],
        column=column,
        help="fill these in, or pass --bad-rows skip (skipped rows are written to RUN/rejects.jsonl)",
    )


def _line(reject: Reject) -> int:
    return reject.line
