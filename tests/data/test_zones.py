"""Times are written so that they are read back as the same instant, by the clock of their file."""

from __future__ import annotations

import numpy as np
import pytest

from seqloom.data.timestamps import parse_times
from seqloom.data.zones import Zone


@pytest.mark.parametrize("offset", [None, 0, 32_400, -12_600, 20_700])
@pytest.mark.parametrize("fraction", [0, 250_000])
def test_what_is_written_is_read_back_as_the_same_instant(offset: int | None, fraction: int) -> None:
    utc = np.array(["2019-12-31T21:40:59", "2020-02-29T23:10"], "datetime64[us]") + fraction
    zone = Zone(offset)
    texts = zone.iso(zone.local(utc))
    again, found = parse_times(texts, file="t.csv", lines=[2, 3], column="time")
    np.testing.assert_array_equal(again, utc)
    assert found == zone


def test_by_hand() -> None:
    utc = np.array(["2020-01-31T15:30"], "datetime64[us]")
    assert Zone(32_400).iso(Zone(32_400).local(utc)) == ["2020-02-01T00:30:00+09:00"]
    assert Zone(-12_600).iso(Zone(-12_600).local(utc)) == ["2020-01-31T12:00:00-03:30"]
    assert (Zone(0).iso(utc), Zone().iso(utc)) == (["2020-01-31T15:30:00Z"], ["2020-01-31T15:30:00"])
    assert (Zone.common([3600, 3600]), Zone.common([3600, 7200])) == (Zone(3600), Zone(0))


def test_how_a_time_is_told() -> None:
    def told(text: str, offset: int | None = None) -> str:
        return Zone(offset).written(np.datetime64(text, "us"))

    assert told("2020-01-31T00:00:00") == "2020-01-31"
    assert told("2020-01-31T10:00:00") == "2020-01-31 10:00"
    assert told("2020-01-31T10:00:05.5") == "2020-01-31 10:00:05.500000"
    assert told("2020-01-31T00:00:00", 32_400) == "2020-01-31 00:00+09:00"
    assert told("2020-01-31T10:00:07", 0) == "2020-01-31 10:00:07Z"
