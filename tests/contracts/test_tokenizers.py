"""What every tokenizer promises, over all that there are."""

from __future__ import annotations

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom import parts
from seqloom.data.tokenizers.base import PAD, UNKNOWN, load
from seqloom.errors import SettingError

TEXTS = [
    "The cat sat on the mat, and the dog didn't.",
    "이 영화 진짜 재밌다ㅋㅋㅋ 값어치가 있는 3D영화예요 ㅠㅠ",
    'A <br /> "quoted" line\nand\ttabs — naïve café',
    "<pad> and <unknown> are words here",
    "漢字かな交じり文 हिन्दी ไทย 👍🏽",
    "",
]
HANGUL = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
JAMO = st.characters(min_codepoint=0x1100, max_codepoint=0x11FF)
COMPATIBILITY_JAMO = st.characters(min_codepoint=0x3131, max_codepoint=0x318E)
MARKS = st.sampled_from("\u0301\u0308\u0323\u0345\u3099Ａé<br/>'- \nİΣ")
ANY_TEXT = st.text(st.one_of(st.characters(), HANGUL, JAMO, COMPATIBILITY_JAMO, MARKS), max_size=30)


@pytest.fixture(params=parts.names("tokenizers"))
def kind(request):
    return parts.part("tokenizers", request.param)


def test_the_four_tokenizers_are_found():
    assert {"bpe", "char", "jamo", "word"} <= set(parts.names("tokenizers"))


@pytest.mark.parametrize("name", parts.names("tokenizers"))
def test_the_name_is_the_files_name(name):
    assert parts.part("tokenizers", name).name == name
    assert parts.part("tokenizers", name).unit in {"character", "letter", "word", "piece"}


@pytest.mark.parametrize("lowercase", [False, True])
def test_decoding_gives_the_normalised_text_back(kind, lowercase):
    tokenizer = kind.fit(TEXTS, lowercase=lowercase)
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalize(text)
    assert ("The" in tokenizer.normalize(TEXTS[0])) is not lowercase


@pytest.mark.parametrize("name", parts.names("tokenizers"))
@settings(max_examples=150, deadline=None)
@given(text=ANY_TEXT, lowercase=st.booleans())
def test_any_text_comes_back(name, text, lowercase):
    tokenizer = parts.part("tokenizers", name).fit([text], lowercase=lowercase)
    ids = tokenizer.encode(text)
    normal = tokenizer.normalize(text)
    assert tokenizer.decode(ids) == normal
    assert tokenizer.normalize(normal) == normal
    assert unicodedata.is_normalized("NFC", normal)
    assert UNKNOWN not in ids and PAD not in ids


@pytest.mark.parametrize("name", parts.names("tokenizers"))
@settings(max_examples=50, deadline=None)
@given(text=ANY_TEXT)
def test_no_text_is_an_error(name, text):
    tokenizer = parts.part("tokenizers", name).fit(TEXTS[:1])
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.shape == (len(tokenizer.tokenize(text)),)
    assert np.all((ids >= UNKNOWN) & (ids < len(tokenizer)))
    tokenizer.decode(ids)


def test_half_a_surrogate_pair_is_replaced(kind):
    tokenizer = kind.fit(["a \ufffd b"])
    assert tokenizer.decode(tokenizer.encode("a \ud83d b")) == "a \ufffd b"


def test_decomposed_text_has_the_same_ids(kind):
    tokenizer = kind.fit(TEXTS)
    for text in TEXTS:
        decomposed = unicodedata.normalize("NFD", text)
        np.testing.assert_array_equal(tokenizer.encode(decomposed), tokenizer.encode(text))
    assert unicodedata.normalize("NFD", TEXTS[1]) != TEXTS[1]


def test_json_keeps_everything(kind):
    tokenizer = kind.fit(TEXTS, lowercase=True)
    again = load(json.loads(json.dumps(tokenizer.to_json())))
    assert type(again) is kind and len(again) == len(tokenizer)
    for text in [*TEXTS, "something ELSE, 다른 것"]:
        np.testing.assert_array_equal(again.encode(text), tokenizer.encode(text))
        assert again.decode(again.encode(text)) == tokenizer.decode(tokenizer.encode(text))
        assert again.normalize(text) == tokenizer.normalize(text)


def test_many_at_once_are_as_one_by_one(kind):
    tokenizer = kind.fit(TEXTS[:2])
    for one, many in zip(map(tokenizer.encode, TEXTS), tokenizer.encode_many(TEXTS), strict=True):
        np.testing.assert_array_equal(one, many)
        assert many.dtype == np.int32


def test_the_order_of_the_texts_does_not_matter(kind):
    assert kind.fit(TEXTS).to_json() == kind.fit(TEXTS[::-1]).to_json()


def test_special_tokens_are_never_read_from_a_text(kind):
    tokenizer = kind.fit(["<pad> <unknown>"])
    assert tokenizer.token(PAD) == "<pad>" and tokenizer.token(UNKNOWN) == "<unknown>"
    assert not {PAD, UNKNOWN} & set(tokenizer.encode("<pad> <unknown>").tolist())
    assert tokenizer.decode(tokenizer.encode("<pad> <unknown>")) == "<pad> <unknown>"


def test_padding_decodes_to_nothing_and_unknown_to_a_replacement(kind):
    tokenizer = kind.fit(TEXTS)
    ids = tokenizer.encode("the cat")
    assert tokenizer.decode([*ids, PAD, PAD]) == "the cat"
    assert tokenizer.decode([UNKNOWN]) == "\ufffd"


def test_every_id_can_be_read(kind):
    tokenizer = kind.fit(TEXTS)
    readable = [tokenizer.token(id) for id in range(len(tokenizer))]
    assert all(isinstance(token, str) and token for token in readable)
    with pytest.raises(IndexError):
        tokenizer.token(len(tokenizer))


def test_an_empty_corpus_knows_nothing_and_fails_at_nothing(kind):
    tokenizer = kind.fit([])
    assert len(tokenizer) >= 2
    assert len(tokenizer.encode("")) == 0 and tokenizer.decode([]) == ""
    assert len(tokenizer.encode("가 b")) > 0


def test_the_vocabulary_has_the_size_asked_for_at_most(kind):
    everything = len(kind.fit(TEXTS * 3))
    smaller = everything - 3
    assert len(kind.fit(TEXTS * 3, vocabulary=smaller)) == smaller


@pytest.mark.parametrize("limits", [{"min_frequency": 0}, {"vocabulary": 2}, {"vocabulary": 0}])
def test_limits_that_leave_nothing_are_refused(kind, limits):
    with pytest.raises(SettingError, match=next(iter(limits)).replace("_", "-")):
        kind.fit(TEXTS, **limits)
