"""How results are printed: JSON for programs, tables for people; remarks go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["note", "print_json", "print_table", "spell"]


def note(text: str) -> None:
    """Says something that is not a result."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Prints a value as JSON; what JSON has no word for (NaN, infinity) is null."""
    print(json.dumps(_plain(value), ensure_ascii=False, indent=indent, allow_nan=False), flush=indent is None)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Prints rows of values below their names, numbers to the right.

    Args:
        rows: one mapping of name to value a row; a name that a row lacks is left empty.
        columns: the names to show, in order; all names of all rows when not given.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        values = [row.get(name) for row in rows]
        numbers = all(isinstance(value, int | float) for value in values if value is not None)
        table.add_column(Text(name.replace("_", " ")), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(spell(row.get(name))) for name in columns))
    # What reads a pipe or a file has no edge to wrap at.
    console = Console(width=None if sys.stdout.isatty() else 1000, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def spell(value: Any) -> str:
    """A value as a person reads it.

    >>> spell(0.89642), spell(8300000), spell(None)
    ('0.8964', '8,300,000', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) >= 1e-4 or value == 0 else f"{value:.2e}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(_plain(value), ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | None) else str(value)
