"""What a table says about the series in it: how many, at which step, with which holes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from seqloom.data.formats.base import counted, listed
from seqloom.data.period import find_period
from seqloom.data.records import Records
from seqloom.data.roles import Roles, choose_roles
from seqloom.data.series import SeriesSet, read_series
from seqloom.errors import DataError

__all__ = ["SeriesInspection", "StandIn", "inspect_series", "stand_ins"]

STAND_INS = (-9999.0, -999.0, -99999.0)
"""Numbers that instruments write where they measured nothing."""


@dataclass(frozen=True)
class StandIn:
    """A number far below all others of its column, which may stand for missing values."""

    column: str
    value: float
    count: int

    def describe(self) -> str:
        """What a user should know."""
        often = f"{self.value:g} occurs {counted(self.count, 'time')} in {self.column}, far below all else"
        return f"{often}: if it stands for a missing value, pass --missing-value {self.value:g}"


@dataclass(frozen=True)
class SeriesInspection:
    """What was seen of the series in a file."""

    roles: Roles
    series: int
    rows: int
    first: str | None
    """The first time, and the last one."""
    last: str | None
    frequency: str | None
    """The step in words."""
    period: int
    """Rows of a season in the whole file; 1 where there is none. A training looks at its training part alone."""
    missing: int
    """Missing values."""
    gaps: int
    """Rows that are missing between others."""
    constant: tuple[str, ...]
    """Targets that never change."""
    stand_ins: tuple[StandIn, ...]
    """Numbers that may stand for missing values."""
    refused: str | None
    """What stands in the way of a training as the file is."""

    def lines(self) -> list[str]:
        """What was seen, as a person reads it before a training."""
        roles = self.roles
        told = [counted(self.rows, "row")]
        if roles.series is not None:
            told.append(f"{self.series:,} series by {roles.series}")
        if roles.time:
            step = f", {self.frequency}" if self.frequency else ""
            span = f", {self.first} to {self.last}" if self.first else ""
            told.append(f"time: {', '.join(roles.time)}{step}{span}")
        lines = ["; ".join(told)]
        targets = f"{'targets' if len(roles.targets) > 1 else 'target'}: {listed(roles.targets, 10)}"
        season = f"season of {self.period:,} rows" if self.period > 1 else "no season found"
        lines.append(f"{targets}; {season}")
        if self.missing or self.gaps:
            lines.append(f"{counted(self.missing, 'value')} missing, {counted(self.gaps, 'row')} missing in gaps")
        if self.constant:
            lines.append(f"constant: {listed(self.constant)} (MASE is undefined there)")
        lines += [each.describe() for each in self.stand_ins]
        if self.refused is not None:
            lines.append(self.refused)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON can hold it."""
        found = {**vars(self), "constant": list(self.constant)}
        found["stand_ins"] = [asdict(each) for each in self.stand_ins]
        roles = self.roles.to_json()
        return {**found, "roles": {name: list(v) if isinstance(v, tuple) else v for name, v in roles.items()}}


def inspect_series(records: Records, roles: Roles | None = None) -> SeriesInspection:
    """Looks at the series of a file; what a training would refuse is told and not raised.

    Raises:
        DataError: there is no column of numbers.
    """
    roles = roles or choose_roles(records)
    refused = None
    try:
        data = read_series(records, roles)
    except DataError as error:
        refused = f"{error.code} at line {error.line}: {error.message}" if error.line else error.message
        refused += f" (help: {error.help})" if error.help else ""
        try:
            data = read_series(records, roles, missing="drop", bad_rows="skip")
        except DataError:  # nothing is left to count; the first fault says why
            return SeriesInspection(roles, 0, len(records), None, None, None, 1, 0, 0, (), (), refused)
    values = [series.values for series in data.series]
    lowest = [min(float(array[:, channel].min()) for array in values) for channel in range(len(roles.targets))]
    highest = [max(float(array[:, channel].max()) for array in values) for channel in range(len(roles.targets))]
    times = [series.times for series in data.series if series.times is not None]
    seasons = None if data.frequency is None else data.frequency.periods()
    return SeriesInspection(
        roles=roles,
        series=len({series.name for series in data.series}),
        rows=len(records),
        first=data.zone.written(min(each[0] for each in times)) if times else None,
        last=data.zone.written(max(each[-1] for each in times)) if times else None,
        frequency=None if data.frequency is None else data.frequency.describe(),
        period=find_period(values, seasons),
        missing=data.missing,
        gaps=data.gaps,
        constant=tuple(name for name, low, high in zip(roles.targets, lowest, highest, strict=True) if low == high),
        stand_ins=tuple(stand_ins(data)),
        refused=refused,
    )


def stand_ins(data: SeriesSet) -> list[StandIn]:
    """The columns whose least value is one of STAND_INS, further below all others than they span."""
    found = []
    kinds = (("values", data.roles.targets), ("past", data.past_names), ("known", data.known_names))
    for kind, names in kinds:
        rows = np.concatenate([getattr(series, kind) for series in data.series])
        for name, column in zip(names, rows.T, strict=True):
            least = float(column.min())
            others = column[column != least]
            if least in STAND_INS and len(others) and others.min() - least > others.max() - others.min():
                found.append(StandIn(name, least, len(column) - len(others)))
    return found
