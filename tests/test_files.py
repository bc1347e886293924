"""Files under real kills, real limits and real damage."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seqloom import files
from seqloom.errors import RunError

KOREAN = "한글 자모 ㄱㄴㄷ \U0001f9f5 \u2028 \0 end"


# --- round trips ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True]}, KOREAN, "half a pair \ud83d", [], 0.1 + 0.2, 2**70])
def test_json_comes_back(tmp_path: Path, value: Any) -> None:
    files.write_json(tmp_path / "x.json", value)
    assert files.read_json(tmp_path / "x.json") == value
    files.write_jsonl(tmp_path / "x.jsonl", [value, value])
    assert files.read_jsonl(tmp_path / "x.jsonl") == [value, value]
    files.append_jsonl(tmp_path / "x.jsonl", value)
    assert files.read_jsonl(tmp_path / "x.jsonl") == [value] * 3
    assert sorted(os.listdir(tmp_path)) == ["x.json", "x.jsonl"]


def test_json_is_for_other_programs_too(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", {"loss": float("nan"), "all": (1.0, float("inf")), "text": "한"})
    text = (tmp_path / "x.json").read_text("utf-8")
    assert "NaN" not in text
    assert "한" in text
    assert json.loads(text) == {"loss": None, "all": [1.0, None], "text": "한"}


def test_toml_comes_back(tmp_path: Path) -> None:
    table = {"format": 1, "seed": None, "settings": {"lr": 1e-3, "text": KOREAN, "path": Path("a/b"), "list": (1, 2)}}
    files.write_toml(tmp_path / "x.toml", table)
    expected = {"format": 1, "settings": {"lr": 1e-3, "text": KOREAN, "path": "a/b", "list": [1, 2]}}
    assert files.read_toml(tmp_path / "x.toml") == expected


def test_text_and_bytes_replace_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    files.write_bytes(file, b"a longer first version")
    files.write_text(file, KOREAN)
    assert file.read_bytes() == KOREAN.encode()
    assert os.listdir(tmp_path) == ["x"]


def test_fingerprint_is_that_of_the_whole_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "자료.csv").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    found = files.fingerprint(tmp_path / "자료.csv")
    assert found == {"file": str(tmp_path / "자료.csv"), "bytes": len(data), "sha256": digest}
    assert files.sha256(tmp_path / "자료.csv") == digest
    with pytest.raises(RunError, match=r"none\.csv: No such file"):
        files.sha256(tmp_path / "none.csv")


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_cut_off_last_line_is_left_out_and_then_replaced(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n{"step": 2}\n'[:-cut])
    whole = [{"step": 1}, {"step": 2}] if cut == 1 else [{"step": 1}]
    assert files.read_jsonl(file) == whole
    files.append_jsonl(file, {"step": 3})
    assert files.read_jsonl(file) == [*whole, {"step": 3}]
    assert file.read_bytes().endswith(b'}\n{"step": 3}\n')


def test_a_damaged_line_before_the_last_is_named(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(b'{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl:2 is damaged") as caught:
        files.read_jsonl(file)
    assert caught.value.exit_status == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a = 1\nb = \n", r"x\.toml is damaged: .*line 2"),
        (b'a = 1\nb = "\xb0\xa1"\n', r"x\.toml:2 is damaged: byte 0xb0 is not UTF-8"),
        (b"a = 1\na = 2\n", r"x\.toml is damaged: .*line 2"),
    ],
)
def test_damaged_toml_is_named_with_its_line(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "x.toml").write_bytes(data)
    with pytest.raises(RunError, match=said):
        files.read_toml(tmp_path / "x.toml")


@pytest.mark.parametrize("data", [b"", b'{"a": 1', b'{"a": "\xb0\xa1"}'])
def test_damaged_json_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(RunError, match=r"x\.json is damaged"):
        files.read_json(tmp_path / "x.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (files.read_bytes, files.read_json, files.read_jsonl, files.read_toml):
        with pytest.raises(RunError, match=r"cannot read .*none: No such file or directory"):
            read(tmp_path / "none")


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    file = tmp_path / "summary.json"
    files.write_json(file, "old")

    def fail(*arguments: Any, **options: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(RunError, match=rf"cannot write .*summary\.json: {os.strerror(number)}; it needs 6 bytes"):
            files.write_json(file, "new")
    assert os.listdir(tmp_path) == ["summary.json"]
    assert files.read_json(file) == "old"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file or directory"):
        files.write_text(tmp_path / "none" / "x", "text")
    with pytest.raises(RunError, match="No such file or directory"):
        files.append_jsonl(tmp_path / "none" / "x", {})
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="Is a directory"):
        files.write_text(tmp_path / "folder", "text")
    assert os.listdir(tmp_path) == ["folder"]


def limited(folder: Path) -> None:
    """Writes under a limit that the system sets on the size of a file: a write takes what fits, the next one fails."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    for write, file in ((files.write_json, "x.json"), (files.append_jsonl, "x.jsonl")):
        try:
            write(folder / file, "y" * 1200)
        except RunError as error:
            print(error.message)


def test_what_does_not_fit_is_taken_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", "old")
    files.write_jsonl(tmp_path / "x.jsonl", ["old"])
    command = [sys.executable, __file__, "limited", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line.split(";")[0] for line in done.stdout.splitlines()] == [
        f"cannot write {tmp_path / name}: File too large" for name in ("x.json", "x.jsonl")
    ]
    assert files.read_json(tmp_path / "x.json") == "old"
    assert (tmp_path / "x.jsonl").read_bytes() == b'"old"\n'
    assert sorted(os.listdir(tmp_path)) == ["x.json", "x.jsonl"]


def kill_in_write(folder: Path) -> None:
    """Overwrites a file in child processes, each killed one call later than the last, until one lives."""
    names = ("open", "write", "fsync", "close", "replace", "unlink")
    real = {name: getattr(os, name) for name in names}
    for point in range(100):
        file = folder / f"{point:02d}" / "summary.json"
        file.parent.mkdir()
        files.write_text(file, "old " * 1000)
        child = os.fork()
        if child == 0:
            passed = 0

            def call(name: str, *arguments: Any) -> Any:
                nonlocal passed
                if passed == point:  # noqa: B023
                    if name == "write":
                        real["write"](arguments[0], bytes(arguments[1])[:777])
                    os.kill(os.getpid(), signal.SIGKILL)
                passed += 1
                return real[name](*arguments)

            for name in names:
                setattr(os, name, lambda *arguments, name=name: call(name, *arguments))
            files.write_text(file, "new " * 1000)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


def test_a_kill_at_any_system_call_leaves_the_old_file_or_the_new(tmp_path: Path) -> None:
    subprocess.run([sys.executable, __file__, "kill", tmp_path], check=True, timeout=60)
    points = sorted(tmp_path.iterdir())
    texts = [(point / "summary.json").read_text() for point in points]
    switch = texts.index("new " * 1000)
    assert texts == ["old " * 1000] * switch + ["new " * 1000] * (len(points) - switch)
    assert 5 <= switch < len(points) - 2
    for point in points:
        files.write_text(point / "summary.json", "next")
        assert os.listdir(point) == ["summary.json"]


if __name__ == "__main__":
    {"limited": limited, "kill": kill_in_write}[sys.argv[1]](Path(sys.argv[2]))
