"""The comparison of the segment models; that both compute the same is tested in tests/models/forecasters."""

from __future__ import annotations

from argparse import Namespace

import torch
from torch import nn

from bench.segment_model import Side, _line, _sides


def test_both_models_begin_alike_and_learn_alike():
    """Without dropout they go the same way, but for the rounding of bf16."""
    arguments = Namespace(hidden=16, dropout=0.0)
    torch.set_num_threads(1)
    sides = _sides(96, 96, arguments)
    values = torch.randn(4, 192, 7).cumsum(dim=1) / 10
    with torch.no_grad():
        first = [side.model(values[:, :96]).view(4, 96, 7) for side in sides]
    for one in first[1:]:
        torch.testing.assert_close(one, first[0])
    for side in sides:
        for _ in range(3):
            side.step(values, 96)
    with torch.no_grad():
        wanted, *others = (side.model(values[:, :96]).view(4, 96, 7) for side in sides)
    for one in others:
        assert (one - wanted).norm() < 0.1 * (wanted - first[0]).norm()


def test_windows_a_second_are_those_of_the_middle_step():
    side = Side(nn.Linear(1, 1), "fp32")
    side.seconds = [9.0, 9.0, 9.0, 0.5, 0.25, 7.0]
    assert side.per_second(32) == 64


def test_a_line_of_the_table():
    line = _line(96, 192, Namespace(hidden=8, dropout=0.5, batch=2, steps=2))
    assert line[:3] == ["96", "192", "24"]
    assert all(cell == "-" or float(cell.strip("*").replace(",", "")) > 0 for cell in line[3:])
