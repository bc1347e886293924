"""Tables become series; what does not fit is told with file, line, column, code and help."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seqloom.data.formats.base import CODES
from seqloom.data.read import read
from seqloom.data.records import Records
from seqloom.data.series import SeriesSet, choose_roles, read_series
from seqloom.data.times import Frequency
from seqloom.data.zones import Zone
from seqloom.errors import DataError

HOURS = 5_100


def stamp(hour: int, start: str = "2020-03-02") -> str:
    return (datetime.datetime.fromisoformat(start) + datetime.timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M")


def table(rows: list[list[Any]], *names: str, lines: list[int] | None = None) -> Records:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return Records("power.csv", columns, lines or list(range(2, 2 + len(rows))))


def hourly(count: int = HOURS) -> list[list[Any]]:
    return [[stamp(hour), f"{hour * 0.5}", hour % 7 - 3] for hour in range(count)]


def series(rows: list[list[Any]], *names: str, roles: dict[str, Any] | None = None, **how: Any) -> SeriesSet:
    records = table(rows, *(names or ("time", "y", "z")))
    return read_series(records, choose_roles(records, **(roles or {})), **how)


def refused(rows: list[list[Any]], *names: str, **how: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        series(rows, *names, **how)
    error = caught.value
    assert error.code in CODES and error.help and error.file == "power.csv"
    return error


def test_a_table_of_hours() -> None:
    data = series(hourly(100))
    only = data.series[0]
    assert (len(data.series), only.name, len(only), data.rows) == (1, "", 100, 100)
    assert data.frequency == Frequency(1, "hour")
    assert (data.roles.time, data.roles.targets, data.roles.series) == (("time",), ("y", "z"), None)
    np.testing.assert_array_equal(only.values[:, 0], np.arange(100) / 2)
    np.testing.assert_array_equal(only.values[:, 1], np.arange(100) % 7 - 3)
    assert only.lines.tolist() == list(range(2, 102)) and not only.filled.any()
    assert only.times is not None and str(only.times[-1]) == "2020-03-06T03:00:00.000000"
    assert (only.past.shape, only.known.shape, data.notes, data.missing, data.gaps) == ((100, 0), (100, 0), (), 0, 0)


def changed(row: int, column: int, value: Any) -> list[list[Any]]:
    rows = hourly()
    rows[row][column] = value
    return rows


def swapped() -> list[list[Any]]:
    rows = hourly()
    rows[100], rows[101] = rows[101], rows[100]
    return rows


BAD = {
    "text in row 5,002": (changed(5000, 1, "oops"), "D012", 5002, "y", '"oops" is not a number'),
    "a decimal comma": (changed(7, 1, "1,5"), "D012", 9, "y", "not a number"),
    "digits with underscores": (changed(7, 1, "1_000"), "D012", 9, "y", "not a number"),
    "infinite": (changed(3000, 1, "-inf"), "D057", 3002, "y", '"-inf" is infinite'),
    "too large for a number": (changed(3000, 1, "1e999"), "D057", 3002, "y", "infinite"),
    "no time": (changed(8, 0, "noon"), "D050", 10, "time", '"noon" is not a time'),
    "mixed times": (changed(8, 0, "02/03/2020 08:00"), "D051", 10, "time", "written otherwise"),
    "order": (swapped(), "D052", 103, "time", "2020-03-06 04:00 is out of order: 2020-03-06 05:00 stands before"),
    "twice": (changed(51, 0, stamp(50)), "D053", 53, "time", "2020-03-04 02:00 occurs twice, first in line 52"),
    "between two steps": (changed(9, 0, "2020-03-02 09:13"), "D055", 11, "time", "off the step of the others, hourly"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_row_is_refused_or_left_out(case: str) -> None:
    rows, code, line, column, message = BAD[case]
    error = refused(rows)
    assert (error.code, error.line, error.column) == (code, line, column)
    assert message in error.message
    # left out, its hour is missing: that is told too, and filled only when asked for
    gap = refused(rows, bad_rows="skip")
    assert gap.code == "D054" and (code == "D052" or "left out as --bad-rows skip asks" in (gap.help or ""))
    data = series(rows, bad_rows="skip", missing="interpolate")
    assert [(reject.line, reject.code) for reject in data.rejects] == [(line, code)]
    assert len(data.series[0]) == HOURS
    assert data.series[0].filled.sum() == 1 and data.gaps == 1
    np.testing.assert_allclose(data.series[0].values[:, 0], np.arange(HOURS) / 2)


def test_times_that_run_backwards() -> None:
    for how in ("error", "skip"):
        error = refused(hourly(50)[::-1], bad_rows=how)
        assert (error.code, error.line) == ("D052", 3) and "backwards" in error.message


def test_several_series_in_one_without_a_name() -> None:
    rows = [[stamp(hour), hour] for _ in range(3) for hour in range(20)]
    error = refused(rows, "time", "y")
    assert (error.code, error.line) == ("D053", 22) and "--series" in (error.help or "")


def test_no_regular_step() -> None:
    error = refused([[stamp(hour * hour), hour] for hour in range(30)], "time", "y")
    assert (error.code, error.line, error.column) == ("D055", 4, "time")


def test_a_gap_is_refused_filled_or_cut() -> None:
    rows = hourly(100)
    del rows[30:40]
    error = refused(rows)
    assert (error.code, error.line, error.column) == ("D054", 32, "time")
    assert "2020-03-03 16:00 follows 2020-03-03 05:00" in error.message and "10 rows missing" in error.message
    filled = series(rows, missing="interpolate").series[0]
    np.testing.assert_allclose(filled.values[:, 0], np.arange(100) / 2)
    assert filled.filled.nonzero()[0].tolist() == list(range(30, 40)) == (filled.lines == 0).nonzero()[0].tolist()
    assert filled.times is not None and (np.diff(filled.times) == np.timedelta64(1, "h")).all()
    pieces = series(rows, missing="drop")
    assert [(len(piece), piece.name) for piece in pieces.series] == [(30, ""), (60, "")]
    assert pieces.series[1].lines[0] == 32 and "2 pieces" in pieces.notes[0]


def test_missing_values_are_refused_filled_or_cut() -> None:
    rows = hourly(100)
    for hour, value in ((0, "NA"), (50, ""), (51, None), (52, "NaN"), (70, float("nan")), (99, "null")):
        rows[hour][1] = value
    error = refused(rows)
    assert (error.code, error.line, error.column) == ("D056", 2, "y")
    assert "in 6 rows of 100: lines 2, 52, 53, 54, 72 ..." in error.message
    assert refused(rows, bad_rows="skip").code == "D056"
    data = series(rows, missing="interpolate")
    only = data.series[0]  # nothing is invented at the ends
    np.testing.assert_allclose(only.values[:, 0], np.arange(1, 99) / 2)
    assert only.filled.nonzero()[0].tolist() == [49, 50, 51, 69]
    assert data.missing == 6
    assert data.notes == (
        "4 missing values filled along a line; the longest hole has 3 rows",
        "2 rows at the ends left out, where values are missing on one side",
    )
    assert [len(piece) for piece in series(rows, missing="drop").series] == [49, 17, 28]


def test_a_number_that_stands_for_missing() -> None:
    rows = hourly(50)
    rows[20][1] = "-9999"
    assert series(rows).series[0].values[20, 0] == -9999
    assert refused(rows, missing_value=-9999.0).line == 22
    assert series(rows, missing_value=-9999, missing="interpolate").series[0].values[20, 0] == 10


def daylight(skipped: bool, minutes: int) -> list[list[Any]]:
    """Local time in Berlin around the change, in rows of 15 or 60 minutes."""
    day = "2020-03-29" if skipped else "2020-10-25"
    begin = datetime.datetime.fromisoformat(day) - datetime.timedelta(days=2)
    local = [begin + datetime.timedelta(minutes=minutes * row) for row in range(5 * 1440 // minutes)]
    hour = [time for time in local if time.strftime("%Y-%m-%d %H") == f"{day} 02"]
    place = local.index(hour[0])
    local[place : place + len(hour)] = [] if skipped else hour + hour
    return [[time.strftime("%Y-%m-%d %H:%M"), row, row % 5] for row, time in enumerate(local)]


@pytest.mark.parametrize("minutes", [15, 60])
def test_hours_at_the_change_of_daylight_saving(minutes: int) -> None:
    rows_an_hour = 60 // minutes
    error = refused(daylight(True, minutes))
    assert (error.code, error.line) == ("D054", 2 + 50 * rows_an_hour) and "daylight saving" in (error.help or "")
    error = refused(daylight(False, minutes))
    assert (error.code, error.line) == ("D053", 2 + 51 * rows_an_hour) and "daylight saving" in (error.help or "")
    winter = [[f"2020-12-{1 + row // 24:02} {row % 24:02}:00", row, 1] for row in range(100) if row != 30]
    assert "daylight" not in (refused(winter).help or "")


def test_offsets_make_one_series_of_the_hour_that_comes_twice() -> None:
    rows = [[f"2020-10-25 {hour:02}:00+02:00", hour] for hour in range(3)]
    rows += [[f"2020-10-25 {hour:02}:00+01:00", hour + 1] for hour in range(2, 9)]
    data = series(rows, "time", "y")
    assert data.frequency == Frequency(1, "hour") and len(data.series[0]) == 10
    assert data.zone == Zone(0)  # two offsets have no clock in common but UTC


def test_times_keep_the_clock_of_their_file() -> None:
    """A Monday at midnight in Seoul is a Sunday in UTC, where no business is done."""
    days = [np.datetime64("2024-01-01") + day for day in range(28) if day % 7 < 5]
    rows = [[f"{day} 00:00+09:00", number, number] for number, day in enumerate(days)]
    data = series(rows)
    assert (data.frequency, data.zone) == (Frequency(1, "business day"), Zone(9 * 3600))
    assert data.series[0].times is not None
    assert data.series[0].times.tolist() == [day.astype("datetime64[us]").item() for day in days]


def test_the_clock_of_the_training_is_kept() -> None:
    seoul = [[f"2024-01-01 {hour:02}:00+09:00", hour, 1] for hour in range(12)]
    utc = [[f"{1703980800 + 54_000 + 3_600 * hour}", hour, 1] for hour in range(12)]  # the same hours, from 1970 on
    plain = [[row[0].removesuffix("+09:00"), *row[1:]] for row in seoul]
    one, two = series(seoul, zone=Zone(9 * 3600)), series(utc, zone=Zone(9 * 3600))
    np.testing.assert_array_equal(one.series[0].times, two.series[0].times)
    untold, told, counted = "has no offset from UTC", "has an offset from UTC", "counts from 1970 in UTC"
    for rows, zone, what in ((plain, Zone(0), untold), (seoul, Zone(), told), (utc, Zone(), counted)):
        error = refused(rows, zone=zone)
        assert (error.code, error.line) == ("D051", 2)
        assert f"{what}, and those of the training had" in error.message


def test_series_of_one_file_interleaved() -> None:
    rows = [[stamp(hour), shop, hour * 2 + (shop == "b")] for hour in range(30) for shop in "ab"]
    data = series(rows, "time", "shop", "y")
    assert data.roles.series == "shop" and data.roles.targets == ("y",)
    assert [(one.name, len(one)) for one in data.series] == [("a", 30), ("b", 30)]
    np.testing.assert_array_equal(data.series[1].values[:, 0], np.arange(30) * 2 + 1)
    assert data.series[1].lines[:2].tolist() == [3, 5]
    rows[21][2] = "?"
    error = refused(rows, "time", "shop", "y")
    assert (error.code, error.line) == ("D012", 23)


def test_numbers_without_times() -> None:
    rows = [[f"{row % 4}"] for row in range(40)]
    data = series(rows, "y")
    assert data.frequency is None and data.series[0].times is None and len(data.series[0]) == 40
    rows[11][0] = "x"
    assert refused(rows, "y").line == 13
    assert refused(rows, "y", bad_rows="skip").code == "D054"  # a row left out is no step of time
    cut = series(rows, "y", bad_rows="skip", missing="drop")
    assert [len(one) for one in cut.series] == [11, 28]


def test_covariates_of_words_and_a_future() -> None:
    rows = [[stamp(hour), hour, "NW" if hour % 3 else "S", hour % 2, hour / 10] for hour in range(40)]
    for hour in range(36, 40):
        rows[hour][1] = ""
        rows[hour][2] = ""
    names = ("time", "y", "wind", "open", "heat")
    roles = {"target": ["y"], "past": ["wind"], "known": ["open", "heat"]}
    data = series(rows, *names, roles=roles)
    only = data.series[0]
    assert (data.past_names, data.known_names) == (("wind=NW", "wind=S"), ("open", "heat"))
    assert data.categories == {"wind": ("NW", "S")}
    assert (only.values.shape, only.past.shape, only.known.shape) == ((36, 1), (36, 2), (40, 2))
    np.testing.assert_array_equal(only.past[:3], [[0, 1], [1, 0], [1, 0]])
    np.testing.assert_allclose(only.known[:, 1], np.arange(40) / 10)
    assert only.future_times is not None and str(only.future_times[0]) == "2020-03-03T12:00:00.000000"
    # prediction knows the categories of training, in their order, and refuses another one
    rows[5][2] = "SE"
    error = refused(rows, *names, roles=roles, categories=data.categories)
    assert (error.code, error.line, error.column) == ("D060", 7, "wind")
    rows[5][2] = "S"
    rows[37][3] = ""
    error = refused(rows, *names, roles=roles)
    assert (error.code, error.line, error.column) == ("D056", 39, "open")
    # without a column known in advance, rows without targets are missing values
    assert refused(rows, *names, roles={"target": ["y"]}).line == 38


def test_columns_are_matched_by_name() -> None:
    records = table(hourly(30), "time", "y", "z")
    roles = choose_roles(records)
    other = Records("new.csv", dict(reversed(records.columns.items())), records.lines)
    assert list(other.columns) != list(records.columns)
    np.testing.assert_array_equal(
        read_series(other, roles).series[0].values, read_series(records, roles).series[0].values
    )
    del other.columns["z"]
    with pytest.raises(DataError) as caught:
        read_series(other, roles)
    assert (caught.value.code, caught.value.column) == ("D026", "z")


def test_one_row_is_a_series_and_a_step_can_be_given() -> None:
    data = series(hourly(1))
    assert data.frequency is None and len(data.series[0]) == 1
    assert series(hourly(1), frequency=Frequency(1, "hour")).frequency == Frequency(1, "hour")
    assert refused(hourly(3), frequency=Frequency(30, "minute")).code == "D054"


def test_holidays_are_no_gaps_but_weeks_are() -> None:
    days = np.busday_offset("2020-01-01", np.delete(np.arange(60), [9, 20, 21, 22]))
    data = series([[str(day), row] for row, day in enumerate(days)], "Date", "close")
    assert data.frequency == Frequency(1, "business day") and data.gaps == 0
    assert data.notes == ("4 business days without a row taken for holidays",)
    days = np.busday_offset("2020-01-01", np.delete(np.arange(60), range(20, 26)))
    assert refused([[str(day), row] for row, day in enumerate(days)], "Date", "close").code == "D054"


def test_nothing_is_left() -> None:
    rows = [[stamp(hour), hour if hour % 2 else "", "" if hour % 2 else hour] for hour in range(30)]
    assert refused(rows, missing="drop").code == "D011"


def test_the_real_files(shared_data: Path) -> None:
    def of(file: str, **how: Any) -> SeriesSet:
        records = read(shared_data / file)
        return read_series(records, choose_roles(records), **how)

    ett = of("ett/ETTh1.csv.gz")
    assert (ett.rows, ett.frequency, len(ett.roles.targets)) == (17_420, Frequency(1, "hour"), 7)
    with pytest.raises(DataError) as caught:
        of("weather_jena_2020/weather.csv.gz")
    assert (caught.value.code, caught.value.line) == ("D053", 19_046)
    weather = of("weather_jena_2020/weather.csv.gz", bad_rows="skip", missing="interpolate", missing_value=-9999)
    assert (weather.rows, weather.gaps, weather.missing, len(weather.rejects)) == (52_704, 9, 81, 1)
    with pytest.raises(DataError, match="2,067 rows of 43,824") as caught:
        of("beijing_pm25/pollution.csv.gz")
    assert (caught.value.code, caught.value.column) == ("D056", "pm2.5")
    air = of("beijing_pm25/pollution.csv.gz", missing="interpolate")
    assert (air.rows, air.roles.time) == (43_800, ("year", "month", "day", "hour"))
    assert "No" not in air.roles.targets
    stocks = of("stocks/sp500-2000.csv")
    assert (stocks.rows, stocks.frequency) == (5_105, Frequency(1, "business day"))


def test_a_second_row_of_the_same_month_is_no_step() -> None:
    rows = [[f"2015-{month:02}-01", month, -month] for month in range(1, 13)]
    rows.insert(4, ["2015-04-15", 33, 2])
    assert (refused(rows).code, refused(rows).line) == ("D055", 6)
    kept = series(rows, bad_rows="skip")
    assert (len(kept.series[0]), kept.gaps, len(kept.rejects)) == (12, 0, 1)


def test_a_gap_of_centuries_is_not_filled() -> None:
    error = refused([*hourly(50), ["2999-01-01 00:00", "1", 2]], missing="interpolate")
    assert (error.code, error.line) == ("D054", 52)
    assert len(series([*hourly(50), ["2999-01-01 00:00", "1", 2]], missing="drop").series) == 2


def test_month_and_day_in_the_order_of_the_training() -> None:
    rows = [[f"01/{day:02}/2020", day, 2] for day in range(1, 10)]
    assert refused(rows).code == "D050"
    assert str(series(rows, days_first=False).series[0].times[-1])[:10] == "2020-01-09"  # type: ignore[index]
    assert refused([*rows, ["13/01/2020", 3, 4]], days_first=False).line == 11
