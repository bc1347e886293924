from __future__ import annotations

import pytest

from seqloom.data.tokenizers.base import load, ranked
from seqloom.errors import RunError


def test_tokens_stand_by_frequency_then_by_code_point():
    counts = {"b": 3, "a": 3, "각": 3, "z": 9, "rare": 1, "~": 2}
    assert ranked(counts, 1, None) == ["z", "a", "b", "각", "~", "rare"]
    assert ranked(counts, 2, None) == ["z", "a", "b", "각", "~"]
    assert ranked(counts, 1, 5) == ["z", "a", "b"]  # two ids are PAD and UNKNOWN


def test_a_description_of_no_tokenizer_is_told():
    with pytest.raises(RunError, match='no tokenizer "wrod"'):
        load({"tokenizer": "wrod", "tokens": []})
    with pytest.raises(RunError, match="no tokenizer"):
        load({})
    with pytest.raises(RunError, match="lacks 'tokens'"):
        load({"tokenizer": "char", "lowercase": False})


def test_a_name_that_is_a_path_is_never_imported():
    with pytest.raises(RunError, match="no tokenizer"):
        load({"tokenizer": "../../run"})
    with pytest.raises(RunError, match="no tokenizer"):
        load({"tokenizer": "base"})
