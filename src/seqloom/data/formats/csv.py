"""Comma-separated values as RFC 4180 has them; semicolons, tabs or bars instead of commas are seen and told."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from seqloom.data.files import read_checked_text, write_bytes
from seqloom.data.formats.base import Format, Table
from seqloom.data.records import Records
from seqloom.errors import DataError

__all__ = ["PART", "CsvFormat"]

SEPARATORS = {",": ",", ";": ";", "\t": "tab", "|": "|"}
"""Each separator and its name, in the order of preference."""


class CsvFormat(Format):
    """A header, then one record a row; a value in double quotes may hold separators, line ends and doubled quotes.

    Source: RFC 4180. A quote inside a value without quotes stands for itself, which the RFC leaves open.
    """

    extensions = (".csv",)

    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        text, notes = read_checked_text(path, encoding)
        separator = _separator(text)
        if separator != ",":
            notes.append(f'separator "{SEPARATORS[separator]}"')
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()
        while len(lines) > 1 and not lines[-1].strip("\r"):
            lines.pop()  # empty lines at the end of a file say nothing
        table = Table(path, lines, bad_rows=bad_rows)
        with _values_of_any_length():
            _fill(table, separator)
        return table.records(notes, "csv")

    def write(self, path: Path, records: Records) -> None:
        rows = [list(records.columns), *zip(*records.columns.values(), strict=True)]
        # the csv module of Python before 3.13 does not quote a lone CR, and a header must show which separator is used
        # when it is read, and a row of empty values must not look like an empty row
        risky = any(separator in name for name in records.columns for separator in SEPARATORS)
        risky = risky or any(not any(row) or any("\r" in str(value) for value in row) for row in rows)
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer, lineterminator="\n", quoting=csv.QUOTE_ALL if risky else csv.QUOTE_MINIMAL)
        writer.writerows(rows)
        write_bytes(path, buffer.getvalue().encode("utf-8"))


def _fill(table: Table, separator: str) -> None:
    """Parses all lines of the table's file.

    After a quote that was never closed, reading begins again one line below: the lines up to the place where it was
    noticed may be good rows. Those of them that hold a quote are left out too, since it may be the lost one.
    """
    doubtful = 0  # lines before this one may be the rest of a broken value
    for begin, end, row in _rows(table.source, separator):
        if isinstance(row, csv.Error):
            error = _broken(row, table, begin, end)
            if not table.header:
                raise error
            table.reject(error, begin, begin + 1)
            doubtful = max(doubtful, end)
        elif not table.header:
            table.set_header(row or [""], line=begin + 1)
        elif begin < doubtful and '"' in table.raw(begin, end):
            table.reject(_broken(csv.Error("the rest of a broken value"), table, begin, end), begin, end)
        else:
            table.add(row, begin, end)


def _rows(lines: list[str], separator: str) -> Iterator[tuple[int, int, Sequence[str] | csv.Error]]:
    """The first line of each row, the line after its last, and its values or what is wrong with it."""
    begin = 0
    while begin < len(lines):
        start = begin
        source = (lines[number] + "\n" for number in range(start, len(lines)))
        reader = csv.reader(source, delimiter=separator, strict=True)
        try:
            for row in reader:
                end = start + reader.line_num
                yield begin, end, row
                begin = end
        except csv.Error as error:
            yield begin, start + reader.line_num, error
            begin += 1


def _broken(error: csv.Error, table: Table, begin: int, end: int) -> DataError:
    """What the csv module found wrong with the row that begins at index ``begin``, said with its place."""
    reason, lines, file = str(error), table.source, table.file
    if reason.startswith("new-line character"):
        line = next(number for number in range(begin, end) if "\r" in lines[number].rstrip("\r"))
        return DataError(
            "a carriage return (CR, 0x0D) in the middle of a line, outside quotes",
            code="D015",
            file=file,
            line=line + 1,
            column=lines[line].index("\r") + 1,
            help="put the value in quotes, or save the file with the line ends of Unix or Windows; "
            "or pass --bad-rows skip",
        )
    if reason == "unexpected end of data":
        what = "a quote that opens in this row is never closed"
    elif end - begin > 1:
        what = f"quotes do not balance: the row runs on to line {end}, where text follows a closing quote"
    else:
        what = "quotes do not balance: text follows a closing quote"
    return DataError(
        what,
        code="D021",
        file=file,
        line=begin + 1,
        column=lines[begin].find('"') + 1,
        help='write a quote inside a quoted value twice (""), or pass --bad-rows skip',
    )


def _separator(text: str) -> str:
    """The separator that occurs most often in the header, outside quotes; a comma when there is none."""
    counts = dict.fromkeys(SEPARATORS, 0)
    quoted = False
    for character in text[:100_000]:
        if character == '"':
            quoted = not quoted
        elif character == "\n" and not quoted:
            break
        elif character in counts and not quoted:
            counts[character] += 1
    return max(counts, key=counts.__getitem__)


@contextmanager
def _values_of_any_length() -> Iterator[None]:
    """The csv module refuses values of more than 131,072 characters; a chapter of a book is longer."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


PART = CsvFormat()
