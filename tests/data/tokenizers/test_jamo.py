from __future__ import annotations

import unicodedata

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seqloom.data.tokenizers.base import UNKNOWN
from seqloom.data.tokenizers.jamo import JamoTokenizer

LETTERS = st.one_of(
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),  # conjoining jamo, old ones among them
    st.characters(min_codepoint=0x3131, max_codepoint=0x318E),  # compatibility jamo
    st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),  # syllables
    st.sampled_from("\ua960\ud7b0\ud7fb\u302e\u0301a "),  # extended jamo, a tone mark
)


def test_syllables_are_spelt_in_letters():
    assert JamoTokenizer().tokenize("한글ab") == ["\u1112", "\u1161", "\u11ab", "\u1100", "\u1173", "\u11af", "a", "b"]
    assert JamoTokenizer().tokenize("가") == ["\u1100", "\u1161"]


def test_compatibility_jamo_and_accented_letters_stay():
    assert JamoTokenizer().tokenize("ㅋㅠé") == ["ㅋ", "ㅠ", "é"]


def test_no_syllable_is_unknown_once_its_letters_are_known():
    tokenizer = JamoTokenizer.fit(["각난 덤"])
    assert UNKNOWN not in tokenizer.encode("간담 넉")
    assert tokenizer.decode(tokenizer.encode("간담 넉")) == "간담 넉"


def test_all_syllables_there_are():
    every = "".join(map(chr, range(0xAC00, 0xD7A4)))
    tokenizer = JamoTokenizer.fit([every])
    assert len(tokenizer) == 2 + 19 + 21 + 27
    assert tokenizer.decode(tokenizer.encode(every)) == every


@settings(max_examples=500, deadline=None)
@given(st.text(LETTERS, max_size=12))
@example("\u1100가\u11a8")  # a stray consonant before, a trailing one that composes
@example("가\u11a7")  # one before the first trailing consonant: composes with nothing
@example("\u1112\u1161\u11ab\u11ab")
def test_stray_jamo_come_back_without_loss(text):
    tokenizer = JamoTokenizer.fit([text])
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)


def test_unknown_letters_are_replaced():
    tokenizer = JamoTokenizer.fit(["가"])
    np.testing.assert_array_equal(tokenizer.encode("각"), [2, 3, UNKNOWN])
    assert tokenizer.decode([2, 3, UNKNOWN]) == "가\ufffd"
