"""The text of the demonstration; its training is in tests/test_end_to_end.py."""

from __future__ import annotations

import sysconfig

import pytest

from seqloom.cli import demo
from seqloom.errors import SeqloomError


def test_the_text_is_the_library_of_this_python_up_to_the_limit():
    text = demo._source_text()
    assert 500_000 < len(text) <= demo.MOST_CHARACTERS + 200  # line breaks between the modules
    assert "class ABCMeta(type):" in text
    assert demo._source_text() == text


def test_files_are_joined_by_name_and_unreadable_ones_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "b.py").write_text("b = 2\n" * 2_000, "utf-8")
    (tmp_path / "a.py").write_text("a = '좋다'\n" * 500, "utf-8")
    (tmp_path / "c.py").write_bytes(b"# caf\xe9\n" * 3_000)
    (tmp_path / "d.py").write_bytes(b"d = '\0'\n" * 3_000)
    (tmp_path / "e.txt").write_text("not python", "utf-8")
    assert demo._source_text() == "a = '좋다'\n" * 500 + "\n" + "b = 2\n" * 2_000


def test_a_python_without_its_source_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(SeqloomError, match="too little source text"):
        demo._source_text()
