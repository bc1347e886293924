"""Plain text: one record a line, in the single column ``text``."""

from __future__ import annotations

from pathlib import Path

from seqloom.data.files import read_checked_text, write_bytes
from seqloom.data.formats.base import Format, lines_of
from seqloom.data.records import Records
from seqloom.errors import DataError

__all__ = ["PART", "TxtFormat", "from_text"]


class TxtFormat(Format):
    """Every line counts, empty ones too; there is no header and no bad row."""

    extensions = (".txt", ".text")

    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        return from_text(*read_checked_text(path, encoding), path)

    def write(self, path: Path, records: Records) -> None:
        if list(records.columns) != ["text"]:
            raise DataError(
                f"a txt file holds the one column text; given {', '.join(records.columns)}",
                code="D031",
                file=path,
                help="write csv or jsonl",
            )
        for number, value in enumerate(records.columns["text"], 1):
            if set("\n\r").intersection(value):
                raise DataError(
                    "a line end cannot be written into a line of a txt file",
                    code="D031",
                    file=path,
                    line=number,
                    column="text",
                    help="write csv or jsonl",
                )
        write_bytes(path, "".join(value + "\n" for value in records.columns["text"]).encode("utf-8"))


def from_text(text: str, notes: list[str], path: Path) -> Records:
    """The lines of a text as records."""
    lines = lines_of(text)
    return Records(str(path), {"text": lines}, list(range(1, len(lines) + 1)), tuple(notes), (), "txt")


PART = TxtFormat()
