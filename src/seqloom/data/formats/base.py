"""What a format is, the codes of every data error, and what all tables have in common.

A code never changes its meaning and is never used again for another one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from seqloom.data.records import Records, Reject
from seqloom.errors import DataError

__all__ = ["CODES", "Format", "Table", "counted", "lines_of", "listed"]

CODES = {
    # the file
    "D001": "the file does not exist",
    "D002": "a folder was given where a file is needed",
    "D003": "the file may not be read: no permission",
    "D004": "the name's ending is of no known format",
    "D005": "the file is empty",
    "D006": "a .gz file is cut off",
    "D007": "a .gz file is damaged, or is not gzip",
    "D008": "a byte does not fit the encoding",
    "D009": "a NUL byte in text",
    "D010": "the machine could not read the file",
    "D011": "no records: only a header, or every row was left out",
    "D012": "a value is not a number",
    "D014": "the content is of another kind than the name says",
    "D015": "lines end in CR alone, or a lone CR outside quotes",
    # tables
    "D020": "a row has more or fewer values than the header has columns",
    "D021": "quotes do not balance",
    "D022": "a column has no name",
    "D023": "two columns have the same name",
    "D024": "the header is repeated among the rows",
    "D025": "an empty row among the others",
    "D026": "a column that was asked for is not there",
    "D027": "a line is not valid JSON",
    "D028": "a line of JSON is not an object",
    "D029": "a JSON object has other keys than the first one",
    "D030": "a parquet file is broken",
    "D031": "a value cannot be written in this format",
    # what a task needs of the columns
    "D040": "no column was found for what the task needs",
    "D041": "the label column holds a single value",
    "D042": "nearly every record has a label of its own",
    "D043": "the text is empty in some rows",
    "D044": "the label is missing in some rows",
    "D045": "a label that training did not see",
    "D046": "the text is too short",
    # series of numbers
    "D050": "a value is not a time",
    "D051": "times are written in more than one way",
    "D052": "time stamps are out of order",
    "D053": "a time stamp occurs twice",
    "D054": "time stamps are missing: a gap",
    "D055": "time stamps are not at equal steps",
    "D056": "values are missing",
    "D057": "a value is infinite",
    "D058": "a series is too short",
    "D059": "a value that the transform cannot take",
    "D060": "a category that training did not see",
}
"""Each code and what it says."""


class Format(ABC):
    """One way to write records into a file. A part's file says ``PART = CsvFormat()``."""

    extensions: ClassVar[tuple[str, ...]]
    """The endings of the names of its files, with the dot; each may be followed by ``.gz``."""

    @abstractmethod
    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        """The records of a file.

        Args:
            encoding: any text codec of Python.
            bad_rows: ``"error"``, or ``"skip"`` to leave bad rows out and list them in ``rejects``.

        Raises:
            DataError: what is wrong, with its place.
            SettingError: there is no such encoding.
        """

    @abstractmethod
    def write(self, path: Path, records: Records) -> None:
        """Writes records so that ``read`` gives their columns back.

        Raises:
            DataError: a value cannot be written in this format.
        """


