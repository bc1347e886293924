"""Tab-separated values: a header, one record a line, and quotes that are plain text."""

from __future__ import annotations

from pathlib import Path

from seqloom.data.files import read_checked_text, write_bytes
from seqloom.data.formats.base import Format, Table, lines_of
from seqloom.data.records import Records
from seqloom.errors import DataError

__all__ = ["PART", "TsvFormat", "from_text"]


class TsvFormat(Format):
    """A value holds no tab and no line end; nothing is quoted or escaped."""

    extensions = (".tsv", ".tab")

    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        return from_text(*read_checked_text(path, encoding), path, bad_rows=bad_rows)

    def write(self, path: Path, records: Records) -> None:
        rows = [list(records.columns), *zip(*records.columns.values(), strict=True)]
        for line, row in enumerate(rows, 1):
            for name, value in zip(records.columns, row, strict=True):
                if set("\t\n\r").intersection(str(value)) or not any(row):
                    raise DataError(
                        "a tab, a line end or a row of empty values cannot be written into a tsv file",
                        code="D031",
                        file=path,
                        line=line,
                        column=name,
                        help="write csv or jsonl",
                    )
        text = "".join("\t".join("" if value is None else str(value) for value in row) + "\n" for row in rows)
        write_bytes(path, text.encode("utf-8"))


def from_text(text: str, notes: list[str], path: Path, *, bad_rows: str) -> Records:
    """The records of a text whose columns are separated by tabs."""
    lines = lines_of(text)
    while len(lines) > 1 and not lines[-1]:
        lines.pop()  # empty lines at the end of a file say nothing
    table = Table(path, lines, bad_rows=bad_rows)
    table.set_header(lines[0].split("\t"))
    if len(table.header) == 1 and any(separator in lines[0] for separator in ",;|"):
        notes = [*notes, f'one column, "{lines[0]}": there is no tab in the header; is this a csv file?']
    for index in range(1, len(lines)):
        table.add(lines[index].split("\t"), index, index + 1)
    return table.records(notes, "tsv")


PART = TsvFormat()
