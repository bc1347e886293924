"""What every tokenizer is: text to ids and back, with a vocabulary that can be saved as JSON.

The first step is always Unicode normalisation form C (NFC), so that a Hangul syllable or an accented letter is the same
token however it was typed. What prepared the training text prepares the text to predict: a run keeps ``to_json``.
"""

from __future__ import annotations

import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from seqloom import parts
from seqloom.errors import RunError, SettingError, nearest

__all__ = ["PAD", "REPLACEMENT", "SPECIALS", "UNKNOWN", "Tokenizer", "check_limits", "load", "ranked"]

PAD, UNKNOWN = 0, 1
"""The first two ids of every vocabulary: padding, and a token that training did not see."""

SPECIALS = ("<pad>", "<unknown>")
"""What a human reads for PAD and UNKNOWN. The same letters in a text are ordinary text and never become these ids."""

REPLACEMENT = "\ufffd"
"""What ``decode`` writes for UNKNOWN."""

_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer(ABC):
    """A vocabulary and the rule that cuts text into its tokens.

    ``tokens`` are the tokens behind the two special ones, so that ``tokens[0]`` has the id 2.
    """

    name: ClassVar[str]
    """The file's name: the part, the flag value."""

    unit: ClassVar[str]
    """What one token is to a reader: "character", "letter", "word", "piece"."""

    def __init__(self, tokens: Sequence[str] = (), *, lowercase: bool = False) -> None:
        self.tokens = list(tokens)
        self.lowercase = lowercase

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        min_frequency: int = 1,
        vocabulary: int | None = None,
        lowercase: bool = False,
    ) -> Self:
        """Learns the vocabulary: tokens by falling frequency, then by code point.

        Args:
            texts: the training texts, and only those.
            min_frequency: tokens that occur less often are left out.
            vocabulary: the most tokens kept, PAD and UNKNOWN among them; None keeps all.
            lowercase: lower-case the text first.

        Raises:
            SettingError: ``min_frequency`` or ``vocabulary`` is too small.
        """
        check_limits(min_frequency, vocabulary, smallest=len(SPECIALS) + 1)
        empty = cls(lowercase=lowercase)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(empty.tokenize(text))
        return cls(ranked(counts, min_frequency, vocabulary), lowercase=lowercase)

    def normalize(self, text: str) -> str:
        """The text as this tokenizer sees it: NFC, then lower-case if so fitted; what ``decode`` gives back."""
        if not text.isascii():
            # Half a surrogate pair (JSON can spell one) is no character and has no UTF-8.
            text = unicodedata.normalize("NFC", _SURROGATES.sub(REPLACEMENT, text))
        if self.lowercase:
            text = unicodedata.normalize("NFC", text.lower())
        return text

    @abstractmethod
    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, known or not."""

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """The ids of a text, int32 [T]; a token that is not in the vocabulary is UNKNOWN, never an exception."""

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of each text, as ``encode`` gives them."""
        return [self.encode(text) for text in texts]

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids: ``decode(encode(text)) == normalize(text)`` where all tokens are known. PAD is nothing."""

    def __len__(self) -> int:
        """The size of the vocabulary, V, PAD and UNKNOWN included."""
        return len(SPECIALS) + len(self.tokens)

    def token(self, id: int) -> str:
        """What a human reads for an id."""
        return SPECIALS[id] if id < len(SPECIALS) else self.tokens[id - len(SPECIALS)]

    def to_json(self) -> dict[str, Any]:
        """All that ``from_json`` needs, as JSON can hold it."""
        return {"tokenizer": self.name, "lowercase": self.lowercase, "tokens": self.tokens}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The tokenizer that ``to_json`` described."""
        return cls(data["tokens"], lowercase=data["lowercase"])


def load(data: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that any ``to_json`` described.

    Raises:
        RunError: the data name a tokenizer that there is not, or lack a part of one.
    """
    name = data.get("tokenizer")
    known = parts.names("tokenizers")
    if name not in known:
        raise RunError(f'there is no tokenizer "{name}"', help=nearest(str(name), known))
    try:
        tokenizer: Tokenizer = parts.part("tokenizers", name).from_json(data)
    except KeyError as missing:
        raise RunError(f'the description of the tokenizer "{name}" lacks {missing}') from missing
    return tokenizer


def ranked(counts: Mapping[str, int], min_frequency: int, vocabulary: int | None) -> list[str]:
    """The tokens to keep, by falling frequency, then by code point; room is left for the special ones."""
    kept = sorted((-count, token) for token, count in counts.items() if count >= min_frequency)
    room = None if vocabulary is None else vocabulary - len(SPECIALS)
    return [token for _, token in kept[:room]]


def check_limits(min_frequency: int, vocabulary: int | None, *, smallest: int) -> None:
    """Refuses limits that leave no vocabulary.

    Raises:
        SettingError: ``min_frequency`` is below 1 or ``vocabulary`` below ``smallest``.
    """
    if min_frequency < 1:
        raise SettingError(f"min-frequency is {min_frequency}; it must be at least 1")
    if vocabulary is not None and vocabulary < smallest:
        raise SettingError(f"vocabulary is {vocabulary}; this tokenizer needs at least {smallest}")
