"""One training a run: the lock holds between processes and threads, ends with its holder, and leaves nothing behind."""

from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seqloom
from seqloom import run as runs
from seqloom.errors import RunError
from seqloom.run import Run

HOLD = """
import sys
from seqloom.run import Run

with Run.open(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"task": "classify"})


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.path.parent.rglob("*") if path.is_file()}


def test_a_second_one_is_told_what_to_do_and_the_lock_ends(run: Run) -> None:
    before = files(run)
    with run.locked():
        with pytest.raises(RunError, match="is being trained by another process") as refused:
            Run.open(run.path).locked().__enter__()
        assert refused.value.exit_status == 4
        assert "wait for its end or stop it" in str(refused.value)
        assert Run.open(run.path).read_toml()["task"] == "classify"
    with pytest.raises(ZeroDivisionError), run.locked():
        raise ZeroDivisionError
    with run.locked():
        assert files(run) == before


def test_a_killed_process_holds_nothing(run: Run) -> None:
    command = [sys.executable, "-c", HOLD, str(run.path)]
    environment = {"PYTHONPATH": str(Path(seqloom.__file__).parents[1])}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match="is being trained"):
            run.locked().__enter__()
        holder.kill()
        holder.wait()
        with run.locked():
            pass


def test_a_run_in_training_is_not_overwritten(run: Run) -> None:
    before = files(run)
    with run.locked():
        for refuse in (runs.check_free, Run.create):
            with pytest.raises(RunError, match="is being trained"):
                refuse(run.path, overwrite=True)  # type: ignore[operator]
            with pytest.raises(RunError, match="holds a run already"):
                refuse(run.path)  # type: ignore[operator]
        assert files(run) == before
    runs.check_free(run.path, overwrite=True)
    assert Run.create(run.path, {"task": "language"}, overwrite=True).read_toml()["task"] == "language"


def test_a_run_that_was_replaced_before_the_lock_is_not_held(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    flock = fcntl.flock

    def replaced_first(descriptor: int, how: int) -> None:
        monkeypatch.undo()
        Run.create(run.path, {"task": "the other's"}, overwrite=True)
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", replaced_first)
    with pytest.raises(RunError, match="has just been replaced by another process"):
        run.locked().__enter__()


def test_a_file_system_without_locks_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match=r"cannot lock .*run\.toml: No locks available") as refused:
        run.locked().__enter__()
    assert "--out" in str(refused.value)
