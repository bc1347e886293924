"""The tree of errors: what a user reads, and the exit status of each."""

from __future__ import annotations

import pytest

from seqloom.errors import DataError, RunError, SeqloomError, SettingError, ShapeError, nearest


@pytest.mark.parametrize(
    ("kind", "status"), [(SeqloomError, 1), (SettingError, 2), (DataError, 3), (RunError, 4), (ShapeError, 1)]
)
def test_exit_status(kind, status):
    assert kind.exit_status == status
    assert issubclass(kind, SeqloomError)


def test_a_shape_error_is_a_value_error():
    with pytest.raises(ValueError, match="wrong"):
        raise ShapeError("wrong")


def test_a_message_with_help():
    assert str(SettingError("hidden must be at least 1; given 0")) == "error: hidden must be at least 1; given 0"
    text = str(RunError("runs/a is there already", help="choose another name, or pass --overwrite"))
    assert text == "error: runs/a is there already\n  help: choose another name, or pass --overwrite"


def test_a_data_error_names_the_place():
    error = DataError(
        'value "oops" is not a number',
        code="D012",
        file="sales.csv",
        line=5002,
        column="y",
        help="fix the row, or pass --bad-rows skip",
    )
    assert str(error) == (
        'error[D012]: value "oops" is not a number\n'
        '  --> sales.csv:5002  column "y"\n'
        "  help: fix the row, or pass --bad-rows skip"
    )
    assert (error.code, error.file, error.line, error.column) == ("D012", "sales.csv", 5002, "y")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "  --> 판매.csv"),
        ({"line": 7}, "  --> 판매.csv:7"),
        ({"line": 7, "column": 12}, "  --> 판매.csv:7:12"),
        ({"column": "y"}, '  --> 판매.csv  column "y"'),
    ],
)
def test_a_data_error_says_as_much_as_is_known(place, text):
    assert str(DataError("wrong", code="D001", file="판매.csv", **place)) == f"error[D001]: wrong\n{text}"


def test_the_nearest_name_comes_first():
    known = ["lstm", "gru", "elman"]
    assert nearest("grru", known) == 'did you mean "gru"? valid choices: elman, gru, lstm'
    assert nearest("transformer", known) == "valid choices: elman, gru, lstm"
