"""Reads a user's file: the name's ending chooses the format, and the content is held against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from seqloom.data.encoding import check_codec
from seqloom.data.files import extension, read_bytes, read_checked_text
from seqloom.data.formats import tsv, txt
from seqloom.data.formats.base import Format, lines_of
from seqloom.data.records import Records
from seqloom.errors import DataError, SettingError, nearest
from seqloom.parts import names, part

__all__ = ["format_of", "read", "read_text", "require"]

BAD_ROWS = ("error", "skip")
FIRST_LINES = 20


def read(path: str | Path, *, encoding: str = "utf-8", bad_rows: str = "error", columns: Sequence[str] = ()) -> Records:
    """The records of a csv, tsv, jsonl, parquet or txt file, each also with ``.gz`` behind its name.

    A .txt file whose first lines hold the same number of tabs, at least one, is a table; a note says so.

    Args:
        encoding: any text codec of Python.
        bad_rows: ``"error"``, or ``"skip"`` to leave bad rows out and list them in ``Records.rejects``.
        columns: names of columns that must be there.

    Raises:
        DataError: the file or a row of it cannot be read; says file, line, column and what to do.
        SettingError: there is no such encoding, or ``bad_rows`` is neither.
    """
    if bad_rows not in BAD_ROWS:
        raise SettingError(f'bad_rows "{bad_rows}" is neither error nor skip', help=nearest(bad_rows, BAD_ROWS))
    check_codec(encoding)
    file = Path(path)
    name, chosen = format_of(file)
    if name == "txt":
        records = _text_or_table(file, encoding, bad_rows)
    else:
        records = chosen.read(file, encoding=encoding, bad_rows=bad_rows)
    records = replace(records, file=str(path))
    require(records, columns)
    return records


def read_text(path: str | Path, *, encoding: str = "utf-8") -> str:
    r"""The whole of a plain text file, whatever its name ends in; line ends ``\r\n`` become ``\n``.

    Raises:
        DataError: the file cannot be opened, is empty, or is not text in this encoding.
        SettingError: there is no such encoding.
    """
    text, _ = read_checked_text(Path(path), encoding)
    return text.replace("\r\n", "\n")


def require(records: Records, columns: Sequence[str]) -> None:
    """Checks that columns are there.

    Raises:
        DataError: one is not; names the nearest one.
    """
    for name in columns:
        if name not in records.columns:
            raise DataError(
                f'there is no column "{name}"',
                code="D026",
                file=records.file,
                line=1,
                column=name,
                help=nearest(name, records.columns),
            )


def format_of(path: Path) -> tuple[str, Format]:
    """The name of the format that a file's ending stands for, and the format.

    Raises:
        DataError: no format has this ending, or there is no such file.
    """
    known: dict[str, str] = {}
    for name in names("formats"):
        format: Format = part("formats", name)
        for ending in format.extensions:
            if ending == extension(path):
                return name, format
            known[ending] = name
    read_bytes(path)  # that a file is not there, or is a folder, is said before its ending is found strange
    given = f'the ending "{extension(path)}"' if extension(path) else "a name without an ending"
    raise DataError(
        f"{given} is of no known format",
        code="D004",
        file=path,
        help=f"{nearest(extension(path), known)}; each also with .gz behind it",
    )


def _text_or_table(path: Path, encoding: str, bad_rows: str) -> Records:
    text, notes = read_checked_text(path, encoding)
    if _is_table(lines_of(text)):
        notes = [*notes, "its lines hold equally many tabs: read as a tab-separated table"]
        return tsv.from_text(text, notes, path, bad_rows=bad_rows)
    return txt.from_text(text, notes, path)


def _is_table(lines: list[str]) -> bool:
    """Whether the first line is a header of columns separated by tabs, to which most of the next lines hold.

    Most, not all, so that a ragged row is told and not taken for plain text. Tagged tokens are no table: they have a
    tab in each line, but empty lines between sentences.
    """
    tabs = lines[0].count("\t")
    first = lines[:FIRST_LINES]
    alike = sum(line.count("\t") == tabs for line in first)
    empty_inside = sum(not line for line in lines[:-1])
    return tabs > 0 and not lines[0].startswith("\t") and alike > len(first) / 2 and empty_inside < 2
