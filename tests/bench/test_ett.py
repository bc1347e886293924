"""The table of ``python -m bench.ett``: what is averaged, what is run, and what is kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from bench import ett
from seqloom import recipe
from seqloom.files import read_json


def arguments(folder: Path, **other: Any) -> argparse.Namespace:
    values = {"data": folder, "cells": folder / "cells.json", "seconds": float("inf"), "threads": 1}
    return argparse.Namespace(**values | other)


def cell(mse: float, seconds: float = 10.0) -> dict[str, Any]:
    return {"mse": mse, "mae": mse + 0.1, "windows": 5, "seconds": seconds, "busy": 0.0, "machine": "a machine"}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the recipe was asked for; each answer is a hundredth more than the one before."""
    asked: list[tuple[Any, ...]] = []

    def run(name: str, *, data: Path, set: str, quiet: bool, threads: int, **settings: Any) -> dict[str, Any]:
        asked.append((name, set, settings))
        return {"measured": {str(settings["horizon"]): cell(len(asked) / 100)}}

    monkeypatch.setattr(recipe, "run", run)
    return asked


def test_all_cells_are_three_seeds_of_the_small_sets_and_one_of_the_large() -> None:
    cells = ett.table_cells()
    assert len(cells) == 2 * 4 * 3 + 2 * 4
    assert len({cell.key for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells[:16]] == [1] * 16
    assert {cell.look_back for cell in ett.plain_cells()} == {720} and len(ett.plain_cells()) == 8


def test_done_cells_are_not_run_again(tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    cells = ett.table_cells()[:3]
    ett.run(cells[:2], arguments(tmp_path))
    assert len(ran) == 2
    done = ett.run(cells, arguments(tmp_path))
    assert len(ran) == 3 and ran[2] == ("ett", "ETTh1", {"look_back": 96, "horizon": 336, "seed": 1})
    assert [done[cell.key]["mse"] for cell in cells] == [0.01, 0.02, 0.03]
    assert read_json(tmp_path / "cells.json") == done


def test_no_cell_begins_after_the_time(tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    assert ett.run(ett.table_cells(), arguments(tmp_path, seconds=0.0)) == {}
    assert ran == []


def test_a_plain_cell_has_its_own_model(tmp_path: Path, ran: list[tuple[Any, ...]]) -> None:
    ett.run(ett.plain_cells()[:2], arguments(tmp_path))
    assert [settings.get("model") for _, _, settings in ran] == ["last-step", None]


def test_the_average_is_over_sets_and_horizons_and_not_over_seeds() -> None:
    done = {ett.Cell("ETTh1", 96, seed).key: cell(mse) for seed, mse in ((1, 0.36), (2, 0.37), (3, 0.38))}
    done[ett.Cell("ETTm2", 720, 1).key] = cell(0.41, seconds=321.4)
    text = ett.section(done)
    assert (
        "| ETTh1 | 96 | 0.370 / 0.470 | 3: 0.360 to 0.380 | 0.368 / 0.395 | 0.414 / 0.419 | 0.386 / 0.400 | 10 |"
        in text
    )
    assert "| ETTm2 | 720 | 0.410 / 0.510 | 1 | 0.389 / 0.407 | 0.402 / 0.400 | 0.554 / 0.522 | 321 |" in text
    # (0.370 + 0.410) / 2, and of SegRNN (0.368 + 0.389) / 2 = 0.3785
    assert "| average of 2 |  | **0.3900** |  | 0.379 | 0.408 | 0.470 |  |" in text
    assert "Not all cells have been run; no training over 10 minutes." in text


@pytest.mark.parametrize(("mse", "seconds", "told"), [
    (0.37, 599.0, "aim 0.355): met; no training over 10 minutes"),
    (0.38, 601.0, "aim 0.355): not met; a training took more than 10 minutes"),
])  # fmt: skip
def test_the_figures_that_were_set(mse: float, seconds: float, told: str) -> None:
    text = ett.section({each.key: cell(mse, seconds) for each in ett.table_cells()})
    assert told in " ".join(text.split())
    # The published averages over all 16 cells: 5.80, 6.094 and 7.071, each by 16.
    assert "| average of 16 |" in text and "| 0.363 | 0.381 | 0.442 |" in text


def test_the_plain_network_stands_beside_the_segments() -> None:
    plain, segment = ett.plain_cells()[:2]
    text = ett.section({plain.key: cell(1.1), segment.key: cell(0.36)})
    assert "| 96 | 1.100 / 1.200 | 0.360 / 0.460 | 1.135 | 0.351 | 10 | 10 |" in text
    assert "Look-back 96" not in text


def test_nothing_is_told_as_nothing() -> None:
    assert "No cell has been run yet" in ett.section({})
