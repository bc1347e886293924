"""What checkpoints keep, to the bit, and what they do about real damage."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

import pytest
import torch

from seqloom.errors import RunError
from seqloom.run import Run
from seqloom.training import checkpoint
from seqloom.training.checkpoint import TrainingState, load_best, load_newest, save
from tests.training.checkpoints import FILES, digest, folder, names, state


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
