"""Finds installed fonts that have the characters of a plot, so that Korean shows as Korean and never as boxes."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

__all__ = ["BASE", "drawable", "families", "hangul", "installed"]

BASE = "DejaVu Sans"
"""The font of every plot: it comes with matplotlib, and has the Latin, Greek, Cyrillic, Hebrew and Arabic letters."""

# A plot is set in an upright sans-serif of normal weight where there is one; in whatever has the characters otherwise.
PLAIN = ("regular", "medium", "gothic", "sans")
FANCY = (
    "bold",
    "black",
    "heavy",
    "light",
    "thin",
    "italic",
    "oblique",
    "serif",
    "myeongjo",
    "batang",
    "mincho",
    "song",
)
ODD = ("mono", "coding", "condensed", "pen", "brush", "script", "symbol", "display")
# Fonts that claim characters which they do not draw, or draw as pictures that a plot cannot hold.
UNUSABLE = ("lastresort", "emoji", "adobeblank", "adobenotdef")


@cache
def installed() -> tuple[Path, ...]:
    """The font files of this machine, the ones that suit a plot first."""
    from matplotlib import font_manager

    # Looked up anew: matplotlib's own list is kept between sessions and misses a font installed since.
    files = {Path(file) for file in font_manager.findSystemFonts(fontext="ttf")}
    return tuple(sorted((file for file in files if not _has(file, UNUSABLE)), key=lambda file: (_oddity(file), file)))


def hangul() -> str | None:
    """The family of an installed font with Hangul, or None."""
    font = _font_with("한")
    return _family(font) if font else None


def drawable(text: str) -> bool:
    """Whether installed fonts have every character of ``text``."""
    return all(_in_base(character) or _font_with(character) for character in _visible(text))


def families(texts: Iterable[str]) -> list[str]:
    """The font families that together have the characters of ``texts``: the base font, then what it lacks."""
    missing = {character for text in texts for character in _visible(text) if not _in_base(character)}
    fonts = {font for character in missing if (font := _font_with(character))}
    return [BASE, *(_family(font) for font in installed() if font in fonts)]


def _visible(text: str) -> Iterable[str]:
    return (character for character in text if not character.isspace())


def _has(file: Path, words: Iterable[str]) -> bool:
    name = file.stem.lower().replace(" ", "").replace("-", "")
    return any(word in name for word in words)


def _oddity(file: Path) -> int:
    name = file.stem.lower().replace("sansserif", "sans")
    return (
        4 * any(word in name for word in ODD) + 2 * any(word in name for word in FANCY) - any(w in name for w in PLAIN)
    )


@cache
def _characters(file: Path) -> frozenset[int]:
    """The character map of a font; empty when matplotlib cannot draw with it."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(str(file))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return frozenset(font.get_charmap())


@cache
def _base() -> frozenset[int]:
    from matplotlib import font_manager

    return _characters(Path(font_manager.findfont(BASE)))


def _in_base(character: str) -> bool:
    return ord(character) in _base() and unicodedata.category(character) not in ("Cc", "Cs", "Co", "Cn")


@cache
def _font_with(character: str) -> Path | None:
    if unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn"):
        return None
    return next((font for font in installed() if ord(character) in _characters(font)), None)


@cache
def _family(font: Path) -> str:
    """The family of a font file, made known to matplotlib."""
    from matplotlib import font_manager

    manager = font_manager.fontManager
    if str(font) not in {entry.fname for entry in manager.ttflist}:
        manager.addfont(font)
    return next(entry.name for entry in manager.ttflist if entry.fname == str(font))
