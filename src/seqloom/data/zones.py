"""The clock that the times of a file are read by: one offset from UTC, UTC itself, or none that is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Zone"]


@dataclass(frozen=True)
class Zone:
    """How far a clock is before UTC.

    Times are kept by the clock of their file, so that a day begins where its midnight is; written with the offset,
    they are read back as the same instant.
    """

    offset: int | None = None
    """Seconds: +09:00 is 32,400, UTC is 0; None where the times tell no offset."""

    @classmethod
    def common(cls, offsets: Iterable[int]) -> Self:
        """The zone of times with these offsets: theirs where all have the same, else UTC (summer time has two)."""
        different = set(offsets)
        return cls(different.pop() if len(different) == 1 else 0)

    def local(self, times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
        """Times of UTC [N] by this clock; as they are where no offset is told."""
        return np.asarray(times + np.timedelta64(self.offset or 0, "s"))

    def iso(self, times: NDArray[np.datetime64]) -> list[str]:
        """Times [N] as ISO 8601 has them, without seconds' fractions where there are none.

        >>> Zone(32_400).iso(np.array(["2020-01-31T10:20"], "datetime64[us]"))
        ['2020-01-31T10:20:00+09:00']
        """
        whole = times.astype("datetime64[s]")
        exact = bool((whole == times).all())
        return [f"{time}{self.suffix}" for time in np.datetime_as_string(whole if exact else times)]

    def written(self, time: np.datetime64) -> str:
        """A time for people, without what is zero at its end: ``2020-01-31``, ``2020-01-31 10:20+09:00``."""
        text = str(time.astype("datetime64[us]")).replace("T", " ")
        endings = (".000000", ":00", " 00:00") if self.offset is None else (".000000", ":00")
        for ending in endings:
            text = text.removesuffix(ending)
        return text + self.suffix

    @property
    def suffix(self) -> str:
        """What is written behind a time: ``+09:00``, ``Z``, or nothing."""
        if not self.offset:
            return "" if self.offset is None else "Z"
        minutes = abs(self.offset) // 60
        return f"{'+' if self.offset > 0 else '-'}{minutes // 60:02}:{minutes % 60:02}"
