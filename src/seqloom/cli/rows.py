"""Rows of a table as they come through a pipe: csv with a header, or a JSON object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

from seqloom.errors import DataError

__all__ = ["rows_as_they_come"]

FILE = "standard input"


def rows_as_they_come(stream: IO[bytes], headless: str | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each row with the number of its line, as soon as that has ended.

    Args:
        stream: what is read, line by line.
        headless: the one column of a stream without a header, if it may have none.

    Raises:
        DataError: a line is not UTF-8 or no JSON object, or a row has more or fewer values than the header.
    """
    lines = _lines(stream)
    begin, first = next(((number, line) for number, line in enumerate(lines, start=1) if line.strip()), (0, ""))
    if not first:
        return
    if first.lstrip().startswith("{"):
        yield begin, _object(first, begin)
        for number, line in enumerate(lines, start=begin + 1):
            if line.strip():
                yield number, _object(line, number)
        return
    separator = next((mark for mark in ("\t", ";", "|") if mark in first and "," not in first), ",")
    if "\r" in first.rstrip("\r\n"):
        raise DataError(
            "the rows end with carriage returns alone",
            code="D020",
            file=FILE,
            line=begin,
            help="end each row with a line feed: tr '\\r' '\\n'",
        )
    header = next(csv.reader([first], delimiter=separator))
    if headless is not None and _is_number(first):
        yield begin, {headless: first.strip()}
        header = [headless]
    reader = csv.reader(lines, delimiter=separator)
    try:
        for row in reader:
            if row:
                yield begin + reader.line_num, _named(header, row, begin + reader.line_num)
    except csv.Error as error:
        raise DataError(
            f"the row cannot be read: {error}",
            code="D020",
            file=FILE,
            line=begin + reader.line_num,
            help="end each row with a line feed, and close the quotes",
        ) from None


def _lines(stream: IO[bytes]) -> Iterator[str]:
    for number, line in enumerate(iter(stream.readline, b""), start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte 0x{line[error.start]:02x} is not UTF-8",
                code="D008",
                file=FILE,
                line=number,
                column=error.start + 1,
                help="convert the rows: iconv -f ENCODING -t utf-8",
            ) from None


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise DataError(
            f"the line is not JSON: {error}", code="D027", file=FILE, line=number, help="give one JSON object a line"
        ) from None
    if not isinstance(found, dict):
        raise DataError(
            "the line is not a JSON object", code="D028", file=FILE, line=number, help='write {"column": value, ...}'
        )
    return found


def _named(header: Sequence[str], row: Sequence[str], number: int) -> dict[str, Any]:
    if len(row) != len(header):
        raise DataError(
            f"the row has {len(row)} values, and the header has {len(header)} columns",
            code="D020",
            file=FILE,
            line=number,
            help="fix the row; the first line names the columns",
        )
    return dict(zip((name.strip() for name in header), row, strict=True))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
