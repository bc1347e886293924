"""Byte-pair encoding: frequent pieces of words, built up from bytes, so that no text is unknown.

Sennrich, Haddow and Birch (2016), "Neural Machine Translation of Rare Words with Subword Units", over the 256 bytes of
UTF-8 as in GPT-2 (Radford et al. 2019), by the ``tokenizers`` library. ``decode`` gives the exact text back.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from seqloom.data.tokenizers.base import PAD, REPLACEMENT, SPECIALS, UNKNOWN, Tokenizer, check_limits

# The library's threads must not have run when a process forks (it warns, and may hang); one thread is fast enough.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers as library
from tokenizers import models, pre_tokenizers, trainers

__all__ = ["PART", "BPETokenizer"]

DEFAULT_VOCABULARY = 16_000
_BYTES = 256


def _byte_letters() -> dict[str, int]:
    """The letter with which the library writes each byte: itself where it can be seen, else one from U+0100 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    unseen = [byte for byte in range(_BYTES) if byte not in set(seen)]
    return {chr(byte): byte for byte in seen} | {chr(0x100 + n): byte for n, byte in enumerate(unseen)}


_LETTERS = _byte_letters()


class BPETokenizer(Tokenizer):
    """Pieces of words; a blank belongs to the piece behind it. ``merges`` are pairs of pieces, the first made first."""

    name: ClassVar[str] = "bpe"
    unit: ClassVar[str] = "piece"

    def __init__(
        self, tokens: Sequence[str] = (), merges: Sequence[Sequence[str]] = (), *, lowercase: bool = False
    ) -> None:
        super().__init__(tokens, lowercase=lowercase)
        self.merges = [(left, right) for left, right in merges]
        vocabulary = {token: id for id, token in enumerate(self.tokens)}
        self._library = _byte_level(models.BPE(vocab=vocabulary, merges=self.merges))
        self._written = [b"", REPLACEMENT.encode(), *(bytes(_LETTERS[letter] for letter in t) for t in self.tokens)]

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        min_frequency: int = 1,
        vocabulary: int | None = None,
        lowercase: bool = False,
    ) -> Self:
        """Learns the merges; ``vocabulary`` is 16,000 where None is given, ``min_frequency`` counts pairs.

        A pair seen once is no pattern, so at least two are asked for.

        Raises:
            SettingError: ``vocabulary`` has no room for the 256 bytes.
        """
        check_limits(min_frequency, vocabulary, smallest=len(SPECIALS) + _BYTES)
        empty = cls(lowercase=lowercase)
        learner = _byte_level(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=(vocabulary or DEFAULT_VOCABULARY) - len(SPECIALS),
            min_frequency=max(2, min_frequency),
            initial_alphabet=sorted(_LETTERS),
            show_progress=False,
        )
        learner.train_from_iterator(map(empty.normalize, texts), trainer=trainer)
        ids = learner.get_vocab()
        merges = json.loads(learner.to_str())["model"]["merges"]
        return cls(sorted(ids, key=ids.__getitem__), merges, lowercase=lowercase)

    def tokenize(self, text: str) -> list[str]:
        """The pieces of a text, each byte written as one letter of the library's alphabet."""
        return self._library.encode(self.normalize(text)).tokens

    def encode(self, text: str) -> np.ndarray:
        return np.array(self._library.encode(self.normalize(text)).ids, dtype=np.int32) + len(SPECIALS)

    def encode_many(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self._library.encode_batch_fast([self.normalize(text) for text in texts])
        return [np.array(encoding.ids, dtype=np.int32) + len(SPECIALS) for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Bytes that are no UTF-8 (half a character) are written as U+FFFD."""
        return b"".join([self._written[id] for id in ids]).decode("utf-8", "replace")

    def token(self, id: int) -> str:
        return SPECIALS[id] if id in (PAD, UNKNOWN) else self.decode([id])

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(data["tokens"], data["merges"], lowercase=data["lowercase"])


def _byte_level(model: models.BPE) -> library.Tokenizer:
    """The library's tokenizer around a model, with nothing that would change the text."""
    tokenizer = library.Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


PART = BPETokenizer
