"""The check of shapes: sizes found, and faults that name the argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from seqloom.errors import ShapeError
from seqloom.shapes import check


@pytest.mark.parametrize("make", [np.zeros, torch.zeros])
def test_sizes_are_found(make):
    assert check("input", make((2, 5, 3)), "B T I") == {"B": 2, "T": 5, "I": 3}
    assert check("input", make((2, 5, 3)), "B T I", I=3, T=5) == {"B": 2, "T": 5, "I": 3}
    assert check("nothing", make((0, 5)), "B T") == {"B": 0, "T": 5}


def test_a_size_for_a_letter_that_is_not_there_is_passed_over():
    assert check("lengths", np.zeros(2), "B", B=2, T=7) == {"B": 2}


@pytest.mark.parametrize(
    ("shape", "letters", "sizes", "message"),
    [
        ((2, 5), "B T I", {}, r"^error: input must be \[B, T, I\], 3 axes; given \[2, 5\], 2 axes$"),
        ((2, 5), "B T I", {"I": 3}, r"^error: input must be \[B, T, I=3\], 3 axes; given \[2, 5\], 2 axes$"),
        ((2, 5, 4), "B T I", {"I": 3}, r"^error: input must be \[B, T, I=3\]; given \[2, 5, 4\]$"),
        ((3, 2, 9), "L*D B H", {"L*D": 4, "B": 2}, r"^error: input must be \[L\*D=4, B=2, H\]; given \[3, 2, 9\]$"),
    ],
)
def test_a_fault_says_what_was_expected_and_given(shape, letters, sizes, message):
    with pytest.raises(ShapeError, match=message):
        check("input", np.zeros(shape), letters, **sizes)
