"""Checkpoints under real kills, a really full disk and real damage."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom.errors import RunError
from seqloom.run import Run
from seqloom.training import checkpoint
from seqloom.training.checkpoint import TrainingState, load_best, load_newest, save

FILES = ("weights.safetensors", "optimizer.safetensors", "state.safetensors", "state.json", "manifest.json")


def state(step: int, *, best: bool = False, epoch: int = 3, size: int = 37) -> TrainingState:
    """A state whose every bit follows from its arguments."""
    generator = torch.Generator().manual_seed(1000 * epoch + step)
    weights = {
        "rnn.weight_hh_l0": torch.randn(size, 5, generator=generator),
        "자모.bias": torch.arange(step, step + 3).bfloat16(),
    }
    optimizer = {f"exp_avg.{name}": tensor.float() / 3 for name, tensor in weights.items()}
    tensors = {"generator": generator.get_state(), "carried.0": torch.full((2, 1, 5), step / 7)}
    values = {"best_score": step / 3, "plan": {"steps": 7 * step}, "text": "한글"}
    return TrainingState(step, epoch, step % 11, weights, optimizer, tensors, values, best)


def digest(state: TrainingState | None) -> str:
    """One number over all of a state."""
    assert state is not None
    found = hashlib.sha256(repr((state.step, state.epoch, state.position, state.values, state.best)).encode())
    for part in (state.weights, state.optimizer, state.tensors):
        for name, tensor in sorted(part.items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def names(run: Run) -> list[str]:
    return sorted(os.listdir(run.checkpoints))


def folder(run: Run, step: int) -> Path:
    return run.checkpoints / f"step-{step:09d}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", {"task": "classify"})


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_a_state_comes_back_to_the_bit(run: Run) -> None:
    save(run, state(12))
    loaded, notes = load_newest(run)
    assert digest(loaded) == digest(state(12))
    assert notes == ()
    assert sorted(os.listdir(folder(run, 12))) == sorted(FILES)


def test_no_checkpoint_is_none(run: Run) -> None:
    assert load_newest(run) == (None, ())
    assert load_best(run) == (None, ())
    save(run, state(1))
    assert load_best(run) == (None, ())


def test_floats_come_back_to_the_bit(run: Run) -> None:
    floats = [
        0.1 + 0.2,
        5e-324,
        -0.0,
        1.7976931348623157e308,
        float("inf"),
        -float("inf"),
        float("nan"),
        1 / 3,
        2.0**-1074,
    ]
    big = 2**70 + 1
    save(run, TrainingState(1, 0, 0, {}, {}, {}, {"floats": floats, "big": big, "none": None}, True))
    loaded, _ = load_newest(run)
    assert loaded is not None
    assert struct.pack("9d", *loaded.values["floats"]) == struct.pack("9d", *floats)
    assert loaded.values["big"] == big
    assert loaded.values["none"] is None


def test_tensors_that_share_memory_or_have_gaps(run: Run) -> None:
    table = torch.randn(4, 6)
    weights = {"embedding": table, "output": table, "transposed": table.T, "row": table[1], "empty": torch.empty(0, 3)}
    save(run, TrainingState(1, 0, 0, weights, {}, {}, {}, True))
    loaded, _ = load_newest(run)
    assert loaded is not None
    for name, tensor in weights.items():
        assert torch.equal(loaded.weights[name], tensor), name


@pytest.mark.parametrize(
    ("bests", "kept"),
    [
        (set(), [50, 60]),
        ({10}, [10, 50, 60]),
        ({10, 20}, [20, 50, 60]),
        ({50}, [50, 60]),
        ({10, 60}, [10, 50, 60]),  # 50 is what a damaged 60 falls back to, and it knows 10 as the best
        ({10, 20, 30, 40, 50, 60}, [50, 60]),
    ],
)
def test_the_newest_two_and_the_best_are_kept(run: Run, bests: set[int], kept: list[int]) -> None:
    for step in range(10, 70, 10):
        save(run, state(step, best=step in bests))
    assert names(run) == [f"step-{step:09d}" for step in kept]
    best, notes = load_best(run)
    assert (best.step if best else None) == max(bests, default=None)
    if best:
        assert digest(best) == digest(state(max(bests), best=True))
    assert notes == ()


def test_best_weights_are_its_own_or_those_it_carries() -> None:
    own = state(5, best=True)
    assert checkpoint.best_weights(own).keys() == own.weights.keys()
    other = state(5)
    assert checkpoint.best_weights(other) == {}
    other.tensors["best.rnn.weight"] = torch.ones(2)
    assert torch.equal(checkpoint.best_weights(other)["rnn.weight"], torch.ones(2))


def test_a_step_saved_again_replaces_the_first(run: Run) -> None:
    save(run, state(10, best=True))
    save(run, state(20))
    save(run, state(20, epoch=4))
    assert names(run) == ["step-000000010", "step-000000020"]
    assert digest(load_newest(run)[0]) == digest(state(20, epoch=4))
    assert digest(load_best(run)[0]) == digest(state(10, best=True))


# --- damage -----------------------------------------------------------------------------------------------------------


def damage(file: Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "missing":
        file.unlink()
    elif how == "cut off":
        file.write_bytes(data[:-7])
    elif how == "empty":
        file.write_bytes(b"")
    else:
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


@pytest.mark.parametrize("how", ["missing", "cut off", "empty", "flipped bit"])
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_used(run: Run, file: str, how: str) -> None:
    for step in (100, 200, 300):
        save(run, state(step, best=step == 100))
    damage(folder(run, 300) / file, how)
    loaded, notes = load_newest(run)
    assert digest(loaded) == digest(state(200))
    assert len(notes) == 1
    assert "step-000000300 is damaged" in notes[0]
    assert file in notes[0] or (file, how) == ("manifest.json", "flipped bit")  # then it accuses another file
    assert "step-000000200 is used instead" in notes[0]
    assert digest(load_best(run)[0]) == digest(state(100, best=True))


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(run: Run) -> None:
    for step in (100, 200, 300):
        save(run, state(step))
    damage(folder(run, 300) / "weights.safetensors", "flipped bit")
    load_newest(run)
    save(run, state(310))  # the resumed training saves at another moment than the killed one
    assert names(run) == ["step-000000200", "step-000000310"]
    damage(folder(run, 310) / "state.json", "cut off")
    assert digest(load_newest(run)[0]) == digest(state(200))


def test_what_lies_after_the_saved_step_is_an_abandoned_future(run: Run) -> None:
    for step in (100, 200, 300):
        save(run, state(step, best=step == 300))
    damage(folder(run, 300) / "manifest.json", "missing")
    load_newest(run)
    save(run, state(250))
    assert names(run) == ["step-000000200", "step-000000250"]
    assert load_best(run) == (None, ())


def test_none_whole_is_an_error(run: Run) -> None:
    for step in (100, 200):
        save(run, state(step))
        damage(folder(run, step) / "weights.safetensors", "flipped bit")
    with pytest.raises(RunError, match=r"step-000000200 .*step-000000100 .*SHA-256") as caught:
        load_newest(run)
    assert caught.value.exit_status == 4
    assert caught.value.help


def test_a_best_checkpoint_that_is_gone_is_an_error(run: Run) -> None:
    for step in (100, 200, 300):
        save(run, state(step, best=step == 100))
    shutil.rmtree(folder(run, 100))
    with pytest.raises(RunError, match=r"the best checkpoint .* 100"):
        load_best(run)


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
    """This file as a program of its own."""
    return subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True, check=False)


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
