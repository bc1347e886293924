"""The settings of forecast, and the defaults that suit it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import model_validator

from seqloom.errors import SettingError
from seqloom.settings import (
    CellName,
    Columns,
    DataSettings,
    ForecasterName,
    LearningRate,
    Levels,
    Natural,
    Positive,
    RecurrentSettings,
    Share,
    TrainingSettings,
)

__all__ = ["ForecastSettings", "with_median"]


class ForecastSettings(DataSettings, RecurrentSettings, TrainingSettings):
    """The settings of forecast, and the defaults that suit it."""

    time: Columns = ()
    """Column of the time, or those of year, month, day, hour (A,B,C); found by itself when not given."""
    series: str | None = None
    """Column that tells several series apart; found by itself when not given."""
    target: Columns = ()
    """Columns to forecast (A,B,C); all columns of numbers when not given."""
    past: Columns = ()
    """Columns that help and are known up to now (A,B,C)."""
    known: Columns = ()
    """Columns that help and are known in advance (A,B,C): holidays, prices to come."""
    horizon: Natural = 0
    """Rows to forecast; 0 takes the shortest usual season: 24 of hourly rows, 12 of monthly ones."""
    look_back: Natural = 0
    """Rows that a forecast reads; 0 chooses seven seasons, and at least two horizons."""
    frequency: str | None = None
    """Step of the time: hourly, daily, 15 minutes, business day ...; found by itself when not given."""
    period: Natural = 0
    """Rows of a season, for the seasonal baseline and MASE; 0 finds it, 1 is none."""
    missing: Literal["error", "interpolate", "drop"] = "error"
    """What missing values and time stamps do: stop with an error, be filled along a line, or cut the series there."""
    missing_value: float | None = None
    """Number that stands for a missing value in the file, such as -9999."""
    test: Share = 0.1
    """Share of each series at its end that only the verdict sees; the validation part lies before it."""
    transform: Literal["none", "log", "box-cox", "difference", "returns"] = "none"
    """What is done to the targets first: returns suit prices, log and box-cox numbers above 0 that grow."""
    scale: Literal["standard", "min-max", "none"] = "standard"
    """How the targets are scaled, from the training part."""
    calendar: bool = False
    """Let the model see hour, weekday and season of the year."""
    model: ForecasterName = "segment"
    """The kind of model that forecasts."""
    segment: Natural = 0
    """Rows of a segment of the segment model; 0 chooses."""
    normalization: Literal["auto", "none", "last", "instance"] = "auto"
    """What is taken out of each window: nothing, its last value, or its mean and deviation; auto takes out the last
    value, but of differences and returns nothing."""
    channels: Literal["independent", "together"] = "independent"
    """Each target a sequence of its own with weights in common, or all read together."""
    loss: Literal["mae", "mse", "quantile"] = "mae"
    """What training makes small; quantile makes the model say all the quantiles itself."""
    quantiles: Levels = (0.1, 0.5, 0.9)
    """Quantiles that forecasts come with (0.1,0.5,0.9); 0.5 is among them."""
    conformal: bool = True
    """Make or widen the intervals by the errors on the validation part (split-conformal prediction)."""
    cell: CellName = "gru"
    layers: Positive = 1
    hidden: Positive = 256
    dropout: Share = 0.5
    batch: Positive = 64
    lr: LearningRate = 2e-3
    most_epochs: Natural = 10

    @model_validator(mode="after")
    def _median_among_quantiles(self) -> Self:
        if 0.5 not in self.quantiles or list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError("the quantiles must be ascending, with 0.5 among them: 0.1,0.5,0.9")
        return self


def with_median(quantiles: Sequence[float] | str) -> list[float]:
    """Quantiles as a sorted list with the median among them.

    Raises:
        SettingError: one is no number.
    """
    given = quantiles.split(",") if isinstance(quantiles, str) else list(quantiles)
    try:
        return sorted({*map(float, given), 0.5})
    except ValueError:
        raise SettingError(
            f'"{quantiles}" are no quantiles', help="write numbers between 0 and 1: 0.1,0.5,0.9"
        ) from None
