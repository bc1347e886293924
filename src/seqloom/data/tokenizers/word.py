"""Words: runs of letters and digits, punctuation marks and HTML tags.

English     don't, well-known: an apostrophe or hyphen inside a word belongs to it; dogs' is dogs and '
Korean      a run of Hangul is a word, apart from Latin letters, digits and loose jamo: 3D영화ㅋㅋ is 3D 영화 ㅋㅋ
Chinese     has no blanks between words: each Han character is a token
other       each mark alone (... is three tokens); <br /> and other HTML tags are one token each
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import repeat
from typing import ClassVar

import numpy as np

from seqloom.data.tokenizers.base import REPLACEMENT, SPECIALS, UNKNOWN, Tokenizer

__all__ = ["PART", "WordTokenizer"]

_HANGUL = "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7a3\ud7b0-\ud7ff"
_LOOSE_JAMO = "\u3131-\u318e"
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TAG = r"""</?[A-Za-z][A-Za-z0-9]*(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*\s*/?>"""
_ASCII = re.compile(rf"[A-Za-z0-9]+(?:['-][A-Za-z0-9]+)*|{_TAG}|\S")
"""What ``_pattern`` comes to on plain ASCII, in half the time."""


class WordTokenizer(Tokenizer):
    """One word, mark or tag a token. The canonical text is the tokens joined by single blanks."""

    name: ClassVar[str] = "word"
    unit: ClassVar[str] = "word"

    def __init__(self, tokens: Sequence[str] = (), *, lowercase: bool = False) -> None:
        super().__init__(tokens, lowercase=lowercase)
        self._written = ["", REPLACEMENT, *self.tokens]
        self._ids = {token: id for id, token in enumerate(self.tokens, start=len(SPECIALS))}

    def tokenize(self, text: str) -> list[str]:
        # Only a tag can hold white space, and there too it is a single blank.
        text = " ".join(super().normalize(text).split())
        return (_ASCII if text.isascii() else _pattern()).findall(text)

    def normalize(self, text: str) -> str:
        return " ".join(self.tokenize(text))

    def encode(self, text: str) -> np.ndarray:
        tokens = self.tokenize(text)
        return np.fromiter(map(self._ids.get, tokens, repeat(UNKNOWN)), dtype=np.int32, count=len(tokens))

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join([self._written[id] for id in ids if id])


@cache
def _pattern() -> re.Pattern[str]:
    """The regular expression of one token.

    Python's ``re`` has no class for combining marks, and without them a Hindi or Thai word would fall apart at its
    vowel signs; they are collected from the Unicode data (all lie below U+20000).
    """
    marks = "".join(chr(code) for code in range(0x20000) if unicodedata.category(chr(code))[0] == "M")
    letter = rf"[^\W_{_HANGUL}{_LOOSE_JAMO}{_HAN}]"
    word = rf"{letter}+(?:[{marks}]+{letter}*|['’-]{letter}+)*"
    return re.compile(rf"{word}|[{_HANGUL}]+|[{_LOOSE_JAMO}]+|{_TAG}|\S")


PART = WordTokenizer
