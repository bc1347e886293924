"""Text as it comes: the pieces together are what all ids give at once."""

from __future__ import annotations

from functools import cache
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom import parts
from seqloom.data.detokenize import as_it_comes
from seqloom.data.tokenizers.base import PAD, UNKNOWN, Tokenizer

NAMES = parts.names("tokenizers")
TEXT = (
    "정말 좋은 영화! 값이 없다… 뷁 ㅋㅋㅠ A fine film, don't. café e\u0301e\u0323\u0301\u0302 "
    "한글 🙂👍🏽 <br /> 영화가 값을 넋 앉다"
)


@cache
def fitted(name: str) -> Tokenizer:
    vocabulary = 280 if name == "bpe" else None
    tokenizer: Tokenizer = parts.part("tokenizers", name).fit([TEXT] * 3, vocabulary=vocabulary)
    return tokenizer


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_pieces_of_any_ids_are_the_whole_text(name: str, data: st.DataObject) -> None:
    tokenizer = fitted(name)
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=200))
    assert "".join(as_it_comes(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_the_pieces_of_few_different_ids_too(name: str, data: st.DataObject) -> None:
    """Long runs of the same bytes, marks and vowels, as a model that has learned little draws them."""
    tokenizer = fitted(name)
    few = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), min_size=1, max_size=3))
    ids = data.draw(st.lists(st.sampled_from(few), min_size=60, max_size=200))
    assert "".join(as_it_comes(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("token", [PAD, UNKNOWN])
def test_long_runs_of_padding_and_of_the_unknown(name: str, token: int) -> None:
    tokenizer = fitted(name)
    known = tokenizer.encode("영화가 좋은 영화!").tolist()
    for count in (1, 15, 16, 17, 63, 64, 65, 100):
        ids = [*known, *repeat(token, count), *known]
        assert "".join(as_it_comes(tokenizer, ids)) == tokenizer.decode(ids)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_text_of_any_length(name: str) -> None:
    tokenizer = fitted(name)
    ids = tokenizer.encode(" ".join([TEXT] * 8)).tolist()
    for length in (0, 1, 2, 15, 63, 64, 65, 66, len(ids)):
        pieces = list(as_it_comes(tokenizer, ids[:length]))
        assert "".join(pieces) == tokenizer.decode(ids[:length])
        assert all(pieces)


def test_a_syllable_of_letters_is_told_when_no_letter_can_join_it() -> None:
    tokenizer = fitted("jamo")
    ids = tokenizer.encode("값이 없다").tolist()
    assert list(as_it_comes(tokenizer, ids)) == ["값", "이", " ", "없", "다"]
    assert len(ids) == 3 + 2 + 1 + 3 + 2


def test_a_character_whose_bytes_are_several_tokens_is_told_whole() -> None:
    tokenizer: Tokenizer = parts.part("tokenizers", "bpe").fit(["plain letters"], vocabulary=258)
    ids = tokenizer.encode("좋다🙂").tolist()
    assert len(ids) == 3 + 3 + 4  # a token a byte
    assert list(as_it_comes(tokenizer, ids)) == ["좋", "다", "🙂"]
    assert "".join(as_it_comes(tokenizer, ids[:-1])) == "좋다\N{REPLACEMENT CHARACTER}"


def test_nothing_that_was_told_waits_for_the_end() -> None:
    tokenizer = fitted("char")
    seen = []

    def ids():
        for token in tokenizer.encode("영화 값").tolist():
            yield token
            seen.append("next")

    pieces = as_it_comes(tokenizer, ids())
    assert next(pieces) == "영"
    assert seen == []


def test_the_cost_of_a_token_does_not_grow() -> None:
    """Each decoding sees a bounded number of ids, however long the text."""

    class Watched:
        unit = "character"
        most = 0

        def decode(self, ids: list[int]) -> str:
            self.most = max(self.most, len(ids))
            return "".join(map(chr, ids))

    watched = Watched()
    assert "".join(as_it_comes(watched, [0xAC00 + n % 900 for n in range(3000)]))  # type: ignore[arg-type]
    assert watched.most < 100
