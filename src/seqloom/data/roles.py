"""Which column of a table is the time, which names the series, which are forecast, and which help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from seqloom.data.numbers import is_numeric, present
from seqloom.data.read import require
from seqloom.data.records import Records
from seqloom.data.timestamps import PARTS, looks_like_time, may_be_time
from seqloom.errors import DataError, SettingError

__all__ = ["Roles", "choose_roles", "telling_apart"]

TIME_NAMES = ("time", "date", "datetime", "timestamp", "ds", "날짜", "시간", "일시")
CLOCK_NAMES = (*TIME_NAMES, "t")
"""Names of columns that are no targets by themselves, though they may hold numbers that are no times: 0.0, 0.1 ..."""
SERIES_NAMES = (
    *("series", "series_id", "unique_id", "item_id", "item", "id", "ticker", "symbol", "store", "station", "sensor"),
    *("site", "meter", "product", "region", "country", "city", "group", "종목", "지점", "지역"),
)
"""Names of columns that tell several series apart, the most telling first."""
SAMPLE = 2_000
"""As many values as tell what a column holds."""


@dataclass(frozen=True)
class Roles:
    """The columns of a table by what they are for."""

    time: tuple[str, ...]
    """One column of time stamps; or those of the year, the month, the day ...; or none."""
    series: str | None
    """The column that tells several series apart."""
    targets: tuple[str, ...]
    """What is forecast."""
    past: tuple[str, ...] = ()
    """Known up to now."""
    known: tuple[str, ...] = ()
    """Known in advance."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All that are used."""
        series = () if self.series is None else (self.series,)
        return (*self.time, *series, *self.targets, *self.past, *self.known)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        lists = {name: tuple(saved[name]) for name in ("time", "targets", "past", "known")}
        return cls(series=saved["series"], **lists)


def choose_roles(
    records: Records,
    *,
    time: Sequence[str] = (),
    series: str | None = None,
    target: Sequence[str] = (),
    past: Sequence[str] = (),
    known: Sequence[str] = (),
) -> Roles:
    """Names what is not given: the time, the series where times repeat, and as targets all other columns of numbers.

    The time is the first column of time stamps, one whose name says so, or columns named year, month, day, hour ...
    Columns that only number the rows are no targets.

    Raises:
        DataError: a named column is not there (D026), or there is no column of numbers (D040).
        SettingError: a column is named for two roles, or times are written in columns that are not PARTS.
    """
    given = (*time, *((series,) if series else ()), *target, *past, *known)
    require(records, given)
    twice = next((name for name in given if given.count(name) > 1), None)
    if twice is not None:
        raise SettingError(
            f'column "{twice}" is named for two roles', help="name it once: time, series, target, past or known"
        )
    if len(time) > 1 and not ({name.lower() for name in time} <= set(PARTS) and "year" in map(str.lower, time)):
        raise SettingError(
            f"the time cannot be read from columns {', '.join(time)}",
            help=f"give one column of time stamps, or columns named {', '.join(PARTS)}, the year among them",
        )
    times = tuple(time) or _times(records, given)
    rest = [name for name in records.columns if name not in (*given, *times)]
    chosen = series or _series(records, times, rest)
    rest = [name for name in rest if name != chosen]
    numeric = [name for name in rest if is_numeric(_sample(records.columns[name]))]
    measured = [
        name for name in numeric if name.lower() not in CLOCK_NAMES and not _is_row_number(records.columns[name])
    ]
    targets = tuple(target) or tuple(measured or numeric)
    if not targets:
        raise DataError(
            "no column of numbers was found to forecast",
            code="D040",
            file=records.file,
            line=1,
            help=f"name one with --target; columns: {', '.join(records.columns)}",
        )
    return Roles(times, chosen, targets, tuple(past), tuple(known))


def _times(records: Records, given: Sequence[str]) -> tuple[str, ...]:
    """The columns of the time, found by what they hold and then by their names."""
    free = {name: _sample(values) for name, values in records.columns.items() if name not in given}
    for name, sample in free.items():
        if sample and sum(looks_like_time(str(value).strip()) for value in sample) >= 0.9 * len(sample):
            return (name,)
    for wanted in TIME_NAMES:
        for name, sample in free.items():
            if name.lower() == wanted and sample and not _is_clock(sample):
                return (name,)
    parts = {name.lower(): name for name in free}
    if "year" not in parts or len(parts) == 1:
        return ()
    begin = PARTS[: next((n for n, part in enumerate(PARTS) if part not in parts), len(PARTS))]
    return tuple(parts[part] for part in begin)


def _series(records: Records, times: tuple[str, ...], rest: Sequence[str]) -> str | None:
    """The column that tells series apart: words that repeat, and no time twice in any of its series.

    A telling name is enough for it; another column is taken where times repeat and none repeats within its series.
    """
    named = [name for wanted in SERIES_NAMES for name in rest if name.lower() == wanted]
    words = [name for name in rest if name not in named and not is_numeric(_sample(records.columns[name]))]
    stamps = list(zip(*(records.columns[name] for name in times), strict=True)) if times else []
    repeated = len(set(stamps)) < len(stamps)
    for name in (*named, *words):
        values = records.columns[name]
        different = len(set(values))
        if different > len(values) / 2 or not all(map(present, values)):
            continue
        apart = len(set(zip(values, stamps, strict=True))) == len(values) if stamps else False
        if (name in named and (different > 1 or not is_numeric(_sample(values)))) or (repeated and apart):
            return name
    return None


def telling_apart(records: Records, roles: Roles) -> str | None:
    """A column of whole numbers that may tell series apart, though nothing about it says so.

    Each of its values has each time once at most, it has not many more values than a time has rows, and of such
    columns the fewest.
    """
    stamps = list(zip(*(records.columns[name] for name in roles.time), strict=True))
    most = 2 * max(Counter(stamps).values(), default=0)
    found: dict[str, int] = {}
    for name in records.columns:
        values = records.columns[name]
        different = len(set(values))
        if name in roles.time or not 1 < different <= most or not all(map(_is_whole, values)):
            continue
        if len(set(zip(values, stamps, strict=True))) == len(values):
            found[name] = different
    return min(found, key=lambda name: found[name], default=None)


def _is_whole(value: Any) -> bool:
    """Whether a value is a whole number, written without a point."""
    return str(value).strip().isdecimal()


def _is_row_number(values: Sequence[Any]) -> bool:
    """Whether a column of numbers only counts the rows."""
    try:
        first = int(values[0])
        return len(values) > 2 and all(int(value) == first + row for row, value in enumerate(values))
    except (TypeError, ValueError):
        return False


def _is_clock(sample: Sequence[Any]) -> bool:
    """Whether numbers under the name of a time count steps or seconds, and are no dates or years."""
    times = sum(may_be_time(str(value).strip()) for value in sample)
    return is_numeric(sample) and times < 0.9 * len(sample)


def _sample(values: Sequence[Any]) -> list[Any]:
    """The first of the values that are there."""
    return [value for value in values[: 5 * SAMPLE] if present(value)][:SAMPLE]
