"""Time stamps as people write them, read as one array; every value is written as the first one is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from seqloom.data.zones import Zone
from seqloom.errors import DataError

__all__ = [
    "PARTS",
    "Refuse",
    "compose_times",
    "looks_like_time",
    "may_be_time",
    "order_of_days",
    "parse_times",
]

Refuse = Callable[[int, DataError], None]
"""What is done with a bad row: given its index and what is wrong with it."""

PARTS = ("year", "month", "day", "hour", "minute", "second")
"""The columns that a time may be written in, one each."""

MARKED = {
    "year first": r"(?P<year>\d{4})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})",
    "year last": r"(?P<day>\d{1,2})(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<year>\d{4})",
    "month": r"(?P<year>\d{4})(?P<mark>[-/])(?P<month>\d{1,2})",
    "quarter": r"(?P<year>\d{4})(?P<mark>[- ]?)[Qq](?P<quarter>[1-4])",
}
"""Dates that nothing but a date looks like."""
BARE = {
    "compact": r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
    "year": r"(?P<year>\d{4})",
    "seconds": r"(?P<since>\d{10})",
    "milliseconds": r"(?P<since>\d{13})",
}
"""Numbers that stand for times in a column that is named as the time; the last two count from 1970 in UTC."""
MINUTES = r"(?P<joint>[T ])(?P<hour>\d{1,2}):(?P<minute>\d{2})"
SECONDS = r":(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,6})0*)?"
ZONE = r"(?P<zone> ?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?))"
STAMP = {
    name: re.compile(date if name in ("month", "quarter") else f"{date}(?:{MINUTES}(?:{SECONDS})?{ZONE}?)?")
    for name, date in {**MARKED, **BARE}.items()
}


def looks_like_time(text: str) -> bool:
    """Whether this is written as a date or a time is, and as no number is.

    >>> looks_like_time("2020-01-31 10:20"), looks_like_time("31.01.2020"), looks_like_time("2020")
    (True, True, False)
    """
    return any(STAMP[name].fullmatch(text) for name in MARKED)


def may_be_time(text: str) -> bool:
    """Whether this can be read as a time where a column is said to hold times: ``2020``, ``20200131``.

    >>> may_be_time("2020"), may_be_time("17"), may_be_time("0.5")
    (True, False, False)
    """
    return _style(text) is not None


def order_of_days(values: Sequence[Any]) -> bool | None:
    """Whether ``31/12/2020`` is how a column is written, or ``12/31/2020``; None where it is neither, or nothing tells.

    >>> order_of_days(["1/2/2020", "1/13/2020"]), order_of_days(["13/1/2020"]), order_of_days(["2020-01-13"])
    (False, True, None)
    """
    texts = [str(value).strip() for value in values if value is not None]
    style = next((found for found in map(_style, texts) if found is not None), None)
    if style is None or style[0] != "year last":
        return None
    matches = [match for match in map(style[1].fullmatch, texts) if match is not None]
    if matches[0]["mark"] == "." or any(int(match["day"]) > 12 for match in matches):
        return True
    return False if any(int(match["month"]) > 12 for match in matches) else None


def parse_times(
    values: Sequence[Any],
    *,
    file: str | Path,
    lines: Sequence[int],
    column: str,
    refuse: Refuse | None = None,
    days_first: bool | None = None,
) -> tuple[NDArray[np.datetime64], Zone]:
    """The times [N] of a column, in microseconds, those with an offset in UTC; and the zone that they were written in.

    The first value tells how all are written: the date (year first or last, month, quarter), the mark in it, with
    minutes, with seconds, with an offset. Day and month before the year are told apart by the days after the 12th.

    Args:
        lines: the line of each value, [N].
        refuse: called for each bad value, whose time is then NaT; without it the first one is raised.
        days_first: whether the day stands before the month, as ``order_of_days`` found it elsewhere; None to find it.

    Raises:
        DataError: a value is missing or is no time (D050), or is written otherwise than the first one (D051).
    """
    texts = ["" if value is None else str(value).strip() for value in values]

    def bad(index: int, code: str, message: str, help: str) -> None:
        (refuse or _raise)(index, DataError(message, code=code, file=file, line=lines[index], column=column, help=help))

    style = next((found for found in map(_style, texts) if found is not None), None)
    matches = [None if style is None else style[1].fullmatch(text) for text in texts]
    first = next((index for index, match in enumerate(matches) if match is not None), 0)
    for index, match in enumerate(matches):
        if match is None:
            bad(index, *_unlike(texts[index], texts[first]))
    if style is None:
        return np.full(len(texts), np.datetime64("NaT", "us")), Zone()
    fast = _fast(style, texts) if all(matches) else None
    if fast is not None:
        return fast, Zone()
    good = [match if match is not None else matches[first] for match in matches]
    columns = zip(*(match.groups() for match in good if match), strict=True)
    groups: dict[str, Sequence[Any]] = dict(zip(style[1].groupindex, columns, strict=True))
    if style[0] == "year last":
        _order_days(groups, texts, bad, days_first)
    times, valid = _assembled(groups, style[0])
    for index in np.flatnonzero(~valid).tolist():
        if matches[index] is not None:
            bad(index, "D050", f'the time "{texts[index]}" is on no calendar or clock', "correct the date or the hour")
    times[np.array([match is None for match in matches]) | ~valid] = np.datetime64("NaT")
    return times, _zone(groups, style[0])


def compose_times(
    parts: Mapping[str, Sequence[Any]], *, file: str | Path, lines: Sequence[int], refuse: Refuse | None = None
) -> NDArray[np.datetime64]:
    """The times [N] of columns that hold a year, a month, a day ... each; what is not given begins at its first.

    Args:
        parts: the name of a column to its values; lower-case names are those of ``PARTS``.
        refuse: called for each bad row, whose time is then NaT; without it the first one is raised.

    Raises:
        DataError: a value is no whole number, or the parts are on no calendar (D050).
    """
    groups: dict[str, Sequence[Any]] = {}
    bad: dict[int, tuple[str, str]] = {}
    for name, values in parts.items():
        whole = [_whole(value) for value in values]
        for index, value in enumerate(whole):
            if value is None:
                bad.setdefault(index, (f'the {name.lower()} "{values[index]}" is not a whole number', name))
        groups[name.lower()] = [1 if value is None else value for value in whole]
    times, valid = _assembled(groups, "parts")
    shown = list(zip(*parts.values(), strict=True))
    for index in np.flatnonzero(~valid).tolist():
        bad.setdefault(index, (f"{', '.join(parts)} {shown[index]} is on no calendar or clock", next(iter(parts))))
    for index, (message, name) in sorted(bad.items()):
        error = DataError(
            message, code="D050", file=file, line=lines[index], column=name, help="correct the row, or --bad-rows skip"
        )
        (refuse or _raise)(index, error)
        times[index] = np.datetime64("NaT")
    return times


def _raise(_: int, error: DataError) -> NoReturn:
    raise error


def _style(text: str) -> tuple[str, re.Pattern[str]] | None:
    """The name of the date's order, and the pattern of all times that are written as this one is."""
    for name, stamp in STAMP.items():
        match = stamp.fullmatch(text)
        if match is None:
            continue
        found = match.groupdict()
        pattern = {**MARKED, **BARE}[name]
        if "mark" in found:
            pattern = re.sub(r"\(\?P<mark>.*?\]\??\)", f"(?P<mark>{re.escape(found['mark'])})", pattern)
        if found.get("joint"):
            pattern += MINUTES.replace("[T ]", found["joint"])
            pattern += SECONDS if found["second"] else ""
            pattern += ZONE if found["zone"] else ""
        return name, re.compile(pattern)
    return None


