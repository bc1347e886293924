"""The order of the rows of a series: ascending, none twice, each on a step of the frequency, none left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from seqloom.data.formats.base import counted
from seqloom.data.numbers import SKIP, BadRows
from seqloom.data.times import Frequency
from seqloom.data.zones import Zone

__all__ = ["LONGEST_HOLIDAY", "check_order", "check_steps", "places", "refuse_gaps"]

Times = NDArray[np.datetime64]
Rows = NDArray[np.int64]
Several = Callable[[], str | None]

LONGEST_HOLIDAY = 5
"""Business days in a row that may have no row: an exchange closed for a week. More are a gap."""
HOUR = np.timedelta64(1, "h")


def check_order(
    times: Times, rows: Rows, bad: BadRows, column: str, zone: Zone, several: Several | None = None
) -> None:
    """Refuses the rows [N] of a series whose time is not behind all times before it.

    Args:
        several: names the column that may tell several series apart, where all rows were taken for one series.

    Raises:
        DataError: a time stamp comes twice (D053) or out of order (D052), where ``bad`` skips no rows; or the times
            run backwards, or half of the rows and more are out of order, in any case.
    """
    stamps = times[rows]
    if len(rows) < 2:
        return
    latest = np.concatenate([stamps[:1], np.maximum.accumulate(stamps)[:-1]])
    late = stamps <= latest
    late[0] = False
    if not late.any():
        return
    wrong = np.flatnonzero(late)
    repeats = len(stamps) - len(np.unique(stamps))
    if (np.diff(stamps) < np.timedelta64(0)).all():
        message = f"the times run backwards: {zone.written(stamps[1])} comes behind {zone.written(stamps[0])}"
        raise bad.error(int(rows[1]), "D052", message, column, "sort the file by time, the oldest row first")
    seen: dict[np.datetime64, int] = {}
    for index, stamp in enumerate(stamps[: int(wrong[0]) + 1] if not bad.skip else stamps):
        if not late[index]:
            seen.setdefault(stamp, index)
            continue
        before = seen.get(stamp)
        how = _order_help(stamps, index, before, repeats, several)
        if before is not None:
            line = bad.records.lines[int(rows[before])]
            message = f"the time stamp {zone.written(stamp)} occurs twice, first in line {line}"
            error = bad.error(int(rows[index]), "D053", message, column, how)
        else:
            message = (
                f"the time stamp {zone.written(stamp)} is out of order: {zone.written(latest[index])} stands before it"
            )
            error = bad.error(int(rows[index]), "D052", message, column, how)
        if len(wrong) * 2 >= len(rows):
            raise error
        bad.refuse(int(rows[index]), error)


def places(times: Times | None, rows: Rows, lines: Rows, frequency: Frequency | None) -> tuple[Rows, NDArray[np.bool_]]:
    """The step on which each row of a series stands [N], and which rows stand on one; without times, the line's place.

    Holidays take no step: business days on which there are no rows, up to ``LONGEST_HOLIDAY`` together.
    """
    if times is None or frequency is None:
        return lines[rows], np.ones(len(rows), dtype=bool)
    positions, good = frequency.positions(times[rows])
    good[1:] &= np.diff(positions) > 0  # a second row of the same month
    if frequency.unit == "business day":
        steps = np.diff(positions)
        steps[(steps > 1) & (steps <= LONGEST_HOLIDAY + 1)] = 1
        positions = np.concatenate([[0], np.cumsum(steps)])
    return positions, good


def check_steps(
    times: Times, rows: Rows, good: NDArray[np.bool_], frequency: Frequency, bad: BadRows, column: str, zone: Zone
) -> None:
    """Refuses the rows that stand between two steps.

    Raises:
        DataError: there is one (D055), where ``bad`` skips no rows; or half of the rows and more are, in any case.
    """
    wrong = np.flatnonzero(~good)
    for index in wrong.tolist():
        message = (
            f"the time stamp {zone.written(times[rows[index]])} is off the step of the others, {frequency.describe()} "
            f"from {zone.written(times[rows[0]])} on ({counted(len(wrong), 'row')} of {len(rows):,})"
        )
        help = f"{SKIP}; or name the step with --frequency, or bring the rows to equal steps first"
        error = bad.error(int(rows[index]), "D055", message, column, help)
        if len(wrong) * 2 >= len(rows):
            raise error
        bad.refuse(int(rows[index]), error)


def refuse_gaps(
    times: Times | None,
    rows: Rows,
    positions: Rows,
    bad: BadRows,
    columns: Sequence[str],
    frequency: Frequency | None,
    zone: Zone,
) -> None:
    """Refuses time stamps that are missing between the rows of a series.

    Raises:
        DataError: some are (D054); names the first gap and counts all.
    """
    missing = np.diff(positions) - 1
    gaps = np.flatnonzero(missing > 0)
    if not len(gaps):
        return
    before, after = int(rows[gaps[0]]), int(rows[gaps[0] + 1])
    told = f"{counted(int(missing[gaps[0]]), 'row')} missing"
    more = f"; in all {counted(len(gaps), 'gap')}, {int(missing.sum()):,} rows" if len(gaps) > 1 else ""
    help = "--missing interpolate fills gaps along a line, --missing drop cuts the series there"
    if any(before < index < after for index in bad.found):
        help = f"rows between them were left out as --bad-rows skip asks; {help}"
    if times is None or frequency is None:
        message = f"rows were left out between lines {bad.records.lines[before]} and {bad.records.lines[after]}"
        raise bad.error(after, "D054", f"{message}: {told}{more}", columns[0] if columns else None, help)
    where = f"{zone.written(times[after])} follows {zone.written(times[before])}"
    message = f"a gap: {where}, but the step is {frequency.describe()}: "
    if _is_summer_time(times[before], times[after], times[after] - times[before] - _step(frequency)):
        help = f"{DAYLIGHT}; or {help}"
    raise bad.error(after, "D054", message + told + more, columns[0], help)


DAYLIGHT = (
    "a Sunday night with an hour twice or not at all looks like local time at the change of daylight saving: write "
    "times in UTC or with their offset (2020-10-25 02:00+01:00)"
)


def _order_help(stamps: Times, index: int, before: int | None, repeats: int, several: Several | None) -> str:
    """What to do about a time that is not behind the one before it."""
    step = np.median(np.diff(stamps).astype(np.int64)).astype("timedelta64[us]")
    if _is_summer_time(stamps[index - 1], stamps[index], stamps[index] - stamps[index - 1] - step):
        return f"{DAYLIGHT}; {SKIP}"
    if before is None:
        return f"sort the file by time; or {SKIP}"
    if several is not None and repeats > len(stamps) / 10:
        name = several()
        which = "the column that tells them apart with --series" if name is None else f"their column: --series {name}"
        return f"if the file holds several series, name {which}; or {SKIP}"
    return f"delete one of the two; or {SKIP}, which keeps the first"


def _is_summer_time(before: np.datetime64, after: np.datetime64, off: np.timedelta64) -> bool:
    """Whether two neighbours are an hour too far or too near, on a Sunday between midnight and four."""
    day = after.astype("datetime64[D]")
    sunday = (int(day.astype(np.int64)) + 4) % 7 == 0  # 1970-01-01 was a Thursday
    return bool(sunday and abs(off) == HOUR and before - day <= 4 * HOUR and after - day <= 4 * HOUR)


def _step(frequency: Frequency) -> np.timedelta64:
    return np.timedelta64(frequency.step, "us")
