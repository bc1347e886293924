"""What a layer's constructor is given, checked: each function returns the value as the layer keeps it.

All raise a SettingError that names the argument, says what is allowed and what was given.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import SupportsFloat, SupportsIndex

import torch

from seqloom.errors import SettingError, nearest

__all__ = ["flag", "precision", "rate", "rates", "whole"]

PRECISIONS = ("bfloat16", "float32")


def whole(name: str, value: SupportsIndex) -> int:
    """A whole number of at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise SettingError(f"{name} must be a whole number of at least 1; given {value}")
    return number


def flag(name: str, value: SupportsFloat) -> bool:
    """True or False, also as 1 and 0 or a truth value of NumPy's; but no number that slipped one place along."""
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except TypeError:
        number = math.nan
    if number not in (0, 1):
        raise SettingError(f"{name} must be True or False; given {value!r}", help="give the arguments by name")
    return bool(value)


def rate(name: str, value: float) -> float:
    """A number from 0 to 1."""
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except TypeError:
        number = math.nan
    if not 0 <= number <= 1:
        raise SettingError(f"{name} must be a number from 0 to 1; given {value!r}")
    return number


def rates(name: str, value: float | Sequence[float], states: Sequence[str]) -> tuple[float, ...]:
    """One rate for each of a cell's states; empty where all are 0."""
    each = tuple(value) if isinstance(value, Sequence) else (value,) * len(states)
    if len(each) != len(states):
        raise SettingError(f"{name} must be one rate, or one for each of {', '.join(states)}; given {value!r}")
    each = tuple(rate(name, one) for one in each)
    return each if any(each) else ()


def precision(name: str, value: str, dtype: torch.dtype) -> str:
    """One of the precisions there are, that goes with the type of the weights."""
    if value not in PRECISIONS:
        raise SettingError(f'{name} "{value}" is not one there is', help=nearest(value, PRECISIONS))
    if value == "bfloat16" and dtype != torch.float32:
        raise SettingError(
            f'{name} "bfloat16" needs weights of torch.float32; given {dtype}', help=f"leave out {name} or dtype"
        )
    return value
