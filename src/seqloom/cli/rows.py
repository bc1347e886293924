"""Rows of a table as they come through a pipe: csv with a header, or a JSON object a line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from typing import IO, Any

from seqloom.errors import DataError

__all__ = ["rows_as_they_come"]

FILE = "standard input"


def rows_as_they_come(stream: IO[bytes], headless: str | None = None) -> Iterator[dict[str, Any]]:
    """Each row as soon as its line has ended.

    Args:
        stream: what is read, line by line.
        headless: the one column of a stream without a header, if it may have none.

    Raises:
        DataError: a line is not UTF-8 or no JSON object, or a row has more or fewer values than the header.
    """
    lines = _lines(stream)
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return
    if first.lstrip().startswith("{"):
        yield _object(first, 1)
        for number, line in enumerate(lines, start=2):
            if line.strip():
                yield _object(line, number)
        return
    separator = next((mark for mark in ("\t", ";", "|") if mark in first and "," not in first), ",")
    header = next(csv.reader([first], delimiter=separator))
    if headless is not None and _is_number(first):
        yield {headless: first.strip()}
        header = [headless]
    reader = csv.reader(lines, delimiter=separator)
    for row in reader:
        if row:
            yield _named(header, row, reader.line_num + 1)


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
