"""Small tables of hours, and settings of forecasts that train in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seqloom.data.read import read
from seqloom.tasks.forecast import Forecast, ForecastSettings

SMALL = {"hidden": 8, "dropout": 0.0, "batch": 16, "epochs": 2, "threads": 1, "quiet": True, "task": "forecast"}
START = np.datetime64("2024-01-01T00", "h")


def write(path: Path, columns: dict[str, Any], start: np.datetime64 = START, zone: str = "") -> Path:
    """A table of hourly rows; ``zone`` is written behind each time."""
    count = len(next(iter(columns.values())))
    times = [str(start + hour).replace("T", " ") + ":00" + zone for hour in range(count)]
    table = {"time": times} | columns
    rows = zip(*(["" if value is None else value for value in values] for values in table.values()), strict=True)
    path.write_text("\n".join([",".join(table), *(",".join(map(str, row)) for row in rows)]) + "\n", "utf-8")
    return path


def waves(count: int, seed: int = 1) -> dict[str, Any]:
    """Two columns with a day in them, and noise."""
    random = np.random.default_rng(seed)
    hours = np.arange(count)
    day = np.sin(2 * np.pi * hours / 24)
    return {
        "load": (20 + 5 * day + random.normal(size=count)).round(4).tolist(),
        "heat": (300 + 40 * np.roll(day, 5) + 9 * random.normal(size=count)).round(4).tolist(),
    }


def fitted(file: Path, **settings: Any) -> tuple[Forecast, Any, Any, Any]:
    """A task after its preparation, with its three parts."""
    task = Forecast(ForecastSettings.parse({"horizon": 6, "look_back": 12} | settings))
    data = task.check(read(file), use="train")
    first, valid, _ = task.split(data)
    task.fit(first)
    return task, first, valid, task.held_out(data)
