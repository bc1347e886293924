"""The letters that stand for sizes in every docstring and comment, and a check that names the argument.

    B  batch            T  time            I  input features    H  hidden units
    G  gates            E  embedding       V  vocabulary        L  layers
    D  directions       C  channels or series F  forecast steps    Q  quantiles

A state is ``[L*D, B, H]``, as in torch.
"""

from __future__ import annotations

from typing import Protocol

from seqloom.errors import ShapeError

__all__ = ["check"]


class HasShape(Protocol):
    """Anything with a shape: a torch tensor, a numpy array."""

    @property
    def shape(self) -> tuple[int, ...]: ...


def check(name: str, array: HasShape, letters: str, **sizes: int) -> dict[str, int]:
    """Checks that ``array`` has one axis a letter, and the sizes that are known; returns the size of every letter.

    >>> import numpy as np
    >>> check("x", np.zeros((2, 5, 3)), "B T I", I=3)
    {'B': 2, 'T': 5, 'I': 3}

    Raises:
        ShapeError: another number of axes or another size; names the argument, what was expected and what was given.
    """
    axes = letters.split()
    given = tuple(array.shape)
    wanted = ", ".join(f"{axis}={sizes[axis]}" if axis in sizes else axis for axis in axes)
    if len(given) != len(axes):
        raise ShapeError(f"{name} must be [{wanted}], {len(axes)} axes; given {list(given)}, {len(given)} axes")
    found = dict(zip(axes, given, strict=True))
    for axis, size in sizes.items():
        if axis in found and found[axis] != size:
            raise ShapeError(f"{name} must be [{wanted}]; given {list(given)}")
    return found
