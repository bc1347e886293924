from __future__ import annotations

import gzip
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.data.tokenizers import word
from seqloom.data.tokenizers.base import UNKNOWN
from seqloom.data.tokenizers.word import WordTokenizer


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("I don't know, it's well-known.", ["I", "don't", "know", ",", "it's", "well-known", "."]),
        ("the dogs' o’clock 'quoted' rock'n'roll", ["the", "dogs", "'", "o’clock", "'", "quoted", "'", "rock'n'roll"]),
        ("wait... what?!", ["wait", ".", ".", ".", "what", "?", "!"]),
        ("good<br /><br/>bad </i>", ["good", "<br />", "<br/>", "bad", "</i>"]),
        ('<a  href="x y"\nclass=z>here</a>', ['<a href="x y" class=z>', "here", "</a>"]),
        ("if x<y and z>w", ["if", "x", "<", "y", "and", "z", ">", "w"]),
        ("a < b <3", ["a", "<", "b", "<", "3"]),
        ("snake_case 3.5 10/10", ["snake", "_", "case", "3", ".", "5", "10", "/", "10"]),
        ("이 영화, 진짜 최고ㅋㅋㅋ", ["이", "영화", ",", "진짜", "최고", "ㅋㅋㅋ"]),
        ("3D영화 IMDB에서 10점", ["3D", "영화", "IMDB", "에서", "10", "점"]),
        ("naïve café Straße ÀÉ", ["naïve", "café", "Straße", "ÀÉ"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("漢字 かな", ["漢", "字", "かな"]),
        (" \t\n\u00a0 ", []),
    ],
)
def test_words_by_hand(text, tokens):
    assert WordTokenizer().tokenize(text) == tokens


def test_lower_casing_and_minimum_frequency():
    tokenizer = WordTokenizer.fit(["The the THE cat", "a cat sat"], min_frequency=2, lowercase=True)
    assert tokenizer.tokens == ["the", "cat"]
    np.testing.assert_array_equal(tokenizer.encode("The dog, the CAT"), [2, UNKNOWN, UNKNOWN, 2, 3])
    assert tokenizer.decode(tokenizer.encode("The  CAT\nthe")) == "the cat the"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aZ09'-<>/= \"\n\tbr._;~\x1f\x00"), max_size=40))
def test_the_fast_rule_for_ascii_is_the_general_rule(text):
    folded = " ".join(text.split())
    assert word._ASCII.findall(folded) == word._pattern().findall(folded)


def test_an_unclosed_tag_takes_no_time():
    started = time.process_time()
    WordTokenizer().tokenize("<a " + "x=y " * 50_000)
    WordTokenizer().tokenize("<" * 100_000)
    assert time.process_time() - started < 2


def test_real_reviews(shared_data):
    with gzip.open(shared_data / "imdb" / "dev.csv.gz", "rt", encoding="utf-8") as file:
        reviews = file.read().split("\n")
    tokenizer = WordTokenizer.fit(reviews, min_frequency=5, lowercase=True)
    ids = tokenizer.encode_many(reviews)
    assert sum(map(len, ids)) > 600_000
    assert np.mean(np.concatenate(ids) == UNKNOWN) < 0.06
