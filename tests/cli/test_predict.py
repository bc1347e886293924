from __future__ import annotations

import io
import os

import pytest

from seqloom.cli.predict import _as_they_come, _flat, _print_csv, _text
from seqloom.errors import DataError


def test_whole_lines_are_given_as_soon_as_they_are_there():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        lines = _as_they_come(stream)
        os.write(writer, "one\n두".encode())
        assert next(lines) == [b"one"]
        os.write(writer, " 줄\nthree\n\nfo".encode())
        assert next(lines) == ["두 줄".encode(), b"three", b""]
        os.write(writer, b"ur")
        os.close(writer)
        assert list(lines) == [[b"four"]]


def test_no_lines_at_all():
    assert list(_as_they_come(io.BytesIO(b""))) == []


def test_a_character_cut_between_two_reads_is_whole_again():
    class Slow(io.BytesIO):
        def read1(self, size: int = -1) -> bytes:
            return super().read1(1)

    assert list(_as_they_come(Slow("한\n글\n".encode()))) == [["한".encode()], ["글".encode()]]


def test_a_line_of_another_encoding_names_its_byte():
    with pytest.raises(DataError) as caught:
        _text("ab좋다".encode("cp949"), 7)
    assert (caught.value.line, caught.value.column) == (7, 3)


def test_each_probability_has_a_column_and_what_varies_is_json():
    assert _flat({"line": 3, "label": "가", "probabilities": {"가": 0.75, "나": 0.25}}) == {
        "line": 3,
        "label": "가",
        "probability 가": 0.75,
        "probability 나": 0.25,
    }
    assert _flat({"loss": None, "next": {"a": 0.5}}) == {"loss": None, "next": '{"a": 0.5}'}


def test_csv_quotes_what_needs_it_and_keeps_the_first_header(capsys):
    _print_csv([{"line": 1, "label": 'a "b", c'}, {"label": "d\ne", "line": 2}, {"line": 3}])
    assert capsys.readouterr().out == 'line,label\n1,"a ""b"", c"\n2,"d\ne"\n3,\n'
