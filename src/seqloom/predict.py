"""A run folder becomes a predictor: what the command line, the server and Python share.

Prediction sees nothing of training but the run folder, so whatever prepared the training text prepares this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from seqloom import run as runs
from seqloom.errors import RunError, SettingError
from seqloom.files import read_jsonl
from seqloom.parts import names, part

if TYPE_CHECKING:
    from torch import nn

    from seqloom.run import Run
    from seqloom.tasks.base import Task

__all__ = ["Predictor", "load", "load_task"]

CHUNK = 512
"""Inputs of a file that are predicted at once: bounds the memory, and the wait for the first answer."""
REPLAY_TOLERANCE = 1e-3
"""Other processors and thread counts round differently; more than this is another model or other preparation."""


class Predictor:
    """A trained model with all that prepares its input.

    Attributes:
        run: the folder it was loaded from.
        task: the task with all that prepares its input.
        unknown: tokens met so far that training never saw.
        left_out: what the last ``predict_file`` left out, in words; empty where it left out nothing.
    """

    def __init__(self, run: Run, task: Task, model: nn.Module) -> None:
        self.run = run
        self.task = task
        self.settings: Any = task.settings
        self.model = model.eval()
        self.unknown = 0
        self.left_out = ""
        self._streaming: Any = None

    def predict(self, inputs: Sequence[Any], **options: Any) -> list[dict[str, Any]]:
        """One prediction an input.

        classify takes texts and gives ``label``, ``probability`` and ``probabilities``; language takes texts and gives
        ``loss`` (nats a token), ``perplexity`` and the likeliest ``next`` tokens. forecast takes tables, a series
        each: ``{"time": [...], "load": [...]}``, and gives their next rows with the quantiles beside:
        ``{"time": [...], "load": [...], "load 0.9": [...]}``.

        Args:
            inputs: texts, or tables of columns.
            **options: of forecast: ``quantiles``, and ``horizon``, which is refused if it is not the trained one.
        """
        if isinstance(inputs, str | Mapping):
            what = "one text" if isinstance(inputs, str) else "one table"
            raise SettingError(f"predict takes a list of inputs, and was given {what}", help="put it into a list")
        found, unknown = self.task.predict(self.model, inputs, **self._options(options))
        self.unknown += unknown
        return found

    def predict_file(
        self, path: str | Path, *, short_series: Literal["error", "skip"] = "error", **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Predictions for a file: one for each record, with its ``line``; of forecast one for each step to come.

        Args:
            path: a file of the kind that the run was trained on.
            short_series: what a series with too few rows to be forecast does. All others are forecast; behind them
                it is raised, or with ``"skip"`` told in ``left_out``. If no series has enough rows it is raised.
            **options: as in ``predict``.

        Raises:
            DataError: the file cannot be read, or lacks a column of the run; or a series is too short.
            SettingError: series are to be skipped, and the run is no forecast.
        """
        sorted_out = getattr(self.task, "left_out", None)
        if short_series != "error" and sorted_out is None:
            raise self._no_forecast('does not take "short_series"')
        data = self.task.read(path, use="predict")
        inputs, lines = self.task.inputs(data), list(getattr(data, "lines", ()))
        for start in range(0, len(inputs), CHUNK):
            piece = slice(start, start + CHUNK)
            yield from self.task.records(data, lines[piece], self.predict(inputs[piece], **options))
        error = None if sorted_out is None else sorted_out(data)
        self.left_out = "" if error is None else error.message
        if error is not None and short_series == "error":
            raise error

    def step(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any] | None:
        """A row of a series in, the forecast behind it out; the state is carried from row to row, at constant cost.

        Args:
            row: the columns of the run: ``{"time": "2020-01-31 10:00", "load": 3.5}``.
            **options: ``quantiles``.

        Returns:
            a prediction as ``predict`` gives it, with its ``origin``; None while there are fewer rows than are needed.

        Raises:
            DataError: the row does not follow the one before it, or is none.
            SettingError: the run is no forecast.
        """
        return self._stream().step(row, **self._options(options))  # type: ignore[no-any-return]

    def reset(self) -> None:
        """Forgets the rows that ``step`` was given: the next one is the first."""
        self._streaming = None

    def evaluate(self, path: str | Path) -> dict[str, Any]:
        """Metrics on another file, with the details of the report.

        Raises:
            DataError: the file cannot be read, lacks a column, or has a label that the run does not know.
        """
        data = self.task.read(path)
        examples = self.task.encode(data)
        self.unknown += examples.unknown
        evaluation = self.task.evaluate(self.model, examples, details=True)
        return {"file": str(path), "count": evaluation.count, **evaluation.metrics, **evaluation.details}

    def backtest(self, path: str | Path, origins: int = 50) -> dict[str, Any]:
        """Forecasts from many origins of a file, evenly spaced, held against what came.

        Origins that training or validation saw are left out, as far as the times tell.

        Returns:
            the metrics, ``baselines`` on the same origins, and the details of the report: errors by step, samples.

        Raises:
            DataError: the file cannot be read, or is too short.
            SettingError: the run is no forecast, or ``origins`` is below 1.
        """
        if not hasattr(self.task, "backtest"):
            raise self._no_forecast("is not judged from origins")
        found: dict[str, Any] = self.task.backtest(self.model, self.task.read(path), origins)
        return {"file": str(path), **found}

    def generate(
        self,
        prompt: str = "",
        *,
        length: int = 300,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        greedy: bool = False,
        seed: int = 1,
    ) -> Iterator[str]:
        """Text after ``prompt``, piece by piece as it comes; the same seed gives the same text.

        Args:
            prompt: what stands before; empty begins as a new line does.
            length: tokens to draw.
            temperature: below 1 keeps to the likely, above 1 dares more.
            top_k: draws among the k likeliest tokens.
            top_p: draws among the fewest tokens whose probabilities reach p.
            greedy: always the likeliest token.
            seed: of the draws.

        Raises:
            SettingError: a setting is out of range, or the run is not a language model.
        """
        from seqloom.models.decode import check_sampling

        check_sampling(temperature, top_k, top_p, length)
        if not hasattr(self.task, "generate"):
            raise SettingError(
                f"{self.run.path} is a run of {self.task.name}, which generates no text",
                help="seqloom train TEXT.txt --task language makes one that does",
            )
        sampling = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "greedy": greedy, "seed": seed}
        pieces: Iterator[str] = self.task.generate(self.model, prompt, length=length, **sampling)
        return pieces

    def _stream(self) -> Any:
        if self._streaming is None:
            if not hasattr(self.task, "stream"):
                raise self._no_forecast("takes no rows one by one")
            self._streaming = self.task.stream(self.model)
        return self._streaming

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        """The options that were given, of those that the task knows."""
        given = {name: value for name, value in given.items() if value is not None}
        for name in given.keys() - self.task.options:
            raise self._no_forecast(f'does not take "{name}"')
        return given

    def _no_forecast(self, what: str) -> SettingError:
        return SettingError(
            f"{self.run.path} is a run of {self.task.name}, which {what}",
            help="seqloom train TABLE.csv --task forecast makes one that does",
        )


