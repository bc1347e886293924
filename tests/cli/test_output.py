from __future__ import annotations

import json

import pytest

from seqloom.cli.output import print_json, print_table, spell


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (8_300_000, "8,300,000"),
        (0.89642, "0.8964"),
        (0.0, "0"),
        (1.5e-7, "1.50e-07"),
        (-2.5, "-2.5"),
        ("영화", "영화"),
        ({"가": float("nan")}, '{"가": null}'),
    ],
)
def test_spell(value, text):
    assert spell(value) == text


def test_json_has_no_nan_and_keeps_hangul(capsys):
    print_json({"loss": float("nan"), "text": "좋다", "rows": [(1, float("inf"))]})
    text = capsys.readouterr().out
    assert "좋다" in text
    assert json.loads(text) == {"loss": None, "text": "좋다", "rows": [[1, None]]}


def test_a_line_of_json_is_one_line(capsys):
    print_json({"text": "a\nb"}, indent=None)
    assert capsys.readouterr().out == '{"text": "a\\nb"}\n'


def test_table_aligns_numbers_right_and_wide_characters_by_their_width(capsys):
    print_table([{"name": "영화", "value": 5}, {"name": "film", "value": 12345}, {"name": "[b]", "other": "x"}])
    assert capsys.readouterr().out.split("\n") == [
        "name   value  other",
        "영화       5",
        "film  12,345",
        "[b]           x",
        "",
    ]


def test_a_wide_table_in_a_pipe_is_not_cut(capsys):
    print_table([{"a": "x" * 300, "b": "y" * 300}])
    assert ("x" * 300 + "  " + "y" * 300) in capsys.readouterr().out
