"""What all plots share: their colours, which a page can replace, their plain axes, and how they are written.

A page has each wide plot a second time, drawn narrow for a phone: shrunk to that width its words could not be read.

Figures are made with matplotlib's object-oriented API: no window, no pyplot, no state that outlives a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seqloom.report import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "is_narrow", "legend", "narrow", "new_figure", "plain", "stand_ins_for", "write"]

COLOURS = {
    "ink": "#22272f",
    "muted": "#6b7380",
    "grid": "#e3e6ea",
    "first": "#2f6fb7",
    "second": "#c2620e",
    "cell": "#1c5497",
    "on-cell": "#fefefe",
}
"""What each colour is for, by the name that the page's style sheet gives it."""

LABEL_LENGTH = 22  # characters of a label that fit beside a plot
NARROW = 4.2  # inches: about what a phone shows
LEGEND_LENGTH = 12  # characters of a name of which three fit beside each other there

_narrow: ContextVar[bool] = ContextVar("narrow", default=False)


@contextmanager
def narrow() -> Iterator[None]:
    """Within it plots are drawn for a phone."""
    before = _narrow.set(True)
    try:
        yield
    finally:
        _narrow.reset(before)


def is_narrow() -> bool:
    """Whether plots are drawn for a phone just now."""
    return _narrow.get()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches; a narrow one gets no wider than a phone, and room for a higher legend."""
    from matplotlib.figure import Figure

    if is_narrow():
        width, height = min(width, NARROW), height + 0.3
    # A Figure made so draws with Agg (or with the backend of the file it is saved to), whatever the user's settings.
    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Axes, side: str = "left") -> None:
    """Takes away what does not speak: the frame, the tick marks; leaves a faint horizontal grid."""
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=9, colors=COLOURS["muted"])
    axes.yaxis.label.set_fontsize(10)
    if side == "left":
        axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.8)
        axes.set_axisbelow(True)


def legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """The names of the lines, above the plot and in one row; in a narrow plot in as many as they need."""
    columns = len(names)
    if is_narrow():
        columns = min(columns, 3 if max(map(len, names)) <= LEGEND_LENGTH else 2)
    figure.legend(
        handles, names, loc="outside upper left", ncols=columns, frameon=False, fontsize=9,
        labelcolor=COLOURS["ink"], handlelength=1.8, columnspacing=1.6, borderaxespad=0.2,
    )  # fmt: skip


def stand_ins_for(labels: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The labels as the plot can write them, and what stands for those that no font can draw."""
    drawn, stand_ins = [], {}
    for number, label in enumerate(labels, start=1):
        folded = " ".join(label.split()) or '""'
        if fonts.drawable(folded):
            drawn.append(folded if len(folded) <= LABEL_LENGTH else folded[: LABEL_LENGTH - 1] + "…")
        else:
            drawn.append(f"label {number}")
            stand_ins[f"label {number}"] = label
    return drawn, stand_ins


def write(figure: Figure, target: str | Path | IO[bytes], format: str | None) -> None:
    """Writes a figure and empties it, so that its memory is free at once."""
    if format is None:
        format = Path(target).suffix.lstrip(".") or "png" if isinstance(target, str | Path) else "svg"
    # The page's own background shows through; a picture of its own needs one.
    background = "none" if format == "svg" else "white"
    dated: dict[str, Any] = {"metadata": {"Date": None}} if format == "svg" else {}
    try:
        figure.savefig(target, format=format, facecolor=background, dpi=160, **dated)
    finally:
        figure.clear()
