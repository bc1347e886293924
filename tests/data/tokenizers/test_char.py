from __future__ import annotations

import time

import numpy as np

from seqloom.data.tokenizers.base import UNKNOWN
from seqloom.data.tokenizers.char import CharTokenizer


def test_ids_by_hand():
    tokenizer = CharTokenizer.fit(["나가 가나 가"])
    assert tokenizer.tokens == ["가", " ", "나"]
    np.testing.assert_array_equal(tokenizer.encode("가나 다"), [2, 4, 3, UNKNOWN])
    assert tokenizer.decode([2, 4, 3, UNKNOWN]) == "가나 \ufffd"


def test_each_code_point_is_a_token():
    text = "e\u0301 👍🏽"  # composed by NFC; the thumb and its colour stay two
    assert CharTokenizer.fit([text]).tokenize(text) == ["é", " ", "👍", "🏽"]


def test_lower_casing_stays_composed():
    tokenizer = CharTokenizer.fit(["ÀÉİ"], lowercase=True)
    assert tokenizer.decode(tokenizer.encode("ÀÉİ")) == "àéi\u0307"


def test_rare_characters_are_unknown():
    tokenizer = CharTokenizer.fit(["aab", "b뷁"], min_frequency=2)
    np.testing.assert_array_equal(tokenizer.encode("ab뷁"), [2, 3, UNKNOWN])


def test_a_million_characters_take_a_moment():
    text = "가나다라 the quick brown fox\n" * 40_001
    tokenizer = CharTokenizer.fit([text[:1000]])
    started = time.process_time()
    ids = tokenizer.encode(text)
    assert len(ids) == len(text) > 1_000_000
    assert time.process_time() - started < 0.2
