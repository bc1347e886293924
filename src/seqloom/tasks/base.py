"""What a task is: the only place where data and model meet.

Training and prediction know a task by these methods alone, in the order in which they are called:

    check -> split -> fit -> encode -> epoch -> loss -> evaluate        (training)
    load -> texts -> predict                                           (prediction)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor, nn

    from seqloom.data.records import Records
    from seqloom.settings import Settings

Use = Literal["train", "evaluate", "predict"]
"""What records are read for."""

__all__ = ["Evaluation", "Examples", "Loss", "Score", "Task", "Use"]


@dataclass(frozen=True)
class Examples:
    """Records encoded as arrays of token ids, int32 ``[T]`` each, and what they should give."""

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
    """Nats summed over the predictions, with its graph."""
    count: int
    """Predictions: records, or tokens."""
    correct: Tensor
    """How many of them were right, as a tensor, so that nobody waits for it."""
    carried: tuple[Tensor, ...] = ()
    """The recurrent state that the next batch begins with, detached; empty where batches are independent."""


@dataclass(frozen=True)
class Evaluation:
    """What a model scored on the examples of one part."""

    metrics: dict[str, float]
    """``loss`` (nats a prediction) and what else the task reports."""
    count: int
    details: dict[str, Any] = field(default_factory=dict)
    """Confusion, mistakes, samples: what the report shows."""


@dataclass(frozen=True)
class Score:
    """One line of the verdict: a model or a simple rule on the validation part."""

    name: str
    value: float
    loss: float | None = None
    seconds: float | None = None
    error: float | None = None
    """Half of a 95 % interval: 1.96 standard errors."""
    note: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}


class Task(ABC):
    """One kind of problem: what its data are, which model it takes, and how it is judged."""

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]]
    metric: ClassVar[str]
    """The metric of the verdict, by which the best weights are chosen."""
    higher_is_better: ClassVar[bool]

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    # --- data -----------------------------------------------------------------------------------------------------

    def read(self, file: str | Path, *, use: Use = "evaluate") -> Records:
        """The records of a user's file, checked for what this task needs."""
        from seqloom.data.read import read

        records = read(file, encoding=self.settings.encoding, bad_rows=self.settings.bad_rows)
        return self.check(records, use=use)

    @abstractmethod
    def check(self, records: Records, *, use: Use = "evaluate") -> Records:
        """The records this task can train on, evaluate with, or predict.

        Raises:
            DataError: a column is missing, or rows lack what the task needs.
        """

    @abstractmethod
    def texts(self, records: Records) -> list[str]:
        """The text of each record, as ``predict`` takes it."""

    @abstractmethod
    def split(self, records: Records) -> tuple[Records, Records, str]:
        """The training part, the validation part, and how they were made."""

    @abstractmethod
    def fit(self, train: Records) -> None:
        """Learns from the training part all that prepares text: vocabulary, labels. Completes ``settings``."""

    @abstractmethod
    def encode(self, records: Records) -> Examples:
        """Arrays of token ids and targets."""

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
    def epoch(self, examples: Examples, number: int) -> Sequence[Any]:
        """The batches of one epoch, made when they are asked for: a pure function of settings, examples and number."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any, carried: tuple[Tensor, ...]) -> Loss:
        """The loss of one batch; ``carried`` is empty at the beginning of an epoch."""

    # --- judging --------------------------------------------------------------------------------------------------

    @abstractmethod
    def evaluate(self, model: nn.Module, examples: Examples, *, details: bool = False) -> Evaluation:
        """Scores every example; ``details`` adds what the report shows. The caller has set evaluation mode."""

    @abstractmethod
    def error(self, evaluation: Evaluation) -> float | None:
        """Half of a 95 % interval around the metric, where the task knows one."""

    @abstractmethod
    def baselines(self, train: Records, valid: Records, *, seconds: float | None) -> list[Score]:
        """Simple rules on the same validation part, the best first; ``seconds`` bounds the time they may take."""

    # --- using ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def predict(self, model: nn.Module, texts: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
        """One prediction a text, and how many unknown tokens were met."""

    @abstractmethod
    def next_command(self, run: Path) -> str:
        """What a user does next with a run: the words behind ``seqloom``."""
