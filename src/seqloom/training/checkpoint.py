"""Checkpoints: the whole state of a training, saved so that a kill at any point leaves one that is whole.

    checkpoints/step-000001200/
        weights.safetensors    optimizer.safetensors    state.safetensors    state.json
        manifest.json          size and SHA-256 of the other four

A checkpoint is written into ``.step-000001200.tmp``, every file synced, and the folder renamed into place; only then
are older ones deleted. The newest two that are whole stay, and the best as each of them knows it (three folders at
most): each state.json has the ``best_step``, so no kill can part a checkpoint from the memory of the best. A step saved
a second time stands as ``step-000001200.old`` between two renames, and is read from there if a kill falls in between.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloom.errors import RunError
from seqloom.files import cannot_write, sync_folder, write_synced
from seqloom.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = [
    "TrainingState",
    "best_weights",
    "load_best",
    "load_newest",
    "optimizer_tensors",
    "restore_optimizer",
    "save",
]

MOMENTS = ("exp_avg", "exp_avg_sq", "step")
"""What AdamW remembers of each parameter."""

BEST = "best."
"""How tensors of the state are named that are the best weights, in a checkpoint whose own weights are not the best."""

NAME = re.compile(r"step-(\d{9,})(\.old)?")
TENSOR_FILES = ("weights.safetensors", "optimizer.safetensors", "state.safetensors")
STATE_FILE = "state.json"
MANIFEST = "manifest.json"

_whole: set[Path] = set()  # checkpoints that this process wrote or read whole: saving need not read them once more


@dataclass
class TrainingState:
    """All that decides the next step of a training."""

    step: int
    epoch: int
    position: int
    """Batches done in this epoch."""
    weights: dict[str, Tensor]
    """What predicts: the model's own weights, or their means."""
    optimizer: dict[str, Tensor]
    """``exp_avg.<parameter>``, ``exp_avg_sq.<parameter>``, ``step.<parameter>``."""
    tensors: dict[str, Tensor]
    """States of the generators, carried recurrent states, the model's own weights beside their means."""
    values: dict[str, Any]
    """JSON values: plan, patience, best score, seconds, running sums. Floats come back to the bit, tuples as lists."""
    best: bool
    """These weights are the best so far."""


class _Damaged(Exception):
    """A checkpoint that is not whole, and why."""


# Saving -----------------------------------------------------------------------------------------------------------


def save(run: Run, state: TrainingState) -> Path:
    """Writes a checkpoint, and then deletes those that are no longer needed; returns its folder.

    Raises:
        RunError: it cannot be written; the checkpoints before it are as they were, and nothing is left beside them.
    """
    name = f"step-{state.step:09d}"
    final, temporary, old = (run.checkpoints / form for form in (name, f".{name}.tmp", f"{name}.old"))
    try:
        run.checkpoints.mkdir(exist_ok=True)
        for leftover in run.checkpoints.glob(".*.tmp"):
            shutil.rmtree(leftover)
        previous = _first_whole(folder for folder in _newest_first(run) if _step(folder) <= state.step)
        before = _first_whole(folder for folder in _newest_first(run) if _step(folder) < state.step)
        best = state.step if state.best else _best_step(previous)
        temporary.mkdir()
        _write(temporary, state, best)
        if final.exists():
            _delete(old)
            os.replace(final, old)
        os.replace(temporary, final)
        sync_folder(run.checkpoints)
    except BaseException as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if isinstance(error, OSError):
            size = sum(tensor.nbytes for part in _tensors(state) for tensor in part.values())
            raise cannot_write(final, error, size) from error
        raise
    _whole.add(final.absolute())
    needed = {best, _best_step(before)}
    for folder in _newest_first(run):
        replaced = folder.suffix and folder.with_suffix("").exists()
        if folder not in (final, before) and (replaced or _step(folder) not in needed):
            _delete(folder)
    return final


def _tensors(state: TrainingState) -> tuple[dict[str, Tensor], ...]:
    return state.weights, state.optimizer, state.tensors


