"""Jamo: Hangul syllables as their letters, everything else as single characters.

A syllable is an arithmetic function of its letters (The Unicode Standard, section 3.12): the leading consonant, the
vowel and, if there is one, the trailing consonant, each a conjoining jamo of the block U+1100. This decomposition is
canonical, so NFC puts it together again without loss, also beside stray jamo. Compatibility jamo (U+3131 on: ㅋㅋ,
ㅠㅠ) are characters of their own and stay.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import ClassVar

from seqloom.data.tokenizers.char import CharTokenizer

__all__ = ["PART", "JamoTokenizer"]

_SYLLABLES = range(0xAC00, 0xD7A4)
_LETTERS = {code: unicodedata.normalize("NFD", chr(code)) for code in _SYLLABLES}


class JamoTokenizer(CharTokenizer):
    """One letter a token: 한 is ᄒ, ᅡ, ᆫ. A small vocabulary in which no Korean syllable is unknown."""

    name: ClassVar[str] = "jamo"
    unit: ClassVar[str] = "letter"

    def spell(self, text: str) -> str:
        return self.normalize(text).translate(_LETTERS)

    def decode(self, ids: Iterable[int]) -> str:
        return unicodedata.normalize("NFC", super().decode(ids))


PART = JamoTokenizer
