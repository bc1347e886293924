"""Parquet, the tables of data engineering; values keep their types, and rows stand for lines."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloom.data.files import read_bytes, write_bytes
from seqloom.data.formats.base import Format, Table
from seqloom.data.records import Records
from seqloom.errors import DataError

if TYPE_CHECKING:
    import polars

__all__ = ["PART", "ParquetFormat"]

MAGIC = b"PAR1"

DECODE = """
import io, sys
import polars
try:
    polars.read_parquet(io.BytesIO(sys.stdin.buffer.read()))
except BaseException as error:
    sys.exit((str(error).splitlines() or [type(error).__name__])[0])
"""


class ParquetFormat(Format):
    """Times become ISO 8601 text, lists and structs their JSON text; columns of raw bytes are left out, with a note."""

    extensions = (".parquet", ".pq")

    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        import polars

        data = read_bytes(path)
        _check_ends(data, path)
        _check_pages(data, path)
        frame = polars.read_parquet(io.BytesIO(data))
        table = Table(path, [], bad_rows=bad_rows)
        table.set_header(frame.columns)
        notes: list[str] = []
        columns = {}
        for name in frame.columns:
            values = _plain(frame[name], notes)
            if values is not None:
                columns[name] = values
        if not frame.height or not columns:
            return table.records(notes, "parquet")  # says that there are no records
        return Records(str(path), columns, list(range(1, frame.height + 1)), tuple(notes), (), "parquet")

    def write(self, path: Path, records: Records) -> None:
        import polars

        buffer = io.BytesIO()
        polars.DataFrame(records.columns).write_parquet(buffer)
        write_bytes(path, buffer.getvalue())


def _check_ends(data: bytes, path: Path) -> None:
    """A parquet file begins and ends with PAR1, before which stands the length of its table of contents."""
    length = int.from_bytes(data[-8:-4], "little")
    if not data.startswith(MAGIC):
        reason = "it does not begin with PAR1"
    elif not data.endswith(MAGIC):
        reason = "it does not end with PAR1: it was cut off"
    elif length + 12 > len(data):
        reason = "its table of contents is longer than the file"
    else:
        return
    raise _broken(path, reason)


def _check_pages(data: bytes, path: Path) -> None:
    """Decodes the file once in a process of its own, because damaged pages can abort the one that decodes them."""
    child = subprocess.run([sys.executable, "-P", "-c", DECODE], input=data, capture_output=True, check=False)
    if child.returncode == 1:
        raise _broken(path, child.stderr.decode("utf-8", "replace").strip().splitlines()[-1])
    if child.returncode:
        raise _broken(path, "its pages hold lengths that make no sense")


def _broken(path: Path, reason: str) -> DataError:
    return DataError(
        f"the parquet file is broken: {reason}", code="D030", file=path, line=1, help="export or download it again"
    )


def _plain(series: polars.Series, notes: list[str]) -> list[Any] | None:
    """The values of a column as str, int, float, bool or None; None for raw bytes."""
    import polars

    kind = series.dtype
    if kind == polars.Binary:
        notes.append(f'column "{series.name}" holds raw bytes and was left out')
        return None
    values: list[Any] = series.to_list()
    if kind in (polars.Date, polars.Datetime, polars.Time):
        return [None if value is None else value.isoformat() for value in values]
    if isinstance(kind, (polars.List, polars.Array, polars.Struct)):
        notes.append(f'column "{series.name}" holds lists or structs, kept as their JSON text')
        values = [value.to_list() if isinstance(value, polars.Series) else value for value in values]
        return [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    if kind.is_decimal() or kind == polars.Duration:
        return [None if value is None else str(value) for value in values]
    return values


PART = ParquetFormat()