def _fast(style: tuple[str, re.Pattern[str]], texts: list[str]) -> NDArray[np.datetime64] | None:
    """What numpy reads by itself: ISO 8601 in full, without an offset; None where it is anything else, or wrong."""
    if style[0] != "year first" or "zone" in style[1].groupindex:
        return None
    try:
        return np.array(texts, dtype="datetime64[us]")
    except ValueError:
        return None


def _unlike(text: str, first: str) -> tuple[str, str, str]:
    """Code, message and help of a value that is not written as the first one."""
    if not text:
        return "D050", "the time is missing", "fill it in, or pass --bad-rows skip"
    if _style(text) is None:
        return (
            "D050",
            f'the value "{text}" is not a time',
            "write times as 2020-01-31 or 2020-01-31 10:20:30, or name another column with --time",
        )
    return (
        "D051",
        f'the time "{text}" is written otherwise than "{first}" in the rows before',
        "write all times of the column alike (with an offset: all or none), or pass --bad-rows skip",
    )


def _order_days(
    groups: dict[str, Sequence[Any]],
    texts: list[str],
    bad: Callable[[int, str, str, str], None],
    first: bool | None,
) -> None:
    """Puts the month and the day of ``31/12/2020`` or ``12/31/2020`` in their places; with points the day is first."""
    if groups["mark"][0] == ".":
        return
    if first is not None:
        if not first:
            groups["day"], groups["month"] = groups["month"], groups["day"]
        return
    one, two = np.array(groups["day"], dtype=np.int64), np.array(groups["month"], dtype=np.int64)
    days_first, months_first = one > 12, two > 12
    if days_first.any() and months_first.any():
        odd = months_first if days_first.sum() >= months_first.sum() else days_first
        for index in np.flatnonzero(odd).tolist():
            where = f'the time "{texts[index]}" has day and month the other way round than other rows'
            bad(index, "D051", where, "write the year first in all rows: 2020-01-31")
        days_first &= ~odd
    elif not days_first.any() and not months_first.any() and (one != two).any():
        index = int(np.flatnonzero(one != two)[0])
        where = f'no row tells whether "{texts[index]}" is month and day or day and month'
        bad(index, "D050", where, "write the year first: 2020-01-31")
    if not days_first.any():
        groups["day"], groups["month"] = groups["month"], groups["day"]


