"""The records of a user's file, held by column, with where each came from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Records", "Reject"]


@dataclass(frozen=True)
class Reject:
    """A row that ``--bad-rows skip`` left out, and why."""

    line: int
    code: str
    message: str
    text: str
    """The row as the file has it."""

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Records:
    """What a file holds: one row of ``columns`` is one record, in the order of the file."""

    file: str
    """The file as the user named it."""
    columns: dict[str, list[Any]]
    """Name to values (str, int, float, bool or None), all of the same length."""
    lines: list[int]
    """The line of the file where each record begins, counted from 1; for parquet, which has no lines, the row."""
    notes: tuple[str, ...] = ()
    """What the reader saw and chose."""
    rejects: tuple[Reject, ...] = ()
    """Rows left out, with ``bad_rows="skip"``."""
    format: str = ""
    """The name of the format that read the file."""

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def is_text(self) -> bool:
        """Whether this is plain text: one record a line, in the single column ``text``."""
        return self.format == "txt"

    def take(self, indices: Iterable[int]) -> Records:
        """The records at ``indices``, in that order; notes and rejects stay with them."""
        kept = [int(index) for index in indices]
        columns = {name: [values[index] for index in kept] for name, values in self.columns.items()}
        return replace(self, columns=columns, lines=[self.lines[index] for index in kept])
