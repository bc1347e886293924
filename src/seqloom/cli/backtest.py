"""``seqloom backtest``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqloom.cli.output import note, print_json, print_table
from seqloom.cli.usage import Whole

METRICS = ("mae", "rmse", "mase", "smape", "standard_mse", "standard_mae", "pinball", "coverage")
MOST_STEPS = 12
"""Steps that the table shows; all of them stand in the plot and in the JSON."""


def backtest(run: Path, file: Path, /, *, origins: Whole = 50, plot: Path | None = None, json: bool = False) -> None:
    """Forecast from many places of a file and hold the forecasts against what came.

    Origins are evenly spaced; where the times tell, those that training or validation saw are left out. The table has
    the model beside simple rules on the same origins, then the errors step by step.

        $ seqloom backtest runs/temperatures-forecast-1 temperatures.csv --origins 50 --plot errors.png

    Args:
        run: Run folder that train made.
        file: File of the kind that the run was trained on.
        origins: Places to forecast from.
        plot: Draw the errors by step into this file: png, svg or pdf.
        json: Print all of it as JSON.
    """
    from seqloom.predict import load

    found = load(run).backtest(file, origins)
    details = found["forecast"]
    if plot is not None:
        from seqloom.report.forecast_plots import error_by_step

        one = len(details["targets"]) == 1
        error_by_step(details["by_step"], plot, unit=details["targets"][0] if one else "standard deviations")
        note(f"plot    {plot}")
    if json:
        print_json(found)
        return
    rows = [{"name": "this model", **found}, *found["baselines"]]
    print_table([_row(row) for row in rows])
    print()
    print_table(_steps(details["by_step"], details["baseline"], len(details["targets"])))
    note(f"{found['origins']:,} origins")
    for remark in details["notes"]:
        note(remark)


def _row(scores: dict[str, Any]) -> dict[str, Any]:
    from seqloom.report.verdict import metric_name

    return {"": scores["name"]} | {metric_name(name): scores[name] for name in METRICS if name in scores}


def _steps(by_step: list[dict[str, Any]], baseline: str, targets: int) -> list[dict[str, Any]]:
    """The errors of some steps: the first, the last, and evenly spaced ones between."""
    count = len(by_step)
    places = sorted({round(index * (count - 1) / max(1, MOST_STEPS - 1)) for index in range(MOST_STEPS)})
    unit = "" if targets == 1 else ", standardised"
    return [
        {
            "step": row["step"],
            f"MAE{unit}": row["mae"],
            f"RMSE{unit}": row["rmse"],
            f"MAE of {baseline}{unit}": row["naive"],
        }
        for row in (by_step[place] for place in places if place < count)
    ]