def _write(folder: Path, state: TrainingState, best: int | None) -> None:
    prints = {}

    def write(name: str, data: bytes) -> None:
        write_synced(folder / name, data)
        prints[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    for name, tensors in zip(TENSOR_FILES, _tensors(state), strict=True):
        write(name, _serialize(tensors))
    counts = {"step": state.step, "epoch": state.epoch, "position": state.position, "best_step": best}
    write(STATE_FILE, json.dumps(counts | {"values": state.values}).encode())  # a float's repr is exact
    write_synced(folder / MANIFEST, json.dumps(prints, indent=1).encode())
    sync_folder(folder)


def _serialize(tensors: Mapping[str, Tensor]) -> bytes:
    """The safetensors form; tensors that share memory, as tied weights do, are each written whole."""
    from safetensors.torch import save as serialize

    separate, seen = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        separate[name] = plain.clone() if memory in seen else plain
        seen.add(memory)
    return bytes(serialize(separate))


def _delete(folder: Path) -> None:
    """Deletes a checkpoint; a kill leaves it whole or under a name that the next save clears away."""
    hidden = folder.with_name(f".{folder.name}.tmp")
    _whole.discard(folder.absolute())
    with suppress(OSError):  # what cannot be deleted now stays for the next save
        os.replace(folder, hidden)
        shutil.rmtree(hidden)


# Loading ----------------------------------------------------------------------------------------------------------


def load_newest(run: Run) -> tuple[TrainingState | None, tuple[str, ...]]:
    """The newest checkpoint that is whole, None if none was ever saved, and a note on each damaged one passed over.

    Raises:
        RunError: there are checkpoints, and every one is damaged.
    """
    state, _, notes = _load_first(run, _newest_first(run))
    return state, notes


def load_best(run: Run) -> tuple[TrainingState | None, tuple[str, ...]]:
    """The best checkpoint as the newest whole one knows it, None if no checkpoint was ever the best, and notes.

    Raises:
        RunError: every checkpoint is damaged, or the best one is.
    """
    state, newest, notes = _load_first(run, _newest_first(run))
    if state is None or state.best:
        return state, notes
    best = _best_step(newest)
    if best is None:
        return None, notes
    state, _, more = _load_first(run, [folder for folder in _newest_first(run) if _step(folder) == best])
    if state is None:
        help = f"seqloom resume {run.path} goes on from the newest one"
        raise RunError(f"the best checkpoint of {run.path}, of step {best:,}, is missing", help=help)
    return state, notes + more


def best_weights(state: TrainingState) -> dict[str, Tensor]:
    """The best weights a checkpoint knows: its own, or those it carries as ``best.<parameter>`` among its tensors."""
    if state.best:
        return dict(state.weights)
    return {name.removeprefix(BEST): tensor for name, tensor in state.tensors.items() if name.startswith(BEST)}


def _load_first(run: Run, folders: list[Path]) -> tuple[TrainingState | None, Path | None, tuple[str, ...]]:
    damages = []
    for folder in folders:
        try:
            state = _load(folder)
        except _Damaged as damage:
            damages.append(f"{folder.name} is damaged ({damage})")
            continue
        return state, folder, tuple(f"checkpoint {damage}; {folder.name} is used instead" for damage in damages)
    if damages:
        help = "copy the run again from where it was made, or train anew with --overwrite"
        raise RunError(f"no checkpoint in {run.checkpoints} is whole: {', '.join(damages)}", help=help)
    return None, None, ()


def _load(folder: Path) -> TrainingState:
    from safetensors import SafetensorError
    from safetensors.torch import load as parse

    files = _read(folder)
    try:
        weights, optimizer, tensors = (parse(files[name]) for name in TENSOR_FILES)
        state = json.loads(files[STATE_FILE])
        counts = {name: state[name] for name in ("step", "epoch", "position", "values")}
        return TrainingState(
            **counts, weights=weights, optimizer=optimizer, tensors=tensors, best=state["best_step"] == state["step"]
        )
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"it cannot be read: {error}") from error


