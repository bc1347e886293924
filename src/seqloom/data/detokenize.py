"""Text from token ids as they come: a piece is told as soon as it can no longer change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING
from unicodedata import combining

if TYPE_CHECKING:
    from seqloom.data.tokenizers.base import Tokenizer

__all__ = ["as_it_comes"]

LONGEST = 64
KEPT = 16
"""Ids behind which a token's text no longer depends on what stood before: decoding stays linear in the length."""


def as_it_comes(tokenizer: Tokenizer, ids: Iterable[int]) -> Iterator[str]:
    """Pieces of text whose sum is what ``tokenizer.decode`` makes of all ids.

    Held back are the bytes of an unfinished character (byte-level BPE) and the last syllable of letters that the next
    letter may still join (jamo).
    """
    recent: list[int] = []
    told, held = "", ""
    for token in ids:
        recent.append(token)
        text, held = _settled(tokenizer, recent)
        if len(text) > len(told):
            yield text[len(told) :]
            told = text
        if len(recent) > LONGEST:
            text, rest = _settled(tokenizer, recent[-KEPT:])
            if text and rest == held:  # else what is held back begins before the cut
                recent, told = recent[-KEPT:], text
    if held:
        yield held


def _settled(tokenizer: Tokenizer, ids: list[int]) -> tuple[str, str]:
    """The text of ids that no further id can change, and the rest."""
    text = tokenizer.decode(ids)
    if tokenizer.unit == "letter":
        # A further letter may join the last character that is no mark, and a mark may move between those behind it.
        end = max((place for place, character in enumerate(text) if not combining(character)), default=0)
    else:
        end = len(text.rstrip("\N{REPLACEMENT CHARACTER}"))
    return text[:end], text[end:]
