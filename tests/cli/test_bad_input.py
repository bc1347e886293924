"""A bad file is answered with one clear error: its name, the line, what to do; status 3, and nothing half-written."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

ROWS = "".join(f"a text of number {row},{'good' if row % 2 else 'bad'}\n" for row in range(40))
TABLE = f"text,label\n{ROWS}".encode()

CASES = {
    "empty.csv": (b"", "empty"),
    "header.csv": (b"text,label\n", "header"),
    "ragged.csv": (TABLE + b"one,two,three\n", "ragged.csv:42"),
    "latin.csv": (TABLE + "caf\xe9,good\n".encode("latin-1"), "latin.csv:42"),
    "utf16.csv": (TABLE.decode().encode("utf-16"), "utf-16"),
    "nul.csv": (TABLE + b"a\0b,good\n", "nul.csv:42"),
    "twice.csv": (b"text,text\n" + ROWS.encode(), '"text"'),
    "short.csv.gz": (gzip.compress(TABLE * 50)[:-20], "short.csv.gz"),
    "one.csv": (TABLE.replace(b",bad", b",good"), '"label"'),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused(seqloom, in_tmp, name):
    content, said = CASES[name]
    Path(name).write_bytes(content)
    status, out, err = seqloom("train", name, "--task", "classify", "--label", "label", "--budget", "5s")
    assert (status, out) == (3, ""), err
    assert said in err
    assert f"--> {name}" in err
    assert "help: " in err
    assert "Traceback" not in err
    assert [path.name for path in in_tmp.iterdir()] == [name]


@pytest.mark.parametrize("command", ["train", "inspect"])
def test_a_file_that_cannot_be_read_is_refused(seqloom, in_tmp, command):
    Path("folder.csv").mkdir()
    for name in ("missing.csv", "folder.csv"):
        status, out, err = seqloom(command, name)
        assert (status, out) == (3, "")
        assert name in err
    assert [path.name for path in in_tmp.iterdir()] == ["folder.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(seqloom, in_tmp):
    Path("mine.csv").write_bytes(TABLE)
    Path("mine.csv").chmod(0)
    status, _, err = seqloom("inspect", "mine.csv")
    assert status == 3
    assert "mine.csv" in err


def test_a_missing_column_names_the_nearest(seqloom, in_tmp):
    Path("a.csv").write_bytes(TABLE)
    status, _, err = seqloom("train", "a.csv", "--label", "lable")
    assert status == 3
    assert 'did you mean "label"?' in err