def load(path: str | Path) -> Predictor:
    """A predictor from a run folder, checked: checksums first, then its own examples are predicted again.

    A training that has not ended is loaded with the best weights of its newest checkpoint.

    Raises:
        RunError: the folder is not a run, a file is missing or changed, or the examples come out differently.
    """
    run = runs.Run.open(path)
    if run.finished:
        run.verify()
    task = load_task(run)
    model = task.build()
    try:
        model.load_state_dict(_weights(run))
    except RuntimeError as error:
        raise RunError(f"{run.weights} does not fit the settings of the run: {error}") from None
    predictor = Predictor(run, task, model)
    if run.finished:
        _replay(predictor)
    return predictor


def load_task(run: Run) -> Task:
    """The task of a run as ``fit`` left it.

    Raises:
        RunError: run.toml names a task this version does not have, or a file of preprocess/ is missing or damaged.
    """
    contents = run.read_toml()
    name = contents.get("task")
    if name not in names("tasks"):
        raise RunError(f'{run.toml} names the task "{name}", which this version does not have', help="update seqloom")
    kind = part("tasks", name)
    try:
        settings = kind.Settings.parse(contents.get("settings", {}))
        task: Task = kind.load(settings, run.preprocess)
    except SettingError as error:
        raise RunError(f"{run.toml} does not fit this version: {error.message}") from None
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{run.preprocess} is damaged: {error}", help="copy the run folder again") from None
    return task


def _weights(run: Run) -> Any:
    from safetensors.torch import load_file

    from seqloom.training import checkpoint

    if run.finished:
        return load_file(run.weights)
    state, _ = checkpoint.load_newest(run)
    if state is None:
        raise RunError(f"{run.path} has no weights yet", help=f"seqloom resume {run.path} goes on with the training")
    return checkpoint.best_weights(state) or state.weights


def _replay(predictor: Predictor) -> None:
    """Predicts the examples that training left in the run once more, and holds the answers against its own."""
    path = predictor.run.examples
    if not path.exists():
        return
    kept = read_jsonl(path)
    # The runs of seqloom 0.1.0 called it the text.
    inputs = [example["input"] if "input" in example else example["text"] for example in kept]
    again, _ = predictor.task.predict(predictor.model, inputs)
    for number, (example, prediction) in enumerate(zip(kept, again, strict=True), start=1):
        if not _alike(example["prediction"], prediction):
            raise RunError(
                f"{path}:{number} is predicted differently now: {example['prediction']} became {prediction}",
                help="the run was made by another version of seqloom or torch: see run.toml",
            )


def _alike(before: Any, now: Any) -> bool:
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_alike(before[key], now[key]) for key in before)
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(_alike(one, other) for one, other in zip(before, now, strict=True))
    if isinstance(before, float) and isinstance(now, int | float):
        return isclose(before, now, rel_tol=REPLAY_TOLERANCE, abs_tol=REPLAY_TOLERANCE)
    return bool(before == now)
