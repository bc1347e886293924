"""The step of time stamps is found, goes on as the calendar does, and gives seasons and features."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from seqloom.data.times import Frequency, calendar_features, find_frequency
from seqloom.errors import SettingError


def times(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[us]")


def every(start: str, stop: str, step: str) -> np.ndarray:
    count, unit = step.split()
    return np.arange(np.datetime64(start, unit), np.datetime64(stop, unit), np.timedelta64(int(count), unit)).astype(
        "datetime64[us]"
    )


MONTH_ENDS = (np.arange("2019-02", "2021-02", dtype="M8[M]").astype("M8[D]") - 1).astype("M8[us]")
BUSINESS = np.busday_offset("2020-01-01", np.arange(60)).astype("M8[us]")


@pytest.mark.parametrize(
    ("stamps", "count", "unit", "words", "periods"),
    [
        (every("2020-01-01", "2020-01-03", "1 h"), 1, "hour", "hourly", (24, 168)),
        (every("2020-01-01", "2020-01-03", "15 m"), 15, "minute", "every 15 minutes", (96, 672)),
        (every("2020-01-01", "2020-01-03", "10 m"), 10, "minute", "every 10 minutes", (144, 1008)),
        (every("2020-01-01", "2020-01-02", "1 m"), 1, "minute", "every minute", (60, 1440, 10080)),
        (every("2020-01-01", "2020-01-03", "90 m"), 90, "minute", "every 90 minutes", (16, 112)),
        (every("2020-01-01T00", "2020-01-01T01", "250 ms"), 250, "millisecond", "every 250 milliseconds", None),
        (every("2020-01-01", "2020-03-03", "1 D"), 1, "day", "daily", (7, 365)),
        (BUSINESS, 1, "business day", "daily on business days", (5, 261)),
        (np.delete(BUSINESS, [7, 8, 30]), 1, "business day", "daily on business days", (5, 261)),  # holidays
        (every("2020-01-01", "2021-01-03", "7 D"), 1, "week", "weekly", (52,)),
        (every("2020-01-01", "2021-01-03", "28 D"), 4, "week", "every 4 weeks", (13,)),
        (every("2020-01", "2022-01", "1 M"), 1, "month", "monthly", (12,)),
        (MONTH_ENDS, 1, "month", "monthly", (12,)),
        (every("2020-01", "2022-01", "3 M"), 1, "quarter", "quarterly", (4,)),
        (every("2000-01", "2022-01", "12 M"), 1, "year", "yearly", ()),
        (every("2000-01", "2022-01", "24 M"), 2, "year", "every 2 years", ()),
    ],
)
def test_frequencies(stamps: np.ndarray, count: int, unit: str, words: str, periods: tuple[int, ...] | None) -> None:
    found = find_frequency(stamps)
    assert found == Frequency(count, unit)  # type: ignore[arg-type]
    assert found.describe() == words
    assert periods is None or found.periods() == periods
    assert Frequency.parse(words.upper()) == found
    assert Frequency.from_json(json.loads(json.dumps(found.to_json()))) == found
    positions, good = found.positions(stamps)
    assert good.all() and (np.diff(positions) >= 1).all()
    if len(np.unique(np.diff(positions))) == 1:
        np.testing.assert_array_equal(found.after(stamps[2], 5), stamps[3:8])


def test_gaps_do_not_change_the_step_and_no_step_is_none() -> None:
    hours = np.delete(every("2020-01-01", "2020-01-05", "1 h"), [5, 6, 20])
    assert find_frequency(hours, hours[:3]) == Frequency(1, "hour")
    assert find_frequency(hours[:1]) is None
    assert find_frequency() is None
    assert find_frequency(times("2020-01-01", "2020-01-02", "2020-01-05", "2020-01-11")) is None


def test_what_comes_next_follows_the_calendar() -> None:
    monthly = Frequency(1, "month")
    assert (
        monthly.after(np.datetime64("2020-01-31"), 3).tolist()
        == times("2020-02-29", "2020-03-31", "2020-04-30").tolist()
    )
    assert (
        monthly.after(np.datetime64("2019-12-30"), 3).tolist()
        == times("2020-01-30", "2020-02-29", "2020-03-30").tolist()
    )
    assert (
        Frequency(1, "quarter").after(np.datetime64("2020-11-15T06:00"), 1).tolist()
        == times("2021-02-15T06:00").tolist()
    )
    assert Frequency(1, "year").after(np.datetime64("2020-02-29"), 1).tolist() == times("2021-02-28").tolist()
    # A 28 February alone is the end of a month; the stamps before it may say that it is the 28th, or a 30th.
    february = np.datetime64("2021-02-28")
    for earlier, wanted in [
        (("2020-12-31", "2021-01-31"), "2021-03-31"),
        (("2020-12-28", "2021-01-28"), "2021-03-28"),
        (("2020-12-30", "2021-01-30"), "2021-03-30"),
        ((), "2021-03-31"),
    ]:
        assert monthly.after(february, 1, times(*earlier)).tolist() == times(wanted).tolist()
    friday = np.datetime64("2020-01-03T16:00")
    after = Frequency(1, "business day").after(friday, 2)
    assert after.tolist() == times("2020-01-06T16:00", "2020-01-07T16:00").tolist()
    assert Frequency(15, "minute").after(np.datetime64("2020-12-31T23:45"), 1).tolist() == times("2021-01-01").tolist()


def test_positions_show_what_is_off_the_step() -> None:
    positions, good = Frequency(10, "minute").positions(
        times("2020-01-01T00:00", "2020-01-01T00:10", "2020-01-01T00:25", "2020-01-01T01:00")
    )
    assert positions.tolist() == [0, 1, 2, 6]
    assert good.tolist() == [True, True, False, True]
    _, good = Frequency(1, "business day").positions(times("2020-01-03", "2020-01-04", "2020-01-06"))
    assert good.tolist() == [True, False, True]


@pytest.mark.parametrize("text", ["sometimes", "0 hours", "-1 day", "1.5 hours", ""])
def test_frequencies_that_are_none(text: str) -> None:
    with pytest.raises(SettingError, match="is not a frequency") as caught:
        Frequency.parse(text)
    assert "hourly" in (caught.value.help or "")


def test_features_by_hand() -> None:
    # Wednesday 2020-07-01 06:00 is a quarter of a day, 2.25 of 7 days behind Monday, 182.25 of 366 days of the year
    features, names = calendar_features(times("2020-07-01T06:00"), Frequency(1, "hour"))
    assert names == ("day sine", "day cosine", "week sine", "week cosine", "year sine", "year cosine")
    assert features.dtype == np.float32
    turns = [2 * math.pi * part for part in (0.25, 2.25 / 7, 182.25 / 366)]
    wanted = [function(turn) for turn in turns for function in (math.sin, math.cos)]
    np.testing.assert_allclose(features[0], wanted, atol=1e-6)
    assert calendar_features(MONTH_ENDS, Frequency(1, "month"))[1] == ("year sine", "year cosine")
    assert calendar_features(times("2020-07-01"), Frequency(1, "year"))[0].shape == (1, 0)
    assert calendar_features(times("1969-12-31T18:00"), Frequency(6, "hour"))[0][0, 0] == pytest.approx(-1)
