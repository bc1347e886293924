"""The errors seqloom raises on purpose, and the exit status of each.

    Exception
    └── SeqloomError                 1   a fault of ours, said clearly
        ├── SettingError             2   a setting that is unknown, out of range, or of the wrong type
        ├── DataError                3   the user's file: says file, line, column and a code
        ├── RunError                 4   a run folder that is missing, incomplete, changed or in the way
        └── ShapeError (ValueError)  1   an array with another shape, type or device than agreed

A message says what was given, what is allowed, and (as ``help``) what to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = ["DataError", "RunError", "SeqloomError", "SettingError", "ShapeError", "nearest"]


class SeqloomError(Exception):
    """The root of the tree. ``str(error)`` is the whole text that a user reads."""

    exit_status = 1

    def __init__(self, message: str, *, help: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help

    def __str__(self) -> str:
        lines = [f"error: {self.message}"]
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


class SettingError(SeqloomError):
    """A setting is unknown, out of range, or contradicts another one."""

    exit_status = 2


class DataError(SeqloomError):
    """The user's file cannot be used as it is.

    ``code`` is stable (``D012``), ``line`` counts from 1 as an editor does, ``column`` is the name of a table's column
    or the position of a byte or character in its line, counted from 1.
    """

    exit_status = 3

    def __init__(
        self,
        message: str,
        *,
        code: str,
        file: str | Path,
        line: int | None = None,
        column: str | int | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(message, help=help)
        self.code = code
        self.file = str(file)
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        if isinstance(self.column, int):
            place += f":{self.column}"
        elif self.column is not None:
            place += f'  column "{self.column}"'
        lines = [f"error[{self.code}]: {self.message}", f"  --> {place}"]
        if self.help:
            lines.append(f"  help: {self.help}")
        return "\n".join(lines)


class RunError(SeqloomError):
    """A run folder is missing, incomplete, damaged, made by a newer version, or in the way."""

    exit_status = 4


class ShapeError(SeqloomError, ValueError):
    """An array has another shape, type or device than the function agreed to take."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which known names there are, the nearest one first: ``did you mean "hidden"? ...``."""
    choices = sorted(known)
    close = get_close_matches(name, choices, n=1, cutoff=0.5)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}valid choices: {', '.join(choices)}"
