"""The commands there are, and the page that lists them, which is shown before the parser is imported."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["ABOUT", "COMMANDS", "OPTIONS", "documentation", "print_overview", "version"]

ABOUT = """Learn from anything that comes in order: a file in, a trained model, a verdict and a report out.

seqloom COMMAND --help tells all of a command. Begin with: seqloom demo"""

COMMANDS = {
    "inspect": "inspect",
    "train": "train",
    "resume": "train",
    "evaluate": "evaluate",
    "predict": "predict",
    "backtest": "backtest",
    "generate": "generate",
    "report": "runs",
    "compare": "runs",
    "recipe": "recipe",
    "parts": "parts",
    "bench": "bench",
    "demo": "demo",
}
"""Each command and the module of this package that holds the function of its name, in the order of the help."""

OPTIONS = {"--help -h": "This text.", "--version": "The version of seqloom."}
"""What may stand in place of a command."""


def print_overview() -> None:
    """Prints every command with its first line: the page of ``seqloom --help``."""
    from rich.console import Console

    from seqloom.cli.help import print_panel, print_paragraphs, print_usage

    console = Console()
    print_usage(console, "seqloom COMMAND")
    print_paragraphs(console, ABOUT)
    rows = [(name, documentation(module, name).split("\n\n")[0]) for name, module in COMMANDS.items()]
    print_panel(console, "Commands", [*rows, *OPTIONS.items()])


def documentation(module: str, function: str) -> str:
    """The docstring of a command, read without importing it."""
    tree = ast.parse((Path(__file__).parent / f"{module}.py").read_text("utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return ast.get_docstring(found) or ""


def version() -> str:
    """The version that is installed."""
    from importlib import metadata

    try:
        return metadata.version("seqloom")
    except metadata.PackageNotFoundError:
        return "unknown: seqloom runs from its source and is not installed"
