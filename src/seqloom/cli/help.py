"""How ``--help`` looks: two columns, wrapped to the terminal, no boxes."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

__all__ = ["Help"]

WIDEST = 110
"""Longer lines than this are hard to read."""
COLUMN = 30
"""Most characters of the left column; a longer name gets a line of its own."""


class Help:
    """The formatter that cyclopts calls for each piece of a help page."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        _say(console, f"Usage: {usage}".strip(), style="bold")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        # The arguments that a docstring lists are shown as panels.
        text = str(getattr(description, "primary_renderable", description)).strip()
        for paragraph in text.split("\n\n"):
            _say(console, "")
            lines = [line.strip() for line in paragraph.split("\n")]
            if lines[0].startswith("$ "):  # commands to copy are never wrapped
                _say(console, textwrap.indent("\n".join(lines), "    "))
            else:
                _say(console, textwrap.fill(paragraph, _width(console)))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if not panel.entries:
            return
        _say(console, "")
        _say(console, str(panel.title), style="bold")
        names = [_name(entry) for entry in panel.entries]
        column = min(COLUMN, max(len(name) for name in names))
        for name, entry in zip(names, panel.entries, strict=True):
            lines = textwrap.wrap(_text(entry), _width(console) - column - 4, break_on_hyphens=False)
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
