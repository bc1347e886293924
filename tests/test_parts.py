"""Parts are files: found by name, never by a list, and nothing else is ever imported."""

from __future__ import annotations

import sys

import pytest

from seqloom import parts
from seqloom.errors import SettingError


def test_cells():
    assert {"elman", "gru", "lstm"} <= set(parts.names("cells"))
    assert "base" not in parts.names("cells")
    assert list(parts.names("cells")) == sorted(parts.names("cells"))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in parts.KINDS for name in parts.names(kind)])
def test_every_part_is_there_and_describes_itself(kind, name):
    part = parts.part(kind, name)
    if kind == "recipes":
        assert part.is_file()
    else:
        assert part.__module__.endswith("." + name.replace("-", "_"))
    assert parts.describe(kind, name)


def test_a_new_file_is_a_new_part(tmp_path, monkeypatch):
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name in ("korean_sentence.toml", "hello.toml", "_draft.toml", "base.toml", "notes.txt"):
        (folder / name).write_text(f"# About {name}.\n", "utf-8")
    monkeypatch.setattr(parts, "ROOT", tmp_path)
    parts.names.cache_clear()
    try:
        assert parts.names("recipes") == ("hello", "korean-sentence")
        assert parts.part("recipes", "korean-sentence") == folder / "korean_sentence.toml"
        assert parts.describe("recipes", "korean-sentence") == "About korean_sentence.toml."
    finally:
        parts.names.cache_clear()


def test_the_nearest_part_is_named():
    with pytest.raises(SettingError, match=r'"ltsm" is not one of the cells\n  help: did you mean "lstm"\?'):
        parts.part("cells", "ltsm")


def test_the_nearest_kind_is_named():
    with pytest.raises(SettingError, match=r'no kind of part "cell"\n  help: did you mean "cells"\?'):
        parts.names("cell")


@pytest.mark.parametrize("name", ["base", "__init__", "../errors", "..errors", "os", "gru.py", ""])
def test_no_name_reaches_another_module(name):
    before = set(sys.modules)
    with pytest.raises(SettingError, match="is not one of the cells"):
        parts.part("cells", name)
    assert set(sys.modules) == before
