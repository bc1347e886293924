"""Checks of the columns that a task learns from name the rows which do not fit."""

from __future__ import annotations

import unicodedata

import pytest

from seqloom.data.columns import check_labels, complete, hangul_share, labels, require_known_labels, texts
from seqloom.data.records import Records
from seqloom.errors import DataError


def table(rows: list[tuple[object, object]]) -> Records:
    columns = {"review": [text for text, _ in rows], "label": [label for _, label in rows]}
    return Records("reviews.csv", columns, [number + 2 for number in range(len(rows))])


def code_and_line(caught: pytest.ExceptionInfo[DataError]) -> tuple[str, int | None, object]:
    error = caught.value
    assert error.help
    assert error.file == "reviews.csv"
    return error.code, error.line, error.column


def test_texts_and_labels_are_strings() -> None:
    records = table([("가", 1), (None, " 1\n"), (2.5, unicodedata.normalize("NFD", "긍정"))])
    assert texts(records, "review") == ["가", "", "2.5"]
    assert labels(records, "label") == ["1", "1", "긍정"]
    with pytest.raises(DataError) as caught:
        texts(records, "reveiw")
    assert code_and_line(caught) == ("D026", 1, "reveiw")
    assert 'did you mean "review"' in (caught.value.help or "")


def test_one_label_and_one_label_a_row() -> None:
    with pytest.raises(DataError, match='every row has the label "a"') as caught:
        check_labels(table([("x", "a"), ("y", "a "), ("z", "a")]), "label")
    assert code_and_line(caught) == ("D041", 2, "label")
    with pytest.raises(DataError, match="label of its own") as caught:
        check_labels(table([("x", "a"), ("y", "b"), ("z", "c")]), "label")
    assert code_and_line(caught) == ("D042", 2, "label")
    with pytest.raises(DataError, match="1,500 labels in 2,000 rows"):
        check_labels(table([("x", number % 1500) for number in range(2000)]), "label")
    check_labels(table([("x", "a"), ("y", "b"), ("z", "a")]), "label")


def test_empty_texts_and_missing_labels() -> None:
    good: list[tuple[object, object]] = [("가", "a"), ("나", "b")]
    bad_text = table([*good, ("", "a"), (None, "b"), (" \t", "a"), *[("", "a")] * 6])
    with pytest.raises(DataError, match=r"in 9 rows of 11: lines 4, 5, 6, 7, 8 \.\.\.") as caught:
        complete(bad_text, "review", "label")
    assert code_and_line(caught) == ("D043", 4, "review")
    bad_label = table([*good, ("다", ""), ("라", "a")])
    with pytest.raises(DataError, match="in 1 row of 4: line 4") as caught:
        complete(bad_label, "review", "label")
    assert code_and_line(caught) == ("D044", 4, "label")
    with pytest.raises(DataError) as caught:
        labels(bad_label, "label")
    assert code_and_line(caught) == ("D044", 4, "label")
    assert complete(bad_label, "review") is bad_label  # nobody asked for labels


def test_rows_without_text_or_label_can_be_left_out() -> None:
    records = table([("가", "a"), ("", "b"), ("나", None), ("", ""), ("다", float("nan")), ("라", "b")])
    kept = complete(records, "review", "label", bad_rows="skip")
    assert kept.columns == {"review": ["가", "라"], "label": ["a", "b"]}
    assert kept.lines == [2, 7]
    assert [(reject.line, reject.code) for reject in kept.rejects] == [
        (3, "D043"),
        (4, "D044"),
        (5, "D043"),
        (6, "D044"),
    ]
    assert "4 rows" in kept.notes[-1]
    with pytest.raises(DataError) as caught:
        complete(table([("", "a"), ("x", "")]), "review", "label", bad_rows="skip")
    assert caught.value.code == "D011"


def test_labels_that_training_did_not_see() -> None:
    records = table([("가", "good"), ("나", "bad"), ("다", "godo")])
    require_known_labels(records, "label", ["bad", "godo", "good"])
    with pytest.raises(DataError, match='"godo"') as caught:
        require_known_labels(records, "label", ["bad", "good"])
    assert code_and_line(caught) == ("D045", 4, "label")
    assert 'did you mean "good"' in (caught.value.help or "")


def test_hangul_share() -> None:
    assert hangul_share([]) == 0
    assert hangul_share(["", " \n"]) == 0
    assert hangul_share(["가 나", "ab"]) == 0.5
    assert hangul_share(["ㅋㅋㅋ!"]) == 0.75
    assert hangul_share([unicodedata.normalize("NFD", "각")]) == 1
    assert hangul_share(["漢字", "かな"]) == 0
    assert hangul_share(["가"] * 10_000 + ["x"] * 10_000) == 0.5
