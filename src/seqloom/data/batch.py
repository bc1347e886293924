"""Batches of similar length: which examples go together, and their arrays padded to one.

The order of an epoch is a pure function of the lengths, the batch size, the seed and the epoch, so that a run that was
stopped goes on with the same batches and no state of a sampler need be saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seqloom.errors import SettingError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batch", "buckets", "in_order", "pad", "padding_share"]

POOL = 50
"""Batches in a pool: within one, examples are sorted by length. More pads less, fewer mixes better."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples padded together.

    Attributes:
        indices: which examples these are, [B].
        inputs: the padded arrays, [B, T] or [B, T, I].
        lengths: how much of each is not padding, [B].
        targets: what the task makes of them, [B] or [B, T].
    """

    indices: np.ndarray
    inputs: Tensor
    lengths: Tensor
    targets: Tensor


def buckets(lengths: np.ndarray, batch: int, *, seed: int, epoch: int) -> list[np.ndarray]:
    """The batches of one epoch of training: similar lengths together, in random order, every index once.

    The examples are shuffled, cut in pools, each pool sorted by length and cut in batches, and the batches shuffled.
    One batch may be smaller than the others.

    Raises:
        SettingError: ``batch`` is below 1.
    """
    _check(batch)
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    batches: list[np.ndarray] = []
    for pool in _cut(order, POOL * batch):
        batches += _cut(pool[np.argsort(lengths[pool], kind="stable")], batch)
    return [batches[place] for place in random.permutation(len(batches))]


def in_order(lengths: np.ndarray, batch: int) -> list[np.ndarray]:
    """The batches of an evaluation: sorted by length, every index once.

    Raises:
        SettingError: ``batch`` is below 1.
    """
    _check(batch)
    return _cut(np.argsort(lengths, kind="stable"), batch)


def padding_share(lengths: np.ndarray, batches: Iterable[np.ndarray]) -> float:
    """The share of all positions in the padded batches that is padding; 0 where there are none."""
    real = padded = 0
    for batch in batches:
        real += int(lengths[batch].sum())
        padded += len(batch) * int(lengths[batch].max(initial=0))
    return 1 - real / padded if padded else 0.0


def pad(arrays: Sequence[np.ndarray], value: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of ids [T] behind each other in one, filled with ``value``: int64 [B, T], and their lengths, int64 [B]."""
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    padded = np.full((len(arrays), lengths.max(initial=0)), value, dtype=np.int64)  # [B, T]
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded, lengths


def _cut(indices: np.ndarray, size: int) -> list[np.ndarray]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _check(batch: int) -> None:
    if batch < 1:
        raise SettingError(f"batch is {batch}; it must be at least 1")
