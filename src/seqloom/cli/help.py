"""How ``--help`` looks: two columns, wrapped to the terminal, no boxes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

__all__ = ["Help", "print_panel", "print_paragraphs", "print_usage"]

WIDEST = 110
"""Longer lines than this are hard to read."""
COLUMN = 30
"""Most characters of the left column; a longer name gets a line of its own."""


class Help:
    """The formatter that cyclopts calls for each piece of a help page."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        print_usage(console, str(usage))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        # The arguments that a docstring lists are shown as panels.
        print_paragraphs(console, str(getattr(description, "primary_renderable", description)))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if panel.entries:
            print_panel(console, str(panel.title), [(_name(entry), _text(entry)) for entry in panel.entries])


def print_usage(console: Console, usage: str) -> None:
    """Prints how a command is called."""
    _say(console, f"Usage: {usage}".strip(), style="bold")


def print_paragraphs(console: Console, text: str) -> None:
    """Prints paragraphs with an empty line before each; one that begins with ``$`` holds commands to copy."""
    for paragraph in text.strip().split("\n\n"):
        _say(console, "")
        lines = [line.strip() for line in paragraph.split("\n")]
        if lines[0].startswith("$ "):  # commands to copy are never wrapped
            _say(console, textwrap.indent("\n".join(lines), "    "))
        else:
            _say(console, textwrap.fill(paragraph, _width(console)))


def print_panel(console: Console, title: str, rows: Sequence[tuple[str, str]]) -> None:
    """Prints a title and below it each name with its text to the right."""
    _say(console, "")
    _say(console, title, style="bold")
    column = min(COLUMN, max(len(name) for name, _ in rows))
    for name, text in rows:
        lines = textwrap.wrap(text, _width(console) - column - 4, break_on_hyphens=False)
        if len(name) > column:
            _say(console, f"  {name}")
            name = ""
        for line in lines or [""]:
            _say(console, f"  {name:<{column}}  {line}".rstrip())
            name = ""


def _name(entry: HelpEntry) -> str:
    if entry.positional_label:
        return entry.positional_label
    return " ".join([*entry.positive_names, *entry.positive_shorts, *([entry.metavar] if entry.metavar else [])])


def _text(entry: HelpEntry) -> str:
    text = str(getattr(entry.description, "primary_renderable", entry.description)).strip()
    if entry.default not in (None, "False"):  # a switch that is off needs no words
        text += f" [{entry.default}]"
    if entry.negative_names:
        text += f" (or {' '.join(entry.negative_names)})"
    return text


def _width(console: Console) -> int:
    return min(WIDEST, console.width)


def _say(console: Console, text: str, style: str | None = None) -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
