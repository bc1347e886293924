from __future__ import annotations

import json

import pytest
import torch

from seqloom.cli import bench


def test_each_cell_has_a_row_for_each_pass(seqloom, monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", ((2, 5, 3, 7),))
    threads = torch.get_num_threads()
    try:
        answer = seqloom("bench", "--threads", "1", "--seconds", "0.001", "--json")
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(answer.out)
    assert [(row["cell"], row["pass"]) for row in rows] == [
        (cell, what) for cell in ("elman", "gru", "lstm") for what in ("forward", "forward and backward")
    ]
    for row in rows:
        assert (row["B"], row["T"], row["I"], row["H"]) == (2, 5, 3, 7)
        assert row["times as fast"] == pytest.approx(row["torch.nn"] / row["seqloom"], rel=0.1)
    assert "1 threads" in answer.err


@pytest.mark.parametrize("given", [("--threads", "0"), ("--seconds", "0"), ("--seconds", "nan")])
def test_out_of_range(seqloom, given):
    assert seqloom("bench", *given).status == 2
