"""A run folder becomes a predictor: what the command line, the server and Python share.

Prediction sees nothing of training but the run folder, so whatever prepared the training text prepares this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
"""Records of a file that are predicted at once: bounds the memory, and the wait for the first answer."""
REPLAY_TOLERANCE = 1e-3
"""Other processors and thread counts round differently; more than this is another model or other preparation."""


class Predictor:
    """A trained model with all that prepares its input.

    Attributes:
        run: the folder it was loaded from.
        task: the task with its vocabulary and labels.
        unknown: tokens met so far that training never saw.
    """

    def __init__(self, run: Run, task: Task, model: nn.Module) -> None:
        self.run = run
        self.task = task
        self.settings: Any = task.settings
        self.model = model.eval()
        self.unknown = 0

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One prediction a text.

        classify gives ``label``, ``probability`` and ``probabilities``; language gives ``loss`` (nats a token),
        ``perplexity`` and the likeliest ``next`` tokens.
        """
        if isinstance(texts, str):
            raise SettingError("predict takes a list of texts, and was given one text", help="predict([text])")
        found, unknown = self.task.predict(self.model, texts)
        self.unknown += unknown
        return found

    def predict_file(self, path: str | Path) -> Iterator[dict[str, Any]]:
        """One prediction for each record of a file, with the ``line`` it comes from.

        Raises:
            DataError: the file cannot be read, or lacks the text column of the run.
        """
        records = self.task.read(path, use="predict")
        texts = self.task.texts(records)
        for start in range(0, len(texts), CHUNK):
            lines = records.lines[start : start + CHUNK]
            for line, prediction in zip(lines, self.predict(texts[start : start + CHUNK]), strict=True):
                yield {"line": line, **prediction}

    def evaluate(self, path: str | Path) -> dict[str, Any]:
        """Metrics on another file, with the details of the report.

        Raises:
            DataError: the file cannot be read, lacks a column, or has a label that the run does not know.
        """
        records = self.task.read(path)
        examples = self.task.encode(records)
        self.unknown += examples.unknown
        evaluation = self.task.evaluate(self.model, examples, details=True)
        return {"file": str(path), "count": evaluation.count, **evaluation.metrics, **evaluation.details}

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
    again, _ = predictor.task.predict(predictor.model, [example["text"] for example in kept])
    for number, (example, prediction) in enumerate(zip(kept, again, strict=True), start=1):
        if not _alike(example["prediction"], prediction):
            raise RunError(
                f"{path}:{number} is predicted differently now: {example['prediction']} became {prediction}",
                help="the run was made by another version of seqloom or torch: see run.toml",
            )


def _alike(before: Any, now: Any) -> bool:
    if isinstance(before, dict) and isinstance(now, dict):
        return before.keys() == now.keys() and all(_alike(before[key], now[key]) for key in before)
    if isinstance(before, float) and isinstance(now, int | float):
        return isclose(before, now, rel_tol=REPLAY_TOLERANCE, abs_tol=REPLAY_TOLERANCE)
    return bool(before == now)
