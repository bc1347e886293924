"""Names are files: a part is found by its file name, and nothing keeps a list.

``cells/gru.py`` is the cell ``gru``: the flag value, the test id and the name in error messages. A part's module says
``PART = GRUCell``. ``base.py`` and files that begin with an underscore are not parts. A recipe is a TOML file.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import Any

from seqloom.errors import SettingError, nearest

__all__ = ["KINDS", "describe", "names", "part"]

KINDS = {
    "cells": "cells",
    "forecasters": "models/forecasters",
    "formats": "data/formats",
    "recipes": "recipes",
    "tasks": "tasks",
    "tokenizers": "data/tokenizers",
}
"""Each kind of part and its folder in the package."""

ROOT = Path(__file__).parent


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of all parts of a kind, sorted.

    Raises:
        SettingError: there is no such kind.
    """
    if kind not in KINDS:
        raise SettingError(f'there is no kind of part "{kind}"', help=nearest(kind, KINDS))
    ending = ".toml" if kind == "recipes" else ".py"
    files = (ROOT / KINDS[kind]).glob(f"*{ending}")
    return tuple(sorted(file.stem.replace("_", "-") for file in files if file.stem != "base" and file.stem[0] != "_"))


def part(kind: str, name: str) -> Any:
    """The part itself: a class, or for a recipe the path of its file.

    Only a name that ``names`` lists is ever imported, so a name read from a file cannot reach another module.

    Raises:
        SettingError: there is no such part; names the nearest one.
    """
    if name not in names(kind):
        raise SettingError(f'"{name}" is not one of the {kind}', help=nearest(name, names(kind)))
    stem = name.replace("-", "_")
    if kind == "recipes":
        return next(file for file in (ROOT / KINDS[kind]).glob("*.toml") if file.stem.replace("_", "-") == name)
    return importlib.import_module(f"seqloom.{KINDS[kind].replace('/', '.')}.{stem}").PART


def describe(kind: str, name: str) -> str:
    """The first line of a part's documentation, read without importing it."""
    if kind == "recipes":
        for line in Path(part(kind, name)).read_text("utf-8").splitlines():
            if line.startswith("#"):
                return line.lstrip("# ")
        return ""
    source = ROOT / KINDS[kind] / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(source.read_text("utf-8"))) or "").split("\n")[0]
