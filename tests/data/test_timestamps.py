"""Times are read as they are written, and what is written otherwise is told with its line."""

from __future__ import annotations

import numpy as np
import pytest

from seqloom.data.timestamps import compose_times, looks_like_time, order_of_days, parse_times
from seqloom.data.zones import Zone
from seqloom.errors import DataError


def parsed(*values: object) -> list[str]:
    times, _ = parse_times(values, file="t.csv", lines=range(2, 2 + len(values)), column="time")
    assert times.dtype == "datetime64[us]"
    return [str(time) for time in times]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["2020-01-31", "2020-02-29"], ["2020-01-31T00:00:00.000000", "2020-02-29T00:00:00.000000"]),
        (["2020/1/5 7:30", "2020/11/15 17:05"], ["2020-01-05T07:30:00.000000", "2020-11-15T17:05:00.000000"]),
        (["2020-01-31T10:20:30", "2020-01-31T10:20:30.25"], ["2020-01-31T10:20:30", "2020-01-31T10:20:30.250000"]),
        (["31.01.2009 00:10:00", "01.02.2009 00:20:00"], ["2009-01-31T00:10:00", "2009-02-01T00:20:00"]),
        (["01/02/2020", "01/13/2020"], ["2020-01-02", "2020-01-13"]),  # the 13th tells that the month is first
        (["01/02/2020", "13/02/2020"], ["2020-02-01", "2020-02-13"]),
        (["1949-01", "1949-12"], ["1949-01-01", "1949-12-01"]),
        (["1960Q1", "1960Q4"], ["1960-01-01", "1960-10-01"]),
        ([20200131, 20200201], ["2020-01-31", "2020-02-01"]),
        (["1700", 1701], ["1700-01-01", "1701-01-01"]),
        (["1500000000"], ["2017-07-14T02:40:00"]),
        ([1500000000123], ["2017-07-14T02:40:00.123"]),
        # the hour that comes twice on the day of the change has two offsets
        (["2020-10-25 02:00+02:00", "2020-10-25 02:00+01:00"], ["2020-10-25T00:00", "2020-10-25T01:00"]),
        (["2020-10-25T02:00:00Z", "2020-10-25T02:00:00-0330"], ["2020-10-25T02:00:00", "2020-10-25T05:30:00"]),
    ],
)
def test_formats(given: list[object], wanted: list[str]) -> None:
    assert parsed(*given) == [str(np.datetime64(text, "us")) for text in wanted]


@pytest.mark.parametrize(
    ("values", "code", "line", "message"),
    [
        (["2020-01-01", "02.01.2020"], "D051", 3, 'the time "02.01.2020" is written otherwise than "2020-01-01"'),
        (["2020-01-01", "2020-01-02 00:00"], "D051", 3, "written otherwise"),
        (["2020-01-01 00:00+01:00", "2020-01-01 01:00"], "D051", 3, "written otherwise"),
        (["13/02/2020", "14/02/2020", "02/15/2020"], "D051", 4, "the other way round"),
        (["2020-01-01", "", "2020-01-03"], "D050", 3, "the time is missing"),
        (["2020-01-01", "soon"], "D050", 3, 'the value "soon" is not a time'),
        (["2020-02-29", "2021-02-29"], "D050", 3, "on no calendar or clock"),
        (["2020-02-29 23:00", "2020-02-29 24:00"], "D050", 3, "on no calendar or clock"),
        (["2020-01-01 10:59", "2020-01-01 10:60"], "D050", 3, "on no calendar or clock"),
        (["01/02/2020", "01/03/2020"], "D050", 2, "no row tells"),
        (["oops"], "D050", 2, "not a time"),
    ],
)
def test_faults(values: list[str], code: str, line: int, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parsed(*values)
    error = caught.value
    assert (error.code, error.line, error.column, error.file) == (code, line, "time", "t.csv")
    assert error.help


def test_bad_rows_are_listed_and_the_others_read() -> None:
    bad: list[tuple[int, str]] = []
    values = ["x", "2020-01-01", "2020-02-30", "2020-01-03"]
    times, _ = parse_times(
        values, file="t.csv", lines=[2, 3, 4, 5], column="time", refuse=lambda row, error: bad.append((row, error.code))
    )
    assert bad == [(0, "D050"), (2, "D050")]
    assert np.isnat(times).tolist() == [True, False, True, False]
    assert times[[1, 3]].astype("datetime64[D]").tolist() == np.array(["2020-01-01", "2020-01-03"], "M8[D]").tolist()


def test_times_in_several_columns() -> None:
    parts = {"Year": ["2010", "2012"], "month": [1, 2], "day": ["1", "29"], "hour": [0, 23.0]}
    times = compose_times(parts, file="t.csv", lines=[2, 3])
    assert times.tolist() == np.array(["2010-01-01T00:00", "2012-02-29T23:00"], "M8[us]").tolist()
    for name, value, column in (("day", "30", "Year"), ("hour", 24, "Year"), ("month", "NA", "month")):
        wrong = {key: [values[0], value if key == name else values[1]] for key, values in parts.items()}
        with pytest.raises(DataError) as caught:
            compose_times(wrong, file="t.csv", lines=[2, 3])
        assert (caught.value.code, caught.value.line, caught.value.column) == ("D050", 3, column)


@pytest.mark.parametrize(
    ("given", "offset"),
    [
        (["2020-01-01", "2020-01-02"], None),
        (["2020-01-01 10:00+09:00", "2020-01-01 10:00+0900"], 32_400),
        (["2020-01-01 10:00-03:30"], -12_600),
        (["2020-01-01T10:00Z"], 0),
        (["2020-10-25 02:00+02:00", "2020-10-25 02:00+01:00"], 0),
        (["1500000000"], 0),
        ([1500000000123], 0),
    ],
)
def test_the_zone_of_a_column(given: list[object], offset: int | None) -> None:
    where = {"file": "t.csv", "lines": range(2, 2 + len(given)), "column": "time"}
    assert parse_times(given, **where)[1] == Zone(offset)


def test_what_looks_like_a_time() -> None:
    assert all(map(looks_like_time, ["2020-1-31", "31.1.2020 10:20", "2020-01", "1960 Q1", "2020-01-31T10:20:30Z"]))
    assert not any(map(looks_like_time, ["2020", "20200131", "1234.5", "12:30", "1500000000", "a 2020-01-31", ""]))


def test_the_order_of_days_that_was_found_is_kept() -> None:
    assert order_of_days(["01/02/2020", None, "01/13/2020"]) is False
    assert order_of_days(["01-02-2020", "13-02-2020"]) is True
    assert order_of_days(["01.02.2020"]) is True
    assert order_of_days(["01/02/2020"]) is order_of_days(["2020-01-13"]) is order_of_days([]) is None
    given = {"file": "t.csv", "lines": [2], "column": "time"}
    for first, wanted in ((True, "2020-02-01"), (False, "2020-01-02")):
        assert str(parse_times(["01/02/2020"], **given, days_first=first)[0][0])[:10] == wanted
    with pytest.raises(DataError, match="no calendar"):
        parse_times(["13/02/2020"], **given, days_first=False)
