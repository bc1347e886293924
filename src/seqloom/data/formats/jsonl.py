"""JSON lines: one JSON object a line, all with the same keys; values keep their types."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from seqloom.data.files import read_checked_text, write_bytes
from seqloom.data.formats.base import Format, Table, lines_of
from seqloom.data.records import Records
from seqloom.errors import DataError, nearest

__all__ = ["PART", "JsonlFormat"]


class JsonlFormat(Format):
    """The first object's keys are the columns. Lists and objects inside become their JSON text, and a note says so.

    Source: RFC 8259, so NaN and Infinity are refused and a key may come once.
    """

    extensions = (".jsonl", ".ndjson")

    def read(self, path: Path, *, encoding: str = "utf-8", bad_rows: str = "error") -> Records:
        text, notes = read_checked_text(path, encoding)
        lines = lines_of(text)
        while len(lines) > 1 and not lines[-1].strip():
            lines.pop()
        table = Table(path, lines, bad_rows=bad_rows)
        nested: set[str] = set()
        for index, line in enumerate(lines):
            try:
                record = _parsed(line, path, index + 1)
                if not table.header:
                    table.set_header(list(record), line=index + 1)
                values = _values(record, table.header, path, index + 1)
            except DataError as error:
                table.reject(error, index, index + 1)
                continue
            for position, value in enumerate(values):
                if isinstance(value, (list, dict)):
                    nested.add(table.header[position])
                    values[position] = json.dumps(value, ensure_ascii=False)
            table.keep(values, index)
        notes += [f'column "{name}" holds lists or objects, kept as their JSON text' for name in sorted(nested)]
        return table.records(notes, "jsonl")

    def write(self, path: Path, records: Records) -> None:
        names = list(records.columns)
        rows = zip(*records.columns.values(), strict=True)
        lines = [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False) for row in rows]
        write_bytes(path, "".join(line + "\n" for line in lines).encode("utf-8"))


def _parsed(line: str, path: Path, number: int) -> dict[str, Any]:
    """One line as an object, or what is wrong with it."""
    if not line.strip():
        raise DataError(
            "an empty line", code="D025", file=path, line=number, column=1, help="delete it, or pass --bad-rows skip"
        )
    try:
        record = json.loads(line, object_pairs_hook=_object, parse_constant=_constant)
        if "\\ud" in line.lower():
            json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        reason, column = "half of a surrogate pair (\\ud800 to \\udfff) stands alone", line.lower().find("\\ud") + 1
    except json.JSONDecodeError as error:
        reason, column = error.msg, error.colno
    except (ValueError, RecursionError) as error:
        reason, column = str(error), 1
    else:
        if isinstance(record, dict):
            return record
        kind = {list: "a list", str: "a string", type(None): "null", bool: "true or false"}.get(
            type(record), "a number"
        )
        raise DataError(
            f"the line holds {kind}, not a JSON object",
            code="D028",
            file=path,
            line=number,
            column=1,
            help='write one object a line: {"text": "...", "label": "..."}',
        )
    whole = " (a JSON file of one list must become one object a line)" if number == 1 and line.strip() in "[{" else ""
    raise DataError(
        f"not valid JSON: {reason}",
        code="D027",
        file=path,
        line=number,
        column=column,
        help=f"fix the line, or pass --bad-rows skip{whole}",
    )


def _values(record: dict[str, Any], header: list[str], path: Path, number: int) -> list[Any]:
    """The values in the order of the columns; every line has the keys of the first one."""
    if record.keys() == set(header):
        return [record[name] for name in header]
    missing = [name for name in header if name not in record]
    added = [name for name in record if name not in header]
    name = (missing or added)[0]
    what = f'lacks the key "{name}"' if missing else f'has the key "{name}"'
    raise DataError(
        f"the object {what}, unlike the first one",
        code="D029",
        file=path,
        line=number,
        column=name,
        help=(nearest(name, record) if missing else nearest(name, header)) + "; write null where there is no value",
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for position, name in enumerate(names) if name in names[:position])
        raise ValueError(f'the key "{twice}" comes twice')
    return record


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a value of JSON")


PART = JsonlFormat()
