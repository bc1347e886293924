"""Numbers in time: the next rows of a series from its last ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from seqloom import files
from seqloom.data.formats.base import counted, listed
from seqloom.data.records import Records
from seqloom.data.roles import Roles, choose_roles
from seqloom.data.series import Series, read_series
from seqloom.data.times import Frequency
from seqloom.data.timestamps import order_of_days
from seqloom.data.transforms import Pipeline
from seqloom.data.zones import Zone
from seqloom.errors import DataError, SettingError
from seqloom.parts import part
from seqloom.tasks._conformal import ENOUGH, Conformal
from seqloom.tasks._forecast_baselines import (
    FITTING_SHARE,
    TOLD,
    baseline_scores,
    fit_linear,
    load_linear,
    save_linear,
)
from seqloom.tasks._forecast_data import Epoch, Part, Windows, by_name, cut, too_short
from seqloom.tasks._forecast_judging import Judge, loss_of
from seqloom.tasks._forecast_preparation import Preparation, facts, first_season, usual_look_back
from seqloom.tasks._forecast_settings import ForecastSettings, with_median
from seqloom.tasks.base import Evaluation, Loss, Score, Task, Use

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.data.inspect import Inspection
    from seqloom.models.simple_forecasts import Ridge
    from seqloom.tasks._forecast_data import Batch
    from seqloom.tasks._forecast_stream import Stream

__all__ = ["Forecast", "ForecastSettings"]

MOST_VALIDATED = 2_000
MOST_VALUES = 4_000_000
"""Windows, and numbers in them, that the evaluations of a training and the calibration look at, evenly spaced."""
KEPT = 2
"""Windows that stay in the run with their forecasts."""
FILE = "series.json"


class Forecast(Task):
    """The last T rows of C targets in, their next F rows out; which model reads them is a part of its own."""

    name = "forecast"
    Settings = ForecastSettings
    higher_is_better = False
    told = TOLD
    choices = "--model, --look-back, --hidden, ..."
    options = frozenset({"quantiles", "horizon"})

    settings: ForecastSettings
    preparation: Preparation

    def __init__(self, settings: ForecastSettings) -> None:
        super().__init__(settings)
        self.roles: Roles | None = None
        self.frequency = Frequency.parse(settings.frequency) if settings.frequency else None
        self.categories: dict[str, tuple[str, ...]] | None = None
        self.days_first: bool | None = None
        self.zone: Zone | None = None
        self.widths = (0, 0)
        self.conformal: Conformal | None = None
        self.linear: Ridge | None = None
        self.found: dict[str, str] = {}

    @property
    def metric(self) -> str:  # type: ignore[override]  # a variable of other tasks
        """Errors of one target in its own unit; of several in standard deviations, so that they can be averaged."""
        return "mae" if len(self.settings.target) == 1 else "standard_mae"

    @property
    def shown(self) -> str:  # type: ignore[override]
        return self.metric

    # --- data -----------------------------------------------------------------------------------------------------

    def check(self, records: Records, *, use: Use = "evaluate") -> Part:
        s = self.settings
        if self.roles is None:
            self.roles = choose_roles(
                records, time=s.time, series=s.series, target=s.target, past=s.past, known=s.known
            )
            found = {"time": self.roles.time, "series": self.roles.series, "target": self.roles.targets}
            self.settings = s = s.model_copy(update=found)
        data = read_series(
            records,
            self.roles,
            frequency=self.frequency,
            missing=s.missing,
            missing_value=s.missing_value,
            bad_rows=s.bad_rows,
            categories=self.categories,
            days_first=self.days_first,
            zone=self.zone,
        )
        Pipeline(s.transform).check(data)
        if self.categories is None:
            self.categories, self.frequency, self.zone = dict(data.categories), data.frequency, data.zone
            if len(self.roles.time) == 1:
                self.days_first = order_of_days(records.columns[self.roles.time[0]])
            self.widths = (len(data.past_names), len(data.known_names))
            chosen: dict[str, Any] = {"horizon": s.horizon or first_season(data.frequency)}
            if s.normalization == "auto":
                chosen["normalization"] = "none" if s.transform in ("difference", "returns") else "last"
            self.settings = s.model_copy(update=chosen)
            self.found = facts(data)
        return Part.whole(data)

    def inputs(self, data: Part) -> list[Series]:
        """The last piece of each series that is long enough, as far as a forecast reads it."""
        from seqloom.tasks import _forecast_predicting as predicting

        return predicting.last_windows(self, data)

    def left_out(self, data: Part) -> DataError | None:
        """What is wrong with the series that ``inputs`` left out."""
        from seqloom.tasks import _forecast_predicting as predicting

        return predicting.left_out(self, data)

    def records(self, data: Part, lines: Sequence[int], predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        from seqloom.tasks import _forecast_predicting as predicting

        return [row for prediction in predictions for row in predicting.rows(prediction, self.settings.horizon)]

    def split(self, data: Part) -> tuple[Part, Part, str]:
        s = self.settings
        if not s.split and not s.test:
            return data, data, "none: validated on what it was trained on"
        train, valid, test = cut(data.data, s.split, s.test, s.horizon)
        total = max(1, len(data))
        shares = [f"the first {len(train) / total:.0%} of each series train"]
        if s.split:
            shares.append(f"the next {len(valid) / total:.0%} validate")
        if s.test:
            shares.append(f"the last {len(test) / total:.0%} judge")
        return train, valid if s.split else train, "by time: " + ", ".join(shares)

    def held_out(self, data: Part) -> Part | None:
        s = self.settings
        return cut(data.data, s.split, s.test, s.horizon)[2] if s.test else None

    def fit(self, train: Part) -> None:
        s = self.settings
        self._require_rows(train, s.look_back or 1)
        valid = train if s.valid or not s.split else cut(train.data, s.split, s.test, s.horizon)[1]
        self.preparation = Preparation.fit(
            train, period=s.period, transform=s.transform, scale=s.scale, calendar=s.calendar, seen=valid
        )
        period = self.preparation.period
        look_back = s.look_back or usual_look_back(max(train.end), s.horizon, period)
        self.settings = s.model_copy(update={"period": period, "look_back": look_back})
        season = f"{period:,} rows" if period > 1 else "none"
        self.found["season"] = season + (" (found)" if not s.period else "")
        self.found["window"] = f"{counted(s.horizon, 'row')} from the last {look_back:,}"
        lengths = {name: max(train.end[place] for place in places) for name, places in by_name(train.data).items()}
        short = [name for name, rows in lengths.items() if rows < look_back + s.horizon]
        left = [f"too short to learn from, {len(short):,} of {len(lengths):,} series: {listed(short)}"] if short else []
        for note in [*left, *self.preparation.targets.describe(s.target)]:
            self.found["note"] = "; ".join(filter(None, (self.found.get("note"), note)))

    def introduced(self, seen: Inspection) -> list[str]:
        return [counted(seen.rows, "row"), *(note for note in seen.notes if note.startswith("the first line"))]

    def facts(self) -> dict[str, str]:
        return self.found

    def encode(self, data: Part) -> Windows:
        s = self.settings
        self._require_rows(data, s.look_back)
        windows = self.preparation.windows(data, s.look_back, s.horizon)
        if not len(windows):
            raise too_short(data, s.look_back, s.horizon, chosen=True)
        return windows

    def kept(self, examples: Windows) -> list[Any]:
        from seqloom.tasks import _forecast_predicting as predicting

        return [predicting.table(self, examples, place) for place in range(max(0, len(examples) - KEPT), len(examples))]

    def save(self, folder: Path) -> None:
        assert self.roles is not None  # checked data were fitted
        categories = {name: list(values) for name, values in (self.categories or {}).items()}
        reading: dict[str, Any] = {"roles": self.roles.to_json(), "categories": categories, "widths": self.widths}
        reading["days_first"] = self.days_first
        files.write_json(folder / FILE, {**reading, "found": self.found, **self.preparation.to_json()})

    @classmethod
    def load(cls, settings: ForecastSettings, folder: Path) -> Self:
        task = cls(settings)
        saved = files.read_json(folder / FILE)
        task.roles = Roles.from_json(saved["roles"])
        task.categories = {name: tuple(values) for name, values in saved["categories"].items()}
        task.widths = (saved["widths"][0], saved["widths"][1])
        task.days_first = saved.get("days_first")
        task.found = saved["found"]
        task.preparation = Preparation.from_json(saved)
        task.frequency, task.zone = task.preparation.frequency, task.preparation.zone
        task.conformal, task.linear = Conformal.load(folder), load_linear(folder)
        return task

    def _require_rows(self, data: Part, look_back: int) -> None:
        if max(data.end, default=0) < look_back + self.settings.horizon:
            raise too_short(data, look_back, self.settings.horizon, chosen=bool(self.settings.look_back))

    # --- training -------------------------------------------------------------------------------------------------

    def build(self) -> nn.Module:
        from seqloom.models.forecasters.base import Shape

        s = self.settings
        known = self.widths[1] + self.preparation.calendar_width
        shape = Shape(s.look_back, s.horizon, len(s.target), self.widths[0], known, len(self.trained) or 1)
        model: nn.Module = part("forecasters", s.model).from_settings(s, shape)
        return model

    @property
    def trained(self) -> tuple[float, ...]:
        """The quantiles that the model says itself; none where it says one value."""
        return self.settings.quantiles if self.settings.loss == "quantile" else ()

    def describe(self) -> str:
        s = self.settings
        of = "" if s.model == "linear" else f", {s.cell} {s.layers} x {s.hidden}"
        targets = counted(len(s.target), "target")
        return f"{s.model}{of}, from {s.look_back:,} rows to the next {s.horizon:,} of {targets}"

    def epoch(self, examples: Windows, number: int) -> Epoch:
        return Epoch(examples, number, self.settings.batch, self.settings.seed)

    def loss(self, model: nn.Module, batch: Batch, carried: tuple[Tensor, ...]) -> Loss:
        said, truth = model.training_output(*batch)  # type: ignore[operator]  # a Forecaster has it
        count = len(batch.values)
        return Loss(loss_of(self.settings.loss, self.trained, said, truth) * count, count)

    def calibrate(self, model: nn.Module, valid: Windows, folder: Path) -> None:
        s = self.settings
        held_out = s.split or s.valid
        if not s.conformal or not held_out:
            return
        self.conformal = self.judge(model, levels=()).calibrated(valid, _most(valid))
        if self.conformal is not None:
            self.conformal.save(folder)

    def forget_calibration(self) -> None:
        self.conformal = None

    # --- judging --------------------------------------------------------------------------------------------------

    def judge(self, model: nn.Module, levels: Sequence[float] | None = None) -> Judge:
        """The model with what makes its forecasts those of the file; with the quantiles of the settings, if it can."""
        if levels is None:
            levels = self.settings.quantiles if self.trained or self.conformal else ()
        forecaster: Any = model
        return Judge(forecaster, self.preparation, self.settings.loss, self.trained, tuple(levels), self.conformal)

    def evaluate(self, model: nn.Module, examples: Windows, *, details: bool = False) -> Evaluation:
        if not details:
            examples = examples.thinned(_most(examples))
        evaluation = self.judge(model).evaluate(examples, self.settings.target, details=details)
        if details:
            evaluation.details["forecast"]["notes"] = self._notes()
        return evaluation

    def _notes(self) -> list[str]:
        s, notes = self.settings, self.preparation.targets.describe(self.settings.target)
        if s.conformal and self.conformal is None and not self.trained:
            notes.append("no intervals: there is no part held out that they could be learnt from")
        if self.conformal is not None:
            learnt = f"intervals from the errors of {counted(self.conformal.count, 'window')} of the validation part"
            if self.conformal.count < ENOUGH:
                learnt += " (few: each step learns from the steps beside it too)"
            notes.append(f"{learnt}, on which they are judged too" if s.valid or not s.test else learnt)
        return notes

    def error(self, evaluation: Evaluation) -> float | None:
        found: float | None = evaluation.details["forecast"]["error"]
        return found

    def baselines(self, train: Part, judged: Part, *, seconds: float | None) -> list[Score]:
        from threadpoolctl import threadpool_limits

        s, preparation, start = self.settings, self.preparation, perf_counter()
        # On a machine with other work to do, two threads that wait for each other were seen to take 40 times as long.
        with threadpool_limits(1, user_api="blas"):
            fitting = None if seconds is None else FITTING_SHARE * seconds
            self.linear = fit_linear(train, preparation, s.look_back, s.horizon, fitting)
            until = None if seconds is None else start + seconds
            return baseline_scores(self.linear, self.encode(judged), preparation, self.metric, until=until)

    def save_baselines(self, folder: Path) -> None:
        if self.linear is not None:
            save_linear(self.linear, folder)

    def backtest(self, model: nn.Module, data: Part, origins: int) -> dict[str, Any]:
        """Forecasts from ``origins`` places of the data, evenly spaced, behind what training saw."""
        from seqloom.tasks import _forecast_predicting as predicting

        return predicting.backtest(self, model, data, origins)

    # --- using ----------------------------------------------------------------------------------------------------

    def predict(
        self,
        model: nn.Module,
        inputs: Sequence[Series | Mapping[str, Sequence[Any]]],
        *,
        quantiles: Sequence[float] | str | None = None,
        horizon: int | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """The next rows of each series, a list for each target and quantile.

        Args:
            inputs: a series each: as ``inputs`` gives them, or tables of columns.
            quantiles: the levels to give beside the forecast.
            horizon: the trained one, or it is refused.

        Raises:
            DataError: a series has fewer rows than the look-back, or not what is known in advance.
            SettingError: the horizon or a quantile is none of this run.
        """
        from seqloom.tasks import _forecast_predicting as predicting

        self.require_horizon(horizon)
        return predicting.predict(self, self.judge(model, self.levels(quantiles)), inputs), 0

    def require_horizon(self, horizon: int | None) -> None:
        """Refuses another horizon than the trained one.

        Raises:
            SettingError: says both.
        """
        if horizon is not None and int(horizon) != self.settings.horizon:
            raise SettingError(
                f"horizon {int(horizon):,} is asked for, but this run was trained for {self.settings.horizon:,}",
                help=f"leave --horizon out, or train a run for it: seqloom train FILE --horizon {int(horizon)}",
            )

    def levels(self, quantiles: Sequence[float] | str | None) -> tuple[float, ...] | None:
        """The quantiles that are asked for, 0.5 among them; None where nobody asks.

        Raises:
            SettingError: a level is none, or the run cannot give it.
        """
        if quantiles is None:
            return None
        wanted = ForecastSettings.parse({"quantiles": with_median(quantiles)}).quantiles
        if self.trained:
            others = [level for level in wanted if level not in self.trained]
            allowed = ", ".join(f"{level:g}" for level in self.trained)
        else:
            others = [] if self.conformal is not None else list(wanted)
            allowed = "none, for it was trained without --conformal or without a validation part"
        if others:
            raise SettingError(
                f"quantile {others[0]:g} is asked for, and this run does not give it", help=f"it gives {allowed}"
            )
        return wanted

    def stream(self, model: nn.Module) -> Stream:
        """What takes rows one by one."""
        from seqloom.tasks._forecast_stream import Stream

        return Stream(self, model)

    def next_command(self, run: Path) -> str:
        return f"predict {run} FILE"


def _most(windows: Windows) -> int:
    """How many windows are enough on the way."""
    values: int = windows.values.shape[1] * windows.scaled.size
    return max(200, min(MOST_VALIDATED, MOST_VALUES // values))


PART = Forecast
