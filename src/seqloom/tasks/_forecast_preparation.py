"""What a forecast learns from its training part before any model: seasons, transforms, scales; kept in the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from seqloom.data.formats.base import listed
from seqloom.data.period import find_period
from seqloom.data.series import Series, SeriesSet
from seqloom.data.series_inspection import stand_ins
from seqloom.data.times import Frequency, calendar_features
from seqloom.data.transforms import Pipeline
from seqloom.data.windows import SeriesWindows
from seqloom.data.zones import Zone
from seqloom.tasks._forecast_data import Part, Windows, by_name, with_gaps_closed
from seqloom.tasks._forecast_scores import mase_scales

__all__ = ["Preparation", "facts", "first_season", "usual_look_back"]

Array = NDArray[np.float64]

LONGEST = 720
"""Rows that a look-back has at most, if nobody asks for more."""


def first_season(frequency: Frequency | None) -> int:
    """The shortest usual season of a frequency in rows; 12 where there is none."""
    periods = frequency.periods() if frequency is not None else ()
    return periods[0] if periods else 12


def usual_look_back(rows: int, horizon: int, period: int) -> int:
    """The rows that a forecast reads: two horizons and seven seasons, as far as a third of the training part goes."""
    wanted = max(2 * horizon, 7 * period if period > 1 else 0, 32)
    if period > 1:
        wanted = -(-wanted // period) * period
    return max(1, min(wanted, max(LONGEST, horizon), (rows - horizon) // 3))


@dataclass(frozen=True, eq=False)
class Preparation:
    """How rows of the file become numbers of the model, and back; learnt from the training part alone.

    Attributes:
        frequency: of the rows; None where there are no times.
        zone: by whose clock the times are.
        period: rows of a season; 1 where there is none.
        targets: transform and scale of the C targets.
        past: scale of the P past covariates; None where P is 0.
        known: scale of the covariates known in advance that the file has; None where it has none.
        calendar: whether calendar features stand beside them.
        deviations: standard deviation of each target, as the file has it, [C]; 1 for a constant one.
        scales: the scale of MASE of each series [C], NaN where it is not defined; and under "" that of all.
        until: the last time of each series that training or validation saw, in microseconds since 1970 by the clock.
    """

    frequency: Frequency | None
    zone: Zone
    period: int
    targets: Pipeline
    past: Pipeline | None
    known: Pipeline | None
    calendar: bool
    deviations: Array
    scales: dict[str, Array]
    until: dict[str, int]

    @classmethod
    def fit(cls, train: Part, *, period: int, transform: str, scale: str, calendar: bool, seen: Part) -> Self:
        """Learns from the training part.

        Args:
            period: rows of a season, or 0 to find it.
            seen: the part behind it that validates, for its last time alone.
        """
        data, rows = train.data, train.rows
        filled = [values for values in rows if len(values)]
        if not period:
            period = find_period(filled, None if data.frequency is None else data.frequency.periods())
        deviations = np.concatenate(filled).std(axis=0)
        covariates = [
            [getattr(s, kind)[a:b] for s, a, b in zip(data.series, train.begin, train.end, strict=True)]
            for kind in ("past", "known")
        ]
        past, known = (Pipeline().fit(each) if each[0].shape[1] else None for each in covariates)
        pieces = {name: [rows[number] for number in numbers] for name, numbers in by_name(data).items()}
        return cls(
            frequency=data.frequency,
            zone=data.zone,
            period=period,
            targets=Pipeline(transform, scale).fit(filled),  # type: ignore[arg-type]  # settings allow no other word
            past=past,
            known=known,
            calendar=calendar and data.frequency is not None,
            deviations=np.where(deviations > 0, deviations, 1.0),
            scales={"": mase_scales(filled, period)}
            | {name: mase_scales(each, period) for name, each in pieces.items() if name},
            until=_last_times(seen),
        )

    @property
    def calendar_width(self) -> int:
        """Columns of calendar features."""
        if not self.calendar or self.frequency is None:
            return 0
        return len(calendar_features(np.zeros(1, "datetime64[us]"), self.frequency)[1])

    def scale_of(self, name: str) -> Array:
        """The scale of MASE [C] of a series; of one that training did not see that of all together."""
        return self.scales.get(name, self.scales[""])

    def known_rows(self, series: Series, times: NDArray[np.datetime64] | None, rows: slice) -> NDArray[np.float32]:
        """Covariates known in advance [n, K] of some rows, with calendar features of their times [n]."""
        parts = []
        if self.known is not None:
            parts.append(self.known.apply(series.known[rows]).astype(np.float32))
        if self.calendar and self.frequency is not None and times is not None:
            parts.append(calendar_features(times, self.frequency)[0])
        count = len(series.known[rows]) if times is None else len(times)
        return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0), np.float32)

    def scaled(self, series: Series) -> list[NDArray[Any]]:
        """Targets [N, C], past [N, P] and known covariates [N, K] of a series in the units of the model."""
        past = series.past[:, :0] if self.past is None else self.past.apply(series.past)
        known = self.known_rows(series, series.times, slice(0, len(series)))
        return [self.targets.apply(series.values), past, known]

    @property
    def first(self) -> NDArray[np.float32] | None:
        """What stands in the first row of a window [C]: no change; None where rows have values of their own."""
        if not self.targets.lost:
            return None
        count = len(self.deviations)
        return np.asarray(self.targets.apply(np.ones((1, count)))[0], dtype=np.float32)

    def windows(self, part: Part, look_back: int, horizon: int) -> Windows:
        """The windows of a part."""
        series = part.data.series
        scaled = [self.scaled(each) for each in series]
        widths = tuple(each.shape[1] for each in scaled[0])
        return Windows(
            part=part,
            scaled=SeriesWindows([np.concatenate(each, axis=1) for each in scaled], look_back + horizon),
            index=with_gaps_closed(part, look_back, horizon),
            look_back=look_back,
            horizon=horizon,
            widths=(widths[0], widths[1], widths[2]),
            first=self.first,
            values=np.concatenate([each.values for each in series]),
            filled=np.concatenate([each.filled for each in series]),
        )

    def undo(self, values: Array, before: Array) -> Array:
        """Forecasts of the model [B, F, C, Q] in the units of the file; ``before`` is the last row of each, [B, C]."""
        turned = self.targets.undo(values.transpose(0, 3, 1, 2), before[:, None])  # [B, Q, F, C]
        return np.asarray(turned.transpose(0, 2, 3, 1))

    def to_json(self) -> dict[str, Any]:
        return {
            "frequency": None if self.frequency is None else self.frequency.to_json(),
            "offset": self.zone.offset,
            "period": self.period,
            "targets": self.targets.to_json(),
            "past": None if self.past is None else self.past.to_json(),
            "known": None if self.known is None else self.known.to_json(),
            "calendar": self.calendar,
            "deviations": self.deviations.tolist(),
            "scales": {name: [None if v != v else v for v in each.tolist()] for name, each in self.scales.items()},
            "until": self.until,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        kept = {name: None if saved[name] is None else Pipeline.from_json(saved[name]) for name in ("past", "known")}
        return cls(
            frequency=None if saved["frequency"] is None else Frequency.from_json(saved["frequency"]),
            zone=Zone(saved.get("offset")),
            period=saved["period"],
            targets=Pipeline.from_json(saved["targets"]),
            calendar=saved["calendar"],
            deviations=np.array(saved["deviations"], dtype=np.float64),
            scales={name: np.array(each, dtype=np.float64) for name, each in saved["scales"].items()},
            until=saved["until"],
            **kept,
        )


def _last_times(part: Part) -> dict[str, int]:
    """The last time of each series in a part, in microseconds since 1970."""
    found: dict[str, int] = {}
    for series, end in zip(part.data.series, part.end, strict=True):
        if series.times is not None and end:
            found[series.name] = int(series.times[end - 1].astype("datetime64[us]").astype(np.int64))
    return found


def facts(data: SeriesSet) -> dict[str, str]:
    """What the file holds, as a person reads it."""
    roles, series = data.roles, data.series
    found = {}
    times = [each.times for each in series if each.times is not None]
    if times:
        step = f", {data.frequency.describe()}" if data.frequency else ""
        ends = (min(each[0] for each in times), max(each[-1] for each in times))
        span = " to ".join(map(data.zone.written, ends))
        found["time"] = f"{', '.join(roles.time)}{step}, {span}"
    if roles.series is not None:
        found["series"] = f"{len({each.name for each in series}):,} by {roles.series}"
    found["targets"] = listed(roles.targets, 10)
    for name, columns in (("past", roles.past), ("known", roles.known)):
        if columns:
            found[name] = listed(columns, 10)
    notes = [*data.notes, *(each.describe() for each in stand_ins(data))]
    if notes:
        found["note"] = "; ".join(notes)
    return found