class Table:
    """Gathers the rows of a table; a bad one is raised, or left out and listed.

    Rows are named by the lines that hold them: from index ``begin``, which is line ``begin + 1``, up to ``end``.
    """

    def __init__(self, file: str | Path, source: list[str], *, bad_rows: str) -> None:
        self.file = str(file)
        self.source = source
        self.skip = bad_rows == "skip"
        self.header: list[str] = []
        self.values: list[Any] = []
        self.lines: list[int] = []
        self.rejects: list[Reject] = []

    def set_header(self, names: Sequence[str], *, line: int = 1) -> None:
        """Takes the names of the columns, each of which must be there once."""
        shown = ", ".join(names)
        for position, name in enumerate(names, 1):
            if not name.strip():
                raise DataError(
                    f"column {position} of {len(names)} has no name; the header is {shown!r}",
                    code="D022",
                    file=self.file,
                    line=line,
                    column=name,
                    help="name it in the first line (pandas leaves its index without a name: to_csv(index=False))",
                )
            if name in names[: position - 1]:
                raise DataError(
                    f'columns {list(names).index(name) + 1} and {position} are both named "{name}"',
                    code="D023",
                    file=self.file,
                    line=line,
                    column=name,
                    help="give each column a name of its own",
                )
        self.header = list(names)

    def add(self, values: Sequence[Any], begin: int, end: int) -> None:
        """Takes one row of strings. A row of nothing but quotes around nothing is meant: it is not an empty row."""
        if not any(values) and '"' not in self.raw(begin, end):
            self.reject(self._empty(begin + 1), begin, end)
        elif len(values) != len(self.header):
            self.reject(self._ragged(values, begin + 1), begin, end)
        elif len(values) > 1 and list(values) == self.header:
            self.reject(self._repeated(begin + 1), begin, end)
        else:
            self.keep(values, begin)

    def keep(self, values: Sequence[Any], begin: int) -> None:
        """Takes one row that is known to be good."""
        self.values.extend(values)  # no list a row is kept: Python would look through all of them again and again
        self.lines.append(begin + 1)

    def reject(self, error: DataError, begin: int, end: int) -> None:
        """Raises the error, or with ``bad_rows="skip"`` lists the row and goes on."""
        if not self.skip:
            raise error
        self.rejects.append(Reject(begin + 1, error.code, error.message, self.raw(begin, end)))

    def raw(self, begin: int, end: int) -> str:
        """A row as the file has it."""
        return "\n".join(self.source[begin:end]).rstrip("\r")

    def records(self, notes: Sequence[str], format: str) -> Records:
        """All rows as records, of which there must be at least one."""
        if not self.lines:
            left_out = f": all {len(self.rejects):,} rows were left out" if self.rejects else ", only a header"
            raise DataError(
                f"the file has no records{left_out}",
                code="D011",
                file=self.file,
                line=1,
                help=f"the first: {self.rejects[0].message}" if self.rejects else "add rows below the header",
            )
        columns = {name: self.values[place :: len(self.header)] for place, name in enumerate(self.header)}
        if self.rejects:
            first = self.rejects[0]
            notes = [*notes, f"{counted(len(self.rejects), 'row')} left out, the first at line {first.line}"]
        return Records(self.file, columns, self.lines, tuple(notes), tuple(self.rejects), format)

    def _ragged(self, values: Sequence[Any], line: int) -> DataError:
        few = len(values) < len(self.header)
        help = "fix the row, or pass --bad-rows skip (skipped rows are written to RUN/rejects.jsonl)"
        if not few and not self.lines and not self.rejects:
            help = "if every row has as many, the header lacks a name; " + help
        elif not few:
            help = "a value that holds a separator needs quotes around it; " + help
        return DataError(
            f"the row has {counted(len(values), 'value')}, the header has {counted(len(self.header), 'column')}",
            code="D020",
            file=self.file,
            line=line,
            column=self.header[len(values)] if few else self.header[-1],
            help=help,
        )

    def _empty(self, line: int) -> DataError:
        return DataError(
            "an empty row",
            code="D025",
            file=self.file,
            line=line,
            column=self.header[0],
            help="delete the row, or pass --bad-rows skip (tables of tagged tokens have empty lines: "
            "give such a file the ending .txt)",
        )

    def _repeated(self, line: int) -> DataError:
        return DataError(
            "the header is repeated here; were several files joined?",
            code="D024",
            file=self.file,
            line=line,
            column=self.header[0],
            help="delete this line, or pass --bad-rows skip",
        )


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, which end in ``\n`` or ``\r\n`` and in nothing else.

    ``str.splitlines`` would also cut at U+0085 and U+2028, which texts of users hold.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def counted(number: int, noun: str) -> str:
    """``1 value``, ``2 values``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(items: Sequence[Any], most: int = 5) -> str:
    """The first few items, and that there are more: ``3, 7, 9 ...``."""
    return ", ".join(str(item) for item in items[:most]) + (" ..." if len(items) > most else "")