def _read(folder: Path) -> dict[str, bytes]:
    """The files of a checkpoint, held against its manifest."""
    _whole.discard(folder.absolute())
    name = MANIFEST
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        files = {}
        for name in (*TENSOR_FILES, STATE_FILE):
            expected = manifest[name]
            files[name] = data = (folder / name).read_bytes()
            if len(data) != expected["bytes"]:
                raise _Damaged(f"{name} has {len(data):,} bytes, not {expected['bytes']}")
            if hashlib.sha256(data).hexdigest() != expected["sha256"]:
                raise _Damaged(f"{name} has another SHA-256 than when it was saved")
    except OSError as error:
        raise _Damaged(f"{name}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _Damaged(f"{MANIFEST} cannot be read: {error!r}") from error
    _whole.add(folder.absolute())
    return files


def _newest_first(run: Run) -> list[Path]:
    """The checkpoints there are; of one step, the one being replaced comes after the one that replaces it."""
    folders = [folder for folder in run.checkpoints.glob("step-*") if NAME.fullmatch(folder.name)]
    return sorted(folders, key=lambda folder: (-_step(folder), folder.name))


def _step(folder: Path) -> int:
    found = NAME.fullmatch(folder.name)
    return int(found[1]) if found else -1


def _first_whole(folders: Iterable[Path]) -> Path | None:
    for folder in folders:
        if folder.absolute() in _whole:
            return folder
        with suppress(_Damaged):
            _read(folder)
            return folder
    return None


def _best_step(folder: Path | None) -> int | None:
    """The step of the best checkpoint as a whole one knows it."""
    if folder is None:
        return None
    best: int | None = json.loads((folder / STATE_FILE).read_bytes())["best_step"]
    return best


# The optimizer ----------------------------------------------------------------------------------------------------


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What AdamW (without amsgrad) remembers, by the parameter's name; zeros for a parameter it has not stepped yet.

    The settings of its groups are not in it: the schedule sets the learning rate before each step.
    """
    tensors: dict[str, Tensor] = {}
    for name, parameter, group in _optimized(model, optimizer):
        memory = optimizer.state.get(parameter) or _new_memory(parameter, group)
        tensors |= {f"{moment}.{name}": memory[moment] for moment in MOMENTS}
    return tensors


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Gives AdamW back what ``optimizer_tensors`` took from it, also before its first step.

    Raises:
        RunError: a tensor is missing or has another shape; the optimizer is as it was then.
    """
    restored: dict[Tensor, dict[str, Tensor]] = {}
    for name, parameter, group in _optimized(model, optimizer):
        memory = _new_memory(parameter, group)
        for moment, target in memory.items():
            source = tensors.get(f"{moment}.{name}")
            if source is None or source.shape != target.shape:
                found = "is missing" if source is None else f"has the shape {list(source.shape)}"
                message = f"the checkpoint does not fit the model: {moment}.{name} {found}, not {list(target.shape)}"
                raise RunError(message, help="train anew: the settings or the version have changed")
            target.copy_(source)
        restored[parameter] = memory
    optimizer.state.update(restored)


def _optimized(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> Iterator[tuple[str, nn.Parameter, dict[str, Any]]]:
    groups = {parameter: group for group in optimizer.param_groups for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        if parameter in groups:
            yield name, parameter, groups[parameter]


def _new_memory(parameter: Tensor, group: dict[str, Any]) -> dict[str, Tensor]:
    """What AdamW gives itself at a parameter's first step (``_init_group`` in torch/optim/adam.py)."""
    import torch

    on_device = group.get("fused") or group.get("capturable")
    return {
        "exp_avg": torch.zeros_like(parameter, requires_grad=False),
        "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        "step": torch.zeros((), dtype=torch.float32, device=parameter.device if on_device else "cpu"),
    }
