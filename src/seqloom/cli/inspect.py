"""``seqloom inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqloom.cli.output import note, print_json, print_table, spell

if TYPE_CHECKING:
    from seqloom.data.columns import Column
    from seqloom.data.inspect import Inspection

HEADING = 13
"""Characters of the headings, as training has them."""
CHARACTERS = 40
"""As much of a text as a line shows."""


def inspect(
    file: Path,
    /,
    *,
    text: str | None = None,
    label: str | None = None,
    encoding: str = "utf-8",
    bad_rows: Literal["error", "skip"] = "error",
    json: bool = False,
) -> None:
    """Show what a file holds, which task fits it, and what is wrong with it.

        $ seqloom inspect reviews.csv

    Args:
        file: csv, tsv, jsonl, parquet or txt, each also with .gz behind it.
        text: Column that holds the text; found by itself when not given.
        label: Column that holds the label; found by itself when not given.
        encoding: Text encoding of the file.
        bad_rows: What a broken row does: stop with an error, or be left out and counted.
        json: Print all that was found as JSON.
    """
    from seqloom.data.inspect import inspect as look

    seen = look(file, text=text, label=label, encoding=encoding, bad_rows=bad_rows)
    if json:
        print_json(seen.to_dict())
        return
    _say(file.name, seen.lines())
    print()
    print_table([_row(column) for column in seen.columns])
    _say_conflicts(seen)
    if seen.task:
        note(f"\n{'next':<{HEADING}} seqloom train {file} --budget 10m")


def _say(heading: str, lines: list[str]) -> None:
    from rich.cells import cell_len

    for line in lines:
        print(f"{heading}{' ' * (HEADING - cell_len(heading))} {line}")
        heading = ""


def _row(column: Column) -> dict[str, Any]:
    return {
        "column": column.name,
        "kind": column.kind,
        "different": column.distinct,
        "missing": column.missing,
        "characters": f"{spell(column.characters[0])}, at most {spell(column.characters[1])}",
        "words": f"{spell(column.words[0])}, at most {spell(column.words[1])}",
        "most frequent": "   ".join(f"{_short(value)} {share:.1%}" for value, share in column.top[:3] if share >= 0.01),
    }


def _say_conflicts(seen: Inspection) -> None:
    if not seen.conflicts:
        return
    from seqloom.data.formats.base import listed

    print(f"\ntexts with two labels or more: {seen.conflicting:,}")
    for conflict in seen.conflicts:
        print(f"  line {listed(conflict.lines)}: {' and '.join(conflict.labels)}: {_short(conflict.text)}")


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"
