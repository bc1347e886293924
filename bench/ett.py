"""The published table of long forecasts, ETT, through the recipe's own code, beside what was published.

    python -m bench.ett --data FOLDER --cells cells.json [--only ETTh1/96] [--seconds 500] [--write]

Each cell is a set, a horizon and a seed: three seeds of ETTh1 and ETTh2, one of the larger two. With ``--plain`` the
cells of the other table: ETTh1 at look-back 720, a plain GRU and the segment network. Cells that the JSON file already
has are not run again, so the table can be made in pieces; ``--seconds`` begins no cell after that time. ``--write``
puts the tables of what is there into bench/RESULTS.md, and with ``--seconds 0`` does nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from contextlib import chdir
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it

from bench.results import BUSY, Load, finish, machine, paragraph, table
from seqloom import recipe
from seqloom.files import read_json, write_json
from seqloom.parts import part

SEEDS = {"ETTh1": (1, 2, 3), "ETTh2": (1, 2, 3), "ETTm1": (1,), "ETTm2": (1,)}
HORIZONS = (96, 192, 336, 720)
RIVALS = ("SegRNN", "PatchTST", "DLinear")
LIMIT, AIM = 0.372, 0.355
LONGEST = 600.0
"""Seconds that the training of a cell may take."""
PLAIN = {"model": "last-step", "channels": "together", "normalization": "none"}
"""A plain GRU: all columns in, every row a step, all that is to come from the last state."""


@dataclass(frozen=True)
class Cell:
    """One training."""

    set: str
    horizon: int
    seed: int
    look_back: int = 96
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def key(self) -> str:
        kind = "plain" if self.settings else "segment"
        return f"{self.set}/{self.horizon}/{self.look_back}/{kind}/{self.seed}"


def published() -> dict[str, dict[str, dict[str, list[list[float]]]]]:
    """By look-back, model and set: MSE and MAE at each horizon, from the recipe's own file."""
    found: Any = tomllib.loads(Path(part("recipes", "ett")).read_text("utf-8"))["published"]
    return {look_back: models for look_back, models in found.items() if look_back != "source"}


def table_cells() -> list[Cell]:
    """The cells of the published table, the first seed of all before the others."""
    cells = [Cell(set, horizon, seed) for set, seeds in SEEDS.items() for horizon in HORIZONS for seed in seeds]
    return sorted(cells, key=lambda cell: cell.seed)


def plain_cells() -> list[Cell]:
    """ETTh1 at look-back 720: a plain GRU, and the segment network."""
    return [Cell("ETTh1", horizon, 1, 720, settings) for horizon in HORIZONS for settings in (PLAIN, {})]


def main() -> None:
    """Runs the cells that are missing, shows the tables, and writes them where told."""
    arguments = _arguments()
    chosen = plain_cells() if arguments.plain else table_cells()
    done = run([cell for cell in chosen if arguments.only in cell.key], arguments)
    finish("bench.ett", section(done), write=arguments.write)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ett", description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ETTh1.csv.gz and the others")
    parser.add_argument("--cells", type=Path, required=True, help="JSON file that keeps the cells that are done")
    parser.add_argument("--only", default="", help="cells with this in SET/HORIZON/LOOK-BACK/KIND/SEED")
    parser.add_argument("--plain", action="store_true", help="the plain GRU beside the segment network, look-back 720")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no cell after this time")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write the section of bench/RESULTS.md")
    return parser.parse_args()