def _assembled(groups: Mapping[str, Sequence[Any]], style: str) -> tuple[NDArray[np.datetime64], NDArray[np.bool_]]:
    """Times [N] of the parts as text or numbers, and which of them exist [N]."""

    def whole(name: str, otherwise: int) -> NDArray[np.int64]:
        values = groups.get(name)
        return np.full(count, otherwise) if values is None else np.array(values, dtype=np.int64)

    count = len(next(iter(groups.values())))
    if style in ("seconds", "milliseconds"):
        unit = "s" if style == "seconds" else "ms"
        return whole("since", 0).astype(f"datetime64[{unit}]").astype("datetime64[us]"), np.ones(count, dtype=bool)
    year, day = whole("year", 1970), whole("day", 1)
    month = 3 * whole("quarter", 1) - 2 if "quarter" in groups else whole("month", 1)
    clock = {"hour": whole("hour", 0), "minute": whole("minute", 0), "second": whole("second", 0)}
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    valid = (year >= 1) & (year <= 9999) & (month >= 1) & (month <= 12) & (day >= 1)
    valid &= dates.astype("datetime64[M]") == months
    for name, end in (("hour", 24), ("minute", 60), ("second", 60)):
        valid &= (clock[name] >= 0) & (clock[name] < end)
    seconds = (clock["hour"] * 60 + clock["minute"]) * 60 + clock["second"]
    if "zone" in groups:
        offsets = {zone: _offset(zone) for zone in set(groups["zone"])}
        seconds -= np.array([offsets[zone] for zone in groups["zone"]], dtype=np.int64)
    micros = seconds * 1_000_000
    if any(fraction for fraction in groups.get("fraction", ())):
        micros += np.array([int((fraction or "0").ljust(6, "0")) for fraction in groups["fraction"]], dtype=np.int64)
    return dates.astype("datetime64[us]") + micros.astype("timedelta64[us]"), valid


def _zone(groups: Mapping[str, Sequence[Any]], style: str) -> Zone:
    """The zone of times by their parts; what counts from 1970 counts in UTC."""
    if style in ("seconds", "milliseconds"):
        return Zone(0)
    return Zone.common(map(_offset, set(groups["zone"]))) if "zone" in groups else Zone()


def _offset(zone: str) -> int:
    """Seconds that a zone is before UTC: ``+01:30`` is 5,400."""
    digits = re.sub(r"\D", "", zone)
    seconds = int(digits[:2] or "0") * 3600 + int(digits[2:] or "0") * 60
    return -seconds if "-" in zone else seconds


def _whole(value: Any) -> int | None:
    """The whole number that a value holds: ``7``, ``"07"``, ``7.0``."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number == number and abs(number) < 10**6 and number == int(number) else None
