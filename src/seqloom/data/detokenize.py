"""Text from token ids as they come: a piece is told as soon as it can no longer change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

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
    told = ""
    for token in ids:
        recent.append(token)
        text = _settled(tokenizer, recent)
        if len(text) > len(told):
            yield text[len(told) :]
            told = text
        if len(recent) > LONGEST:
            recent = recent[-KEPT:]
            told = _settled(tokenizer, recent)
    rest = tokenizer.decode(recent)[len(told) :]
    if rest:
        yield rest


def _settled(tokenizer: Tokenizer, ids: list[int]) -> str:
    text = tokenizer.decode(ids)
    return text[:-1] if tokenizer.unit == "letter" else text.rstrip("\N{REPLACEMENT CHARACTER}")
