"""Rows per second through ``Predictor.step``: a row in, a forecast out, as a stream would ask.

    python -m bench.streaming [--rows 20000] [--only PATTERN] [--threads 1] [--write]

Each model is trained for a moment on a wave with noise (what it says does not matter here), saved, and loaded again.
Then rows go in one at a time. A model with a recurrent state carries it; the others keep the rows of their look-back.
The first and the last tenth are timed apart: a stream that gets slower with its length would show there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it

import numpy as np

import seqloom
from bench.results import Load, finish, machine, paragraph, table

LOOK_BACK, HORIZON = 96, 24
WARM = 50
"""Rows behind the look-back that are not timed."""
MODELS: dict[str, dict[str, Any]] = {
    "every-step, gru 1 x 64": {"model": "every-step", "cell": "gru", "layers": 1, "hidden": 64},
    "every-step, lstm 2 x 128": {"model": "every-step", "cell": "lstm", "layers": 2, "hidden": 128},
    "last-step, gru 1 x 64": {"model": "last-step", "cell": "gru", "layers": 1, "hidden": 64},
    "encoder-decoder, gru 1 x 64": {"model": "encoder-decoder", "cell": "gru", "layers": 1, "hidden": 64},
    "segment, gru 1 x 256": {"model": "segment", "cell": "gru", "layers": 1, "hidden": 256},
    "linear": {"model": "linear"},
}


def main() -> None:
    """Measures every model with one and with seven columns, shows the table, and writes it where told."""
    parser = argparse.ArgumentParser(prog="python -m bench.streaming", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--only", default="", help="models with this in their name")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the section of bench/RESULTS.md")
    arguments = parser.parse_args()
    load, lines = Load(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, settings in MODELS.items():
            for columns in (1, 7):
                if arguments.only in name:
                    run = train(Path(folder), columns, threads=arguments.threads, **settings)
                    lines.append([name, str(columns), *figures(seconds(run, columns, arguments.rows))])
                    print(*lines[-1], sep="   ", file=sys.stderr, flush=True)
    finish("bench.streaming", section(lines, arguments.rows, load), write=arguments.write)


def rows(count: int, columns: int) -> Iterator[dict[str, str]]:
    """Rows as a table has them: an hour, and waves of a day with noise."""
    noise = np.random.default_rng(1).normal(size=(count, columns)) / 5
    start = datetime(2024, 1, 1)
    for hour, values in enumerate(noise + np.sin(2 * np.pi * np.arange(count) / 24)[:, None]):
        names = {f"value {number}": f"{value:.4f}" for number, value in enumerate(values, start=1)}
        yield {"time": (start + timedelta(hours=hour)).isoformat(), **names}


def train(folder: Path, columns: int, **settings: Any) -> Path:
    """A run that was trained for one epoch."""
    table = list(rows(1000, columns))
    file = folder / f"{columns}.csv"
    file.write_text("\n".join(",".join(line) for line in (table[0], *(row.values() for row in table))) + "\n", "utf-8")
    place = folder / "run"
    chosen = {"look_back": LOOK_BACK, "horizon": HORIZON, "epochs": 1, "precision": "fp32"}
    seqloom.train(file, task="forecast", out=place, overwrite=True, quiet=True, **chosen, **settings)
    return place


def seconds(run: Path, columns: int, count: int) -> list[float]:
    """How long each of ``count`` rows took, once the look-back was full."""
    predictor = seqloom.load(run)
    found = []
    for number, row in enumerate(rows(LOOK_BACK + WARM + count, columns)):
        start = perf_counter()
        forecast = predictor.step(row)
        if number >= LOOK_BACK + WARM:
            assert forecast is not None
            found.append(perf_counter() - start)
    return found


def figures(found: list[float]) -> list[str]:
    """Rows per second, and microseconds a row: the median of all, of the first and of the last tenth, the slowest."""
    times = 1e6 * np.array(found)
    tenth = max(1, len(times) // 10)
    parts = [np.median(times), np.median(times[:tenth]), np.median(times[-tenth:]), times.max()]
    return [f"**{1e6 / times.mean():,.0f}**", *(f"{value:,.0f}" for value in parts)]


def section(lines: list[list[str]], count: int, load: Load) -> str:
    """The section of RESULTS.md."""
    how = (
        f"`python -m bench.streaming --rows {count}`, {date.today()}: {machine()}. {count:,} rows with time stamps go "
        f"through `Predictor.step` one by one, each answered by a forecast of {HORIZON} steps; look-back {LOOK_BACK}. "
        f"Microseconds are medians of a row. {load.told()}"
    )
    head = ["model", "columns", "rows a second", "us a row", "first tenth", "last tenth", "slowest"]
    return f"## Streaming forecasts\n\n{paragraph(how)}\n{table(head, lines)}"


if __name__ == "__main__":
    main()
