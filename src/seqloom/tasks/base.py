"""What a task is: the only place where data and model meet.

Training and prediction know a task by these methods alone, in the order in which they are called:

    check -> split, held_out -> fit -> encode -> epoch -> loss -> calibrate -> evaluate     (training)
    load -> inputs -> predict                                                             (prediction)

What lies between check and encode is the task's own: ``Data`` is Records for texts, and series for forecasts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.data.inspect import Inspection
    from seqloom.data.records import Records, Reject
    from seqloom.settings import Settings

Use = Literal["train", "evaluate", "predict"]
"""What records are read for."""

__all__ = ["Data", "Encoded", "Evaluation", "Examples", "Loss", "Score", "Task", "Use"]

KEPT = 5
"""So many inputs are kept with their predictions, and predicted again when the run is loaded."""
KEPT_CHARACTERS = 500


class Data(Protocol):
    """What ``check`` makes of the records of a file, and ``split`` its parts."""

    @property
    def file(self) -> str:
        """The file as the user named it."""

    @property
    def rejects(self) -> tuple[Reject, ...]:
        """Rows left out."""

    def __len__(self) -> int: ...


class Encoded(Protocol):
    """A part of the data as arrays, of which a task makes batches."""

    @property
    def unknown(self) -> int:
        """Tokens that the vocabulary does not know; 0 where there are no tokens."""

    @property
    def tokens(self) -> int: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Examples:
    """Texts encoded as arrays of token ids, int32 ``[T]`` each, and what they should give."""

    arrays: list[NDArray[np.int32]]
    targets: NDArray[np.int64]
    texts: list[str]
    lines: list[int]
    unknown: int
    """Tokens that the vocabulary does not know."""

    def __len__(self) -> int:
        return len(self.arrays)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.array([len(array) for array in self.arrays], dtype=np.int64)

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())


@dataclass(frozen=True)
class Loss:
    """What a model lost on one batch."""

    sum: Tensor
    """The loss summed over the predictions (nats, or squares of scaled units ...), with its graph."""
    count: int
    """Predictions: records, tokens or windows."""
    correct: Tensor | None = None
    """How many of them were right, as a tensor, so that nobody waits for it; None where nothing is right or wrong."""
    carried: tuple[Tensor, ...] = ()
    """The recurrent state that the next batch begins with, detached; empty where batches are independent."""


@dataclass(frozen=True)
class Evaluation:
    """What a model scored on the examples of one part."""

    metrics: dict[str, Any]
    """``loss`` (that of a prediction) and what else the task reports: numbers, or None for what is not defined here."""
    count: int
    details: dict[str, Any] = field(default_factory=dict)
    """Confusion, mistakes, samples: what the report shows."""


@dataclass(frozen=True)
class Score:
    """One line of the verdict: a model or a simple rule on the part that judges."""

    name: str
    value: float
    loss: float | None = None
    seconds: float | None = None
    error: float | None = None
    """Half of a 95 % interval: 1.96 standard errors."""
    note: str | None = None
    metrics: dict[str, float | None] | None = None
    """Those of ``Task.told`` for the same predictions; None where one is not defined."""

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Task(ABC):
    """One kind of problem: what its data are, which model it takes, and how it is judged."""

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]]
    metric: str
    """The metric of the verdict, by which the best weights are chosen."""
    higher_is_better: ClassVar[bool]
    choices: ClassVar[str] = "--cell, --hidden, ..."
    """Flags by which a user may choose another model."""
    shown: str = "accuracy"
    """The metric that a training tells beside the loss."""
    told: ClassVar[tuple[str, ...]] = ()
    """Metrics that the verdict tells beside its own."""
    options: ClassVar[frozenset[str]] = frozenset()
    """Keywords that ``predict`` takes."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    # --- data -----------------------------------------------------------------------------------------------------

    def read(self, file: str | Path, *, use: Use = "evaluate") -> Any:
        """The records of a user's file, checked for what this task needs."""
        from seqloom.data.read import read

        records = read(file, encoding=self.settings.encoding, bad_rows=self.settings.bad_rows)
        return self.check(records, use=use)

    @abstractmethod
    def check(self, records: Records, *, use: Use = "evaluate") -> Any:
        """The data this task can train on, evaluate with, or predict.

        Raises:
            DataError: a column is missing, or rows lack what the task needs.
        """

    def introduced(self, seen: Inspection) -> list[str]:
        """What a training says of the file first, in lines."""
        return seen.lines()

    def facts(self) -> dict[str, str]:
        """What was found in the data and chosen for them, by name, beside what the inspection saw."""
        return {}

    @abstractmethod
    def inputs(self, data: Any) -> list[Any]:
        """What ``predict`` takes, one for each of its predictions: texts, series."""

    def records(self, data: Any, lines: Sequence[int], predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The predictions as ``predict_file`` gives them: here one record each, with its line in the file."""
        return [{"line": line, **prediction} for line, prediction in zip(lines, predictions, strict=True)]

    @abstractmethod
    def split(self, data: Any) -> tuple[Any, Any, str]:
        """The training part, the validation part, and how they were made."""

    def held_out(self, data: Any) -> Any | None:
        """The part that judges and on which nothing is chosen; None where the validation part judges."""
        return None

    @abstractmethod
    def fit(self, train: Any) -> None:
        """Learns from the training part all that prepares data: vocabulary, labels, scales. Completes ``settings``."""

    @abstractmethod
    def encode(self, data: Any) -> Any:
        """Arrays: ``Encoded``."""

    def kept(self, examples: Any) -> list[Any]:
        """A few inputs that stay in the run with their predictions, as JSON can hold them."""
        return [text[:KEPT_CHARACTERS] for text in examples.texts[:KEPT]]

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Writes what ``fit`` learned."""

    @classmethod
    @abstractmethod
    def load(cls, settings: Any, folder: Path) -> Self:
        """The task as ``save`` left it."""

    # --- training -------------------------------------------------------------------------------------------------

    @abstractmethod
    def build(self) -> nn.Module:
        """A new model, its weights drawn from torch's global generator."""

    @abstractmethod
    def describe(self) -> str:
        """The model in words: ``gru 1 x 256 over 31,204 words``."""

    @abstractmethod
    def epoch(self, examples: Any, number: int) -> Sequence[Any]:
        """The batches of one epoch, made when they are asked for: a pure function of settings, examples and number."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, carried: tuple[Tensor, ...]) -> Loss:
        """The loss of one batch; ``carried`` is empty at the beginning of an epoch."""

    def calibrate(self, model: nn.Module, valid: Any, folder: Path) -> None:
        """Learns what the trained model's validation errors teach, and writes it beside what ``save`` wrote."""
        return

    def forget_calibration(self) -> None:
        """Drops what ``calibrate`` had learnt when a training is gone on with: it would judge the model on the way."""
        return

    # --- judging --------------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, model: nn.Module, examples: Any, *, details: bool = False) -> Evaluation:
        """Scores every example; ``details`` adds what the report shows. The caller has set evaluation mode.

        Without ``details`` a task may leave out some of very many examples: so it is judged on the way.
        """

    @abstractmethod
    def error(self, evaluation: Evaluation) -> float | None:
        """Half of a 95 % interval around the metric, where the task knows one."""

    @abstractmethod
    def baselines(self, train: Any, judged: Any, *, seconds: float | None) -> list[Score]:
        """Simple rules on the part that judges, the best first; ``seconds`` bounds the time they may take."""

    def save_baselines(self, folder: Path) -> None:
        """Writes what ``baselines`` learned and others are to be held against later, beside what ``save`` wrote."""
        return

    # --- using ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def predict(self, model: nn.Module, inputs: Sequence[Any]) -> tuple[list[dict[str, Any]], int]:
        """One prediction an input, and how many unknown tokens were met."""

    @abstractmethod
    def next_command(self, run: Path) -> str:
        """What a user does next with a run: the words behind ``seqloom``."""
