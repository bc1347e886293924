from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import seqloom as package
from seqloom import parts
from seqloom.errors import DataError, RunError, SeqloomError, SettingError

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1])}


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def describe(kind: str, name: str) -> str:
        raise error

    monkeypatch.setattr(parts, "describe", describe)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SeqloomError("no"), 1),
        (SettingError("no"), 2),
        (DataError("no", code="D001", file="x.csv", line=3, column="y"), 3),
        (RunError("no", help="do this"), 4),
    ],
)
def test_an_error_is_its_own_text_and_status(seqloom, monkeypatch, error, status):
    fail_with(monkeypatch, error)
    assert seqloom("parts") == (status, "", f"{error}\n")


def test_ctrl_c_is_130_and_says_so_in_a_word(seqloom, monkeypatch):
    fail_with(monkeypatch, KeyboardInterrupt())
    assert seqloom("parts") == (130, "", "interrupted\n")


def test_a_fault_of_ours_is_one_message_without_a_traceback(seqloom, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError("float division by zero"))
    status, out, err = seqloom("parts")
    assert (status, out) == (1, "")
    assert err.startswith(
        "error: a fault of seqloom itself: ZeroDivisionError: float division by zero\n  help: please rep"
    )
    assert "Traceback" not in err
    monkeypatch.setenv("SEQLOOM_DEBUG", "1")
    assert "Traceback" in seqloom("parts").err


def test_a_reader_that_goes_away_is_answered_in_silence():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "seqloom", "parts"]
    done = subprocess.run(command, env=ENVIRONMENT, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp949"])
def test_what_a_pipe_receives_is_utf8_whatever_the_locale(tmp_path, encoding):
    command = [sys.executable, "-m", "seqloom", "inspect", "영화 café.csv"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": encoding}
    missing = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True)
    assert missing.returncode == 3
    assert "영화 café.csv" in missing.stderr.decode("utf-8")
    rows = "".join(f"평이 좋은 café 영화 {row},{'좋음' if row % 2 else '나쁨'}\n" for row in range(20))
    (tmp_path / "영화 café.csv").write_text(f"리뷰,평가\n{rows}", "utf-8")
    found = subprocess.run([*command, "--json"], env=environment, cwd=tmp_path, capture_output=True)
    assert found.returncode == 0
    assert json.loads(found.stdout.decode("utf-8"))["text"] == "리뷰"
    assert "평이 좋은 café" in found.stdout.decode("utf-8")
