from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from seqloom.data.tokenizers.bpe import BPETokenizer
from seqloom.errors import SettingError

TEXTS = ["low lower lowest", "new newer newest", "wide wider widest", "가나다 가나 가나다라"] * 5


def test_frequent_pieces_become_one_token():
    tokenizer = BPETokenizer.fit(TEXTS, vocabulary=280)
    assert len(tokenizer) == 280
    plain = BPETokenizer.fit(TEXTS, vocabulary=258)
    assert len(plain.encode("lowest newest")) == len("lowest newest")
    assert len(tokenizer.encode("lowest newest")) < 8


def test_the_text_is_exact_to_the_blank():
    tokenizer = BPETokenizer.fit(TEXTS)
    for text in ["  two  blanks ", "\n\n\ttab\r\n", "값어치 뷁 👍🏽", "low", " low", "\x00\x7f\u00ad"]:
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_half_a_character_is_shown_not_raised():
    tokenizer = BPETokenizer.fit([], vocabulary=258)
    ids = tokenizer.encode("가")
    assert len(ids) == 3
    assert tokenizer.decode(ids[:2]) == "\ufffd"
    assert tokenizer.token(int(ids[0])) == "\ufffd"
    whole = BPETokenizer.fit(["가가 가가"] * 3)
    assert [whole.token(id) for id in whole.encode("가가")] == ["가가"]


def test_the_first_merge_is_the_most_frequent_pair():
    tokenizer = BPETokenizer.fit(["ab ab ab", "cd cd"])
    assert tokenizer.merges[0] == ("a", "b")
    assert ("c", "d") in tokenizer.merges
    assert BPETokenizer.fit(["ab", "cd"]).merges == []  # a pair seen once is no pattern


def test_room_for_the_bytes_is_asked_for():
    with pytest.raises(SettingError, match="258"):
        BPETokenizer.fit(TEXTS, vocabulary=257)


SCRIPT = """
import json, os, sys, warnings
warnings.simplefilter("error")
from seqloom.data.tokenizers.bpe import BPETokenizer
tokenizer = BPETokenizer.fit(json.load(sys.stdin), vocabulary=320)
tokenizer.encode_many(["low", "newer"] * 100)
if os.fork() == 0:
    tokenizer.encode_many(["low", "newer"] * 100)
    os._exit(0)
os.wait()
print(json.dumps(tokenizer.to_json()))
"""


def test_every_process_learns_the_same_and_is_silent():
    results = []
    for seed in ("1", "2"):
        environment = {key: value for key, value in os.environ.items() if key != "TOKENIZERS_PARALLELISM"}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            input=json.dumps(TEXTS),
            capture_output=True,
            text=True,
            check=True,
            env=environment | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stderr == ""
        results.append(json.loads(done.stdout))
    assert results[0] == results[1] == BPETokenizer.fit(TEXTS, vocabulary=320).to_json()


def test_ids_are_the_librarys_behind_the_special_ones():
    tokenizer = BPETokenizer.fit(TEXTS, vocabulary=320)
    assert tokenizer.tokens[:3] == ["!", '"', "#"]
    np.testing.assert_array_equal(tokenizer.encode("!#"), [2, 4])
    assert tokenizer.tokenize("!#") == ["!", "#"]
