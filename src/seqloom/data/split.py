"""Splits off a validation part: stratified, seeded, and with equal texts on one side."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from seqloom.errors import SettingError

__all__ = ["fold", "split"]


def fold(text: str) -> str:
    """What makes two texts equal: NFC, without white space at the ends, every other run of it one blank.

    >>> fold(" a\\tb ") == fold("a  b")
    True
    """
    return unicodedata.normalize("NFC", " ".join(text.split()))


def split(
    texts: Sequence[str], labels: Sequence[Hashable] | None, share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The indices of the training and of the validation part, each ascending.

    Texts that are equal (``fold``) form a group that stays on one side; the label of a group is that of its first
    text. In every label the groups are drawn in a seeded random order until the validation part has its share of
    records; every label keeps at least one group for training.

    Args:
        labels: one a text, or None.
        share: of the records that go into the validation part, between 0 and 1.

    Raises:
        SettingError: the share is out of range, or there are fewer than two different texts.
    """
    if not 0 < share < 1:
        raise SettingError(f"the validation share is {share}", help="give a share between 0 and 1, such as 0.1")
    group_of, sizes, first = _groups(texts)
    if len(sizes) < 2:
        raise SettingError(
            f"{len(sizes)} different texts cannot be split into a training and a validation part",
            help="give more records, or a validation file with --valid",
        )
    strata: dict[Hashable, list[int]] = {}
    for group, index in enumerate(first):
        strata.setdefault(None if labels is None else labels[index], []).append(group)
    random = np.random.default_rng(seed)
    orders = [random.permutation(np.array(groups)) for groups in strata.values()]
    quotas = _quotas([int(sizes[order].sum()) for order in orders], share)
    chosen = np.zeros(len(sizes), dtype=bool)
    for order, quota in zip(orders, quotas, strict=True):
        chosen[_drawn(order, sizes, quota)] = True
    if not chosen.any():  # a share so small, or groups so large, that no label gave any
        largest = max(orders, key=len)
        chosen[largest[0] if len(largest) > 1 else orders[-1][0]] = True
    valid = chosen[group_of]
    return np.flatnonzero(~valid), np.flatnonzero(valid)


def _groups(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], list[int]]:
    """The group of each text, the size of each group, and the first text of each group."""
    numbers: dict[str, int] = {}
    group_of = np.empty(len(texts), dtype=np.int64)
    first: list[int] = []
    for index, text in enumerate(texts):
        group = numbers.setdefault(fold(text), len(numbers))
        if group == len(first):
            first.append(index)
        group_of[index] = group
    return group_of, np.bincount(group_of, minlength=len(first)).astype(np.int64), first


def _quotas(totals: list[int], share: float) -> list[int]:
    """How many records each label gives: its share rounded down, the rest to those that lost most by rounding."""
    exact = [share * total for total in totals]
    quotas = [int(value) for value in exact]
    rest = round(sum(exact)) - sum(quotas)
    by_loss = sorted(range(len(totals)), key=lambda index: quotas[index] - exact[index])
    for index in by_loss[:rest]:
        quotas[index] += 1
    return quotas


def _drawn(order: NDArray[np.int64], sizes: NDArray[np.int64], quota: int) -> list[int]:
    """Groups in the given order that fit into the quota; one group at least is not drawn."""
    drawn: list[int] = []
    for group in order.tolist():
        if quota == 0 or len(drawn) == len(order) - 1:
            break
        if sizes[group] <= quota:
            quota -= int(sizes[group])
            drawn.append(group)
    return drawn
