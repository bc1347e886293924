"""Checkpoints under real kills and on a really full disk."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom.errors import RunError
from seqloom.run import Run
from seqloom.training.checkpoint import TrainingState, load_best, load_newest, save
from tests.training.checkpoints import FILES, digest, names, state

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"task": "classify"})


# --- kills ------------------------------------------------------------------------------------------------------------

SCENARIOS: dict[str, tuple[list[TrainingState], TrainingState]] = {
    "first": ([], state(100, best=True)),
    "later": ([state(100, best=True), state(200), state(300)], state(400)),
    "new best": ([state(100, best=True), state(200), state(300)], state(400, best=True)),
    "same step": ([state(100, best=True), state(200)], state(200, epoch=4)),
    "same and only step": ([state(100)], state(100, epoch=4)),
}


def kill_at(point: int) -> None:
    """Makes this process kill itself at the ``point``-th call that changes the disk; a write also dies half done."""
    passed = 0

    def wrap(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal passed
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)
            passed += 1
            if name == "write":
                if passed == point:
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                    os.kill(os.getpid(), signal.SIGKILL)
                passed += 1
            return real(*arguments, **options)

        return call

    os.fsync = lambda descriptor: None  # what is written outlives a kill without it
    for name in ("open", "write", "fsync", "close", "replace", "rename", "mkdir", "unlink", "rmdir"):
        setattr(os, name, wrap(name, getattr(os, name)))


def kill_everywhere(scenario: str, work: Path) -> None:
    """Saves in child processes, each killed one call later than the last, until one lives; leaves a run of each."""
    before, after = SCENARIOS[scenario]
    template = Run.create(work / "template")
    for each in before:
        save(template, each)
    for point in range(1000):
        run = Run(Path(shutil.copytree(template.path, work / f"{point:03d}")))
        child = os.fork()
        if child == 0:
            kill_at(point)
            save(run, after)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        assert os.WIFSIGNALED(status), status
        assert os.WTERMSIG(status) == signal.SIGKILL


def child(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """This file as a program of its own, begun where its imports are found."""
    command = [sys.executable, "-m", "tests.training.test_checkpoint_kills", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a scenario, with a run for each call at which a save was killed."""
    work = tmp_path_factory.mktemp("killed")
    finished = child("kill", work)
    assert finished.returncode == 0, finished.stderr
    return work


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kill_at_any_system_call_leaves_a_whole_checkpoint(
    killed: Path, scenario: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    before, after = SCENARIOS[scenario]
    points = sorted((killed / scenario).glob("[0-9]*"))
    assert len(points) > 30
    old = digest(before[-1]) if before else None
    found = []
    for point in points:
        run = Run.open(point)
        loaded, notes = load_newest(run)
        assert notes == (), point
        found.append(digest(loaded) if loaded else None)
        assert load_best(run)[1] == (), point
        save(run, state(500))
        assert not [name for name in names(run) if name.startswith(".")], point
        assert len(names(run)) <= 3, point
        assert digest(load_newest(run)[0]) == digest(state(500))
        if any(each.best for each in before) and not after.best:
            assert digest(load_best(run)[0]) == digest(before[0])
    switch = found.index(digest(after))
    assert found == [old] * switch + [digest(after)] * (len(found) - switch)  # never back, and never anything else
    assert switch > 20


def test_every_file_is_on_the_disk_before_its_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a power cut needs and a kill cannot show: files, folder, rename, folder above, in this order."""
    calls: list[tuple[str, str]] = []
    opened: dict[int, str] = {}
    really_open, really_sync, really_replace = os.open, os.fsync, os.replace

    def note_open(path: Any, *rest: Any, **options: Any) -> int:
        descriptor = really_open(path, *rest, **options)
        opened[descriptor] = Path(path).name
        return descriptor

    def note_sync(descriptor: int) -> None:
        calls.append(("fsync", opened[descriptor]))
        really_sync(descriptor)

    def note_replace(source: Any, target: Any) -> None:
        calls.append(("replace", Path(target).name))
        really_replace(source, target)

    monkeypatch.setattr(os, "open", note_open)
    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    save(run, state(100))
    assert calls == [
        *(("fsync", name) for name in FILES),
        ("fsync", ".step-000000100.tmp"),
        ("replace", "step-000000100"),
        ("fsync", "checkpoints"),
    ]


# --- full disks -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("free", [0, 4096, 40_000, 130_000, 200_000])
def test_a_full_disk_leaves_the_last_checkpoint_and_says_so(small_disk: Path, free: int) -> None:
    run = Run.create(small_disk / "run")
    size = 5000  # a state of 200 kB
    save(run, state(100, best=True, size=size))
    save(run, state(200, size=size))
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filler").write_bytes(bytes(room - free))
    before = names(run)
    with pytest.raises(
        RunError, match=r"step-000000300: No space left on device; it needs 2\d\d,\d\d\d bytes"
    ) as caught:
        save(run, state(300, size=size))
    assert caught.value.exit_status == 4
    assert "make room" in str(caught.value)
    assert names(run) == before
    assert digest(load_newest(run)[0]) == digest(state(200, size=size))
    (small_disk / "filler").unlink()
    save(run, state(300, size=size))
    assert digest(load_newest(run)[0]) == digest(state(300, size=size))


def save_limited(path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    try:
        save(Run.open(path), state(200, size=5000))
    except RunError as error:
        print(error)
        sys.exit(error.exit_status)


def test_a_limit_on_file_size_leaves_the_last_checkpoint_and_says_so(run: Run) -> None:
    save(run, state(100, size=5000))
    failed = child("limited", run.path)
    assert failed.returncode == 4, failed.stderr
    assert failed.stdout.startswith("error: cannot write")
    assert "File too large" in failed.stdout
    assert "ulimit" in failed.stdout
    assert failed.stderr == ""
    assert names(run) == ["step-000000100"]
    assert digest(load_newest(run)[0]) == digest(state(100, size=5000))


def test_an_interrupt_during_a_save_leaves_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save(run, state(100))
    really_sync = os.fsync
    left = [3]

    def interrupted(descriptor: int) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(run, state(200))
    assert names(run) == ["step-000000100"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "kill":
        for scenario in SCENARIOS:
            kill_everywhere(scenario, Path(sys.argv[2]) / scenario)
    else:
        save_limited(Path(sys.argv[2]))
