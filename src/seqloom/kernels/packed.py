"""Weights in the order of the compiled kernels, made once and kept for as long as they stay the same."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable
from functools import cache
from weakref import ref

import torch
from torch import Tensor

from seqloom import _native
from seqloom._native import Packed
from seqloom.errors import SettingError, ShapeError
from seqloom.kernels.checks import check_memory
from seqloom.kernels.interface import Weights

__all__ = ["KINDS", "Kept", "forget", "isa", "kept_weights", "packed_weights", "stash_size"]

KINDS: dict[tuple[str, str], str] = {
    ("elman", "tanh"): "elman-tanh",
    ("elman", "relu"): "elman-relu",
    ("gru", "tanh"): "gru",
    ("lstm", "tanh"): "lstm",
}
"""The compiled cells, by name and nonlinearity."""


@cache
def isa() -> str:
    """The instruction set that compiled code uses: the machine's best, or the lower one in ``SEQLOOM_ISA``.

    Raises:
        SettingError: ``SEQLOOM_ISA`` names none that this machine supports.
    """
    try:
        return _native.choose_isa(os.environ.get("SEQLOOM_ISA", ""))
    except ValueError as error:
        raise SettingError(str(error), help="unset SEQLOOM_ISA to use the best one") from None


class Kept:
    """Packed weights that are kept, with what they were made of. They go when one of the tensors does."""

    __slots__ = ("dtype", "hidden", "inputs", "packed", "seen", "shapes", "tensors")

    def __init__(self, key: Hashable, packed: Packed, weights: Weights, seen: _Seen) -> None:
        forget = _kept.pop
        self.tensors = [ref(each, lambda _: forget(key, None)) for each in weights if each is not None]
        self.shapes = [None if each is None else each.shape for each in weights]
        self.dtype, self.inputs, self.hidden = weights.ih.dtype, weights.ih.shape[1], weights.hh.shape[1]
        self.packed, self.seen = packed, seen

    @property
    def whole_from(self) -> int:
        """Beside so many steps of rows all weights are looked at."""
        return 0 if self.seen[0] is _UNCOUNTED else self.packed.whole_from

    def fits(self, weights: Weights) -> bool:
        """Whether weights at the same place are so still, whatever their numbers."""
        for each, shape in zip(weights, self.shapes, strict=True):
            if each is not None and not (
                each.shape == shape
                and each.dtype is self.dtype
                and each.is_cpu
                and each.is_contiguous()
                and not each.is_neg()
            ):
                return False
        return True


_Seen = tuple[tuple[int, int, int, int], tuple[int, int, int, int]]
"""Of each of the weights how often it has changed, and its address."""

_UNCOUNTED = (-1, -1, -1, -1)
"""Seen of tensors made in inference mode: torch does not count their changes, so all of them are looked at always."""

_kept: dict[Hashable, Kept] = {}


def kept_weights(kind: str, precision: str, weights: Weights, steps: int, renew: bool = False) -> Kept | None:
    """What ``packed_weights`` has kept of these weights; None where that is nothing, or they have changed since.

    With ``renew``, they are packed anew where only their numbers have changed, as by an optimizer's step.
    """
    ih, hh, bias_ih, bias_hh = weights
    kept = _kept.get((kind, precision, isa(), id(ih), id(hh), id(bias_ih), id(bias_hh)))
    if kept is None:
        return None
    seen = _look(weights)
    if not kept.fits(weights):
        return None
    if seen == kept.seen and kept.packed.matches(*seen[1], steps >= kept.whole_from, torch.get_num_threads()):
        return kept
    if not renew:
        return None
    kept.packed, kept.seen = _pack(kind, precision, weights), seen
    return kept


def packed_weights(kind: str, precision: str, weights: Weights, steps: int) -> Packed:
    """The weights, packed; packed anew only where they are other ones, or have changed, since they were last asked for.

    Kept are those of leaf tensors, until one of the tensors is gone. A change is seen by torch's counter of changes, or
    (after ``weight.data.mul_(2)``, which is not counted) by a checksum: of all weights, or of a sample if there is
    little else to do. Of weights made in inference mode nothing is counted, and the checksum is of all of them.

    Args:
        kind: one of the values of ``KINDS``.
        precision: of the products, as in ``Options``.
        weights: contiguous, on the CPU, of float32 or float64.
        steps: how many steps of how many rows there are to run, B * T.

    Raises:
        ShapeError: the weights differ in type or device.
    """
    kept = kept_weights(kind, precision, weights, steps, renew=True)
    if kept is not None:
        return kept.packed
    for name, each in zip(("weight_hh", "bias_ih", "bias_hh"), weights[1:], strict=True):
        if each is not None and not (each.dtype is weights.ih.dtype and each.is_cpu):
            wanted, given = f"{weights.ih.dtype} on cpu", f"{each.dtype} on {each.device}"
            raise ShapeError(f"{name} must be {wanted}, as weight_ih is; given {given}")
    if not all(each is None or each.is_leaf for each in weights):
        return _pack(kind, precision, weights)  # others are new at each call
    key = (kind, precision, isa(), *map(id, weights))
    seen = _look(weights)  # before the numbers are read: another thread may change them meanwhile
    packed = _pack(kind, precision, weights)
    _kept[key] = Kept(key, packed, weights, seen)
    return packed


def forget(tensors: Iterable[Tensor]) -> None:
    """Drops what is kept of these, for who can do nothing with a tensor that somebody watches."""
    gone = set(map(id, tensors))
    for key in [key for key, kept in _kept.copy().items() if any(id(each()) in gone for each in kept.tensors)]:
        _kept.pop(key, None)


def _pack(kind: str, precision: str, weights: Weights) -> Packed:
    ih, hh, bias_ih, bias_hh = weights
    biases = (0, 0) if bias_ih is None or bias_hh is None else (bias_ih.data_ptr(), bias_hh.data_ptr())
    exact = _precision(precision, ih.dtype)
    addresses = (ih.data_ptr(), hh.data_ptr(), *biases)
    for each in weights:
        if each is not None:
            check_memory(each)
    return Packed(kind, isa(), exact, ih.shape[1], hh.shape[1], *addresses, torch.get_num_threads())


def _look(weights: Weights) -> _Seen:
    ih, hh, bias_ih, bias_hh = weights
    if any(each is not None and each.is_inference() for each in weights):
        first, second, third, fourth = (0 if each is None else each.data_ptr() for each in weights)
        return _UNCOUNTED, (first, second, third, fourth)
    if bias_ih is None or bias_hh is None:
        return (ih._version, hh._version, 0, 0), (ih.data_ptr(), hh.data_ptr(), 0, 0)
    versions = ih._version, hh._version, bias_ih._version, bias_hh._version
    return versions, (ih.data_ptr(), hh.data_ptr(), bias_ih.data_ptr(), bias_hh.data_ptr())


def _precision(precision: str, dtype: torch.dtype) -> str:
    return "float64" if dtype == torch.float64 else precision


@cache
def stash_size(kind: str, precision: str, dtype: torch.dtype, hidden: int) -> int:
    """How many numbers forward keeps for backward, for each row and step."""
    return _native.stash_size(kind, isa(), _precision(precision, dtype), hidden)
