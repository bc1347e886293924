"""States of a training to save and to find again, for the tests of checkpoints."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch

from seqloom.run import Run
from seqloom.training.checkpoint import TrainingState

__all__ = ["FILES", "digest", "folder", "names", "state"]

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
