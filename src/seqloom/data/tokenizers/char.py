"""Characters: one Unicode code point a token."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np

from seqloom.data.tokenizers.base import REPLACEMENT, SPECIALS, UNKNOWN, Tokenizer

__all__ = ["PART", "CharTokenizer"]


class CharTokenizer(Tokenizer):
    """One code point a token. Ids are looked up in a table over all code points, a text at a time."""

    name: ClassVar[str] = "char"
    unit: ClassVar[str] = "character"

    def __init__(self, tokens: Sequence[str] = (), *, lowercase: bool = False) -> None:
        super().__init__(tokens, lowercase=lowercase)
        self._written = ["", REPLACEMENT, *self.tokens]
        self._table = np.full(sys.maxunicode + 1, UNKNOWN, dtype=np.int32)
        codes = [ord(token) for token in self.tokens]
        self._table[codes] = np.arange(len(SPECIALS), len(self), dtype=np.int32)

    def spell(self, text: str) -> str:
        """The normalised text, written so that each code point is one token."""
        return self.normalize(text)

    def tokenize(self, text: str) -> list[str]:
        return list(self.spell(text))

    def encode(self, text: str) -> np.ndarray:
        codes = np.frombuffer(self.spell(text).encode("utf-32-le"), dtype="<u4")
        ids: np.ndarray = self._table[codes]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        return "".join([self._written[id] for id in ids])


PART = CharTokenizer
