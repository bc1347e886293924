"""Columns get their roles by what they hold; what is named stays as it is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seqloom.data.records import Records
from seqloom.data.roles import Roles, choose_roles
from seqloom.errors import DataError, SettingError


def table(**columns: list[Any]) -> Records:
    rows = len(next(iter(columns.values())))
    return Records(
        "t.csv", {name.replace("_", " "): values for name, values in columns.items()}, list(range(2, rows + 2))
    )


DAYS = [f"2020-01-{day:02}" for day in range(1, 13)]
NUMBERS = [str(day * 1.5) for day in range(12)]


def test_the_time_and_all_numbers() -> None:
    records = table(number=list(range(1, 13)), day=DAYS, a=NUMBERS, word=list("abcabcabcabc"), b=["NA", *NUMBERS[1:]])
    roles = choose_roles(records)
    assert roles == Roles(("day",), None, ("a", "b"))  # row numbers and words are no targets
    assert Roles.from_json(json.loads(json.dumps(roles.to_json()))) == roles
    assert roles.columns == ("day", "a", "b")


def test_a_time_by_its_name_or_in_parts() -> None:
    assert choose_roles(table(y=NUMBERS, Date=[str(2000 + year) for year in range(12)])).time == ("Date",)
    parts = {"Hour": list(range(12)), "year": [2010] * 12, "Month": [1] * 12, "day": [2] * 12, "y": NUMBERS}
    assert choose_roles(table(**parts)) == Roles(("year", "Month", "day", "Hour"), None, ("y",))
    assert choose_roles(table(y=NUMBERS, z=NUMBERS)).time == ()


def test_series_by_name_or_where_times_repeat() -> None:
    twice = {"day": DAYS[:6] * 2, "y": NUMBERS}
    assert choose_roles(table(**twice, who=["a"] * 6 + ["b"] * 6)).series == "who"
    assert choose_roles(table(**twice, who=["a"] * 5 + ["b"] * 7)).series is None  # times repeat within b
    assert choose_roles(table(**twice, store=[1] * 6 + [2] * 6)) == Roles(("day",), "store", ("y",))
    assert choose_roles(table(day=DAYS, wind=["N", "S"] * 6, y=NUMBERS)).series is None
    assert choose_roles(table(day=DAYS, ticker=["GOOG"] * 12, y=NUMBERS)).series == "ticker"


def test_what_is_named_stays() -> None:
    records = table(day=DAYS, a=NUMBERS, b=NUMBERS, c=NUMBERS, word=["x"] * 12)
    roles = choose_roles(records, target=["b"], past=["word"], known=["c"])
    assert roles == Roles(("day",), None, ("b",), ("word",), ("c",))
    assert choose_roles(records, known=["c"]).targets == ("a", "b")
    assert choose_roles(table(count=list(range(12)))).targets == ("count",)  # nothing else to forecast


def test_faults() -> None:
    records = table(day=DAYS, a=NUMBERS, word=["x"] * 12)
    with pytest.raises(DataError, match='no column "aa"') as caught:
        choose_roles(records, target=["aa"])
    assert caught.value.code == "D026"
    with pytest.raises(SettingError, match='"a" is named for two roles'):
        choose_roles(records, target=["a"], past=["a"])
    with pytest.raises(SettingError, match="cannot be read from columns day, a"):
        choose_roles(records, time=["day", "a"])
    with pytest.raises(DataError, match="no column of numbers") as caught:
        choose_roles(table(day=DAYS, word=["x"] * 12))
    assert caught.value.code == "D040"


def test_numbers_that_count_are_no_times_and_no_targets() -> None:
    for numbers in (list(range(12)), [f"{0.1 * row:g}" for row in range(12)]):
        assert choose_roles(table(time=numbers, y=NUMBERS)) == Roles((), None, ("y",))
    assert choose_roles(table(time=[str(2000 + row) for row in range(12)], y=NUMBERS)).time == ("time",)