def run(cells: Iterable[Cell], arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Runs the cells that the file does not have yet; returns all that it has then."""
    done: dict[str, dict[str, Any]] = read_json(arguments.cells) if arguments.cells.exists() else {}
    start, data = perf_counter(), arguments.data.resolve()
    for cell in cells:
        if cell.key in done:
            continue
        if perf_counter() - start >= arguments.seconds:
            break
        load = Load()
        with tempfile.TemporaryDirectory() as folder, chdir(folder):  # the recipe writes its rows beside its run
            given = {**cell.settings, "look_back": cell.look_back, "horizon": cell.horizon, "seed": cell.seed}
            found = recipe.run("ett", data=data, set=cell.set, quiet=True, threads=arguments.threads, **given)
        done[cell.key] = {**found["measured"][str(cell.horizon)], "busy": load.share(), "machine": machine()}
        write_json(arguments.cells, done)
        print(cell.key, {name: done[cell.key][name] for name in ("mse", "mae", "seconds")}, file=sys.stderr, flush=True)
    return done


# The tables -------------------------------------------------------------------------------------------------------


def section(done: dict[str, dict[str, Any]]) -> str:
    """The section of RESULTS.md: every cell beside the published ones, and the average."""
    cells = [cell for cell in (*table_cells(), *plain_cells()) if cell.key in done]
    if not cells:
        return "## Long forecasts: ETT\n\nNo cell has been run yet.\n"
    machines = sorted({done[cell.key]["machine"] for cell in cells})
    busy = max(done[cell.key]["busy"] for cell in cells)
    how = (
        f"`python -m bench.ett --data $DATA/ett --cells cells.json --write`, {date.today()}: {'; '.join(machines)}. "
        "MSE and MAE of standardised values over every window of the test part, by the split of 12, 4 and 4 months. "
        "The epoch was chosen on the validation part. Means over the seeds; seconds are of one training, the longest. "
        f"Other processes took at most {100 * busy:.0f} % of the cores' time during a training"
        f"{', so its seconds say little' if busy > BUSY else ''}."
    )
    return f"## Long forecasts: ETT\n\n{paragraph(how)}\n{_table(done)}{_plain_table(done)}"


def _table(done: dict[str, dict[str, Any]]) -> str:
    """The table at look-back 96, a row each set and horizon that is there, and the average over all of them."""
    theirs, rows, ours = published()["96"], [], []
    rivals: dict[str, list[float]] = {name: [] for name in RIVALS}
    for set, seeds in SEEDS.items():
        for place, horizon in enumerate(HORIZONS):
            found = [done[key] for seed in seeds if (key := Cell(set, horizon, seed).key) in done]
            if not found:
                continue
            ours.append(fmean(cell["mse"] for cell in found))
            for name in RIVALS:
                rivals[name].append(theirs[name][set][place][0])
            figures = [" / ".join(f"{value:.3f}" for value in theirs[name][set][place]) for name in RIVALS]
            rows.append([set, str(horizon), _both(found), _spread(found), *figures, _seconds(found)])
    if not rows:
        return ""
    means = [f"{fmean(rivals[name]):.3f}" for name in RIVALS]
    rows.append([f"average of {len(ours)}", "", f"**{fmean(ours):.4f}**", "", *means, ""])
    head = ["set", "horizon", "seqloom, MSE / MAE", "seeds", *RIVALS, "seconds"]
    return f"Look-back 96.\n\n{table(head, rows)}\n{paragraph(_met(done, ours))}"


def _met(done: dict[str, dict[str, Any]], ours: list[float]) -> str:
    """Whether the figures that were set are met, and by what."""
    longest = max(done[cell.key]["seconds"] for cell in table_cells() if cell.key in done)
    whole = all(cell.key in done for cell in table_cells())
    average = fmean(ours)
    verdict = "met" if average <= LIMIT else "not met"
    told = f"Average MSE at most {LIMIT} (aim {AIM}): {verdict}" if whole else "Not all cells have been run"
    limit = "no training over 10 minutes" if longest <= LONGEST else "a training took more than 10 minutes"
    return f"{told}; {limit}."


def _plain_table(done: dict[str, dict[str, Any]]) -> str:
    """ETTh1 at look-back 720: the plain GRU and the segment network side by side."""
    theirs, rows = published()["720"], []
    for place, horizon in enumerate(HORIZONS):
        pair = [done.get(Cell("ETTh1", horizon, 1, 720, settings).key) for settings in (PLAIN, {})]
        if not any(pair):
            continue
        old = [f"{theirs[name]['ETTh1'][place][0]:.3f}" for name in ("a plain GRU", "SegRNN")]
        rows.append([str(horizon), *(_both([cell]) if cell else "" for cell in pair), *old,
                     *(_seconds([cell]) if cell else "" for cell in pair)])  # fmt: skip
    if not rows:
        return ""
    head = ["horizon", "plain GRU, MSE / MAE", "segment, MSE / MAE", "published GRU", "published SegRNN"]
    return f"\nETTh1, look-back 720, seed 1.\n\n{table([*head, 'seconds, plain', 'seconds, segment'], rows)}"


def _both(found: list[dict[str, Any]]) -> str:
    return " / ".join(f"{fmean(cell[name] for cell in found):.3f}" for name in ("mse", "mae"))


def _spread(found: list[dict[str, Any]]) -> str:
    values = [cell["mse"] for cell in found]
    return f"{len(found)}: {min(values):.3f} to {max(values):.3f}" if len(found) > 1 else "1"


def _seconds(found: list[dict[str, Any]]) -> str:
    return f"{max(cell['seconds'] for cell in found):.0f}"


if __name__ == "__main__":
    main()
