"""The training loop: a step, and when it is time an evaluation, a checkpoint, the end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf, isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from seqloom.errors import RunError, SeqloomError
from seqloom.files import append_jsonl
from seqloom.training import checkpoint
from seqloom.training.average import Average
from seqloom.training.budget import Clock, Schedule
from seqloom.training.devices import autocast
from seqloom.training.optimizer import adamw, learning_rate, set_learning_rate

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from seqloom.run import Run
    from seqloom.tasks.base import Encoded, Evaluation, Task

__all__ = ["Interrupted", "Loop"]

LEAST_CHECKPOINT_SECONDS = 1.0
"""Epochs shorter than this do not each get a checkpoint: writing it would take longer than what it saves."""


class Interrupted(SeqloomError):
    """The user stopped the training; everything is saved."""

    exit_status = 130

    def __str__(self) -> str:
        return f"interrupted: {self.message}\n  help: {self.help}"


NONE_YET = (inf, inf)


class Listener(Protocol):
    """Who is told how a training goes, for instance the console."""

    def warn(self, text: str) -> None:
        """Something is not as it should be."""

    def progress(self, loop: Loop) -> None:
        """A step was taken."""

    def evaluated(self, loop: Loop, train: dict[str, float], evaluation: Evaluation) -> None:
        """The validation part was scored; ``train`` is what the training part lost since the last time."""


class Loop:
    """One training, from a new model or from a checkpoint to its last step.

    All that decides the next step lies in the attributes that ``_state`` writes and ``_restore`` reads.
    """

    def __init__(self, task: Task, train: Encoded, valid: Encoded, run: Run, clock: Clock, console: Listener) -> None:
        import torch

        self.task, self.train, self.valid = task, train, valid
        self.run, self.clock, self.console = run, clock, console
        self.settings: Any = task.settings
        torch.manual_seed(self.settings.seed)
        self.model: nn.Module = task.build()
        self.optimizer = adamw(self.model, self.settings)
        self.average = Average(self.model, self.settings.average)
        self.epoch, self.position, self.step, self.examples = 0, 0, 0, 0
        self.batches: Sequence[Any] = task.epoch(train, 0)
        self.schedule = Schedule(self.settings, len(self.batches), clock)
        self.carried: tuple[Tensor, ...] = ()
        self.best: dict[str, Tensor] = {}
        self.best_score, self.best_step, self.worse = NONE_YET, 0, 0
        self.sums = Sums()
        self.saved = perf_counter()
        self.trained = 0.0  # seconds in `fit`, over all its parts if it was interrupted
        self._restore()

    def fit(self) -> str:
        """Trains to the end; returns why it ended: ``epochs``, ``budget``, ``most_epochs`` or ``patience``.

        Raises:
            Interrupted: by Ctrl-C, after a checkpoint was saved.
        """
        start = perf_counter() - self.trained
        with stop_on_interrupt() as stop:
            while not (self.schedule.done() or self._out_of_patience()):
                self._take_step()
                if self.schedule.evaluation_due():
                    self._evaluate()
                self.console.progress(self)
                self.trained = perf_counter() - start
                if stop.is_set():
                    self._save()
                    raise Interrupted(f"saved at step {self.step:,}", help=f"seqloom resume {self.run.path} goes on")
                self._save_if_due()
            self._save()
        if self._out_of_patience():
            return "patience"
        if self.schedule.ended_by_most(self.step):
            return "most_epochs"
        return "budget" if self.settings.budget else "epochs"

    # --- one step -------------------------------------------------------------------------------------------------

    def _take_step(self) -> None:
        from torch.nn.utils import clip_grad_norm_

        start = perf_counter()
        batch = self.batches[self.position]
        set_learning_rate(self.optimizer, learning_rate(self.schedule.progress, self.settings))
        with autocast(self.settings.precision):
            loss = self.task.loss(self.model, batch, self.carried)
        self.optimizer.zero_grad(set_to_none=True)
        (loss.sum / loss.count).backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.carried = loss.carried
        self.step += 1
        self.average.add(self.step)
        self.examples += loss.count
        self.sums.add(loss.sum.detach(), loss.correct, loss.count)
        self._next_position()
        self.schedule.advance(self.step, perf_counter() - start)

    def _next_position(self) -> None:
        self.position += 1
        if self.position == len(self.batches):
            self.epoch += 1
            self.position, self.carried = 0, ()
            self.batches = self.task.epoch(self.train, self.epoch)

    # --- judging --------------------------------------------------------------------------------------------------

    def _evaluate(self) -> None:
        start = perf_counter()
        with self.average.in_place():
            evaluation = evaluate(self.task, self.model, self.valid, self.settings.precision)
            score = self._score(evaluation)
            if score < self.best_score:
                self.best_score, self.best_step, self.worse = score, self.step, 0
                self.best = self._copied_weights()
            else:
                self.worse += 1
        self._record(evaluation)
        if self.best_score == NONE_YET:
            raise SeqloomError(
                f"the loss is not a number at step {self.step}",
                help="take a smaller --lr; the run keeps its last good checkpoint",
            )
        self.schedule.evaluation_done(perf_counter() - start)

    def _copied_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def _score(self, evaluation: Evaluation) -> tuple[float, float]:
        """What is least for the best weights: the task's metric, and between equals the loss."""
        loss = evaluation.metrics["loss"]
        if not isfinite(loss):  # weights that are not numbers still have an accuracy; they are never the best
            return NONE_YET
        sign = -1 if self.task.higher_is_better else 1
        return sign * evaluation.metrics[self.task.metric], loss

    def _record(self, evaluation: Evaluation) -> None:
        train, self.sums = self.sums.means(), Sums()
        place = {
            "step": self.step,
            "epoch": round(self.epoch + self.position / len(self.batches), 4),
            "examples": self.examples,
            "seconds": round(self.clock.elapsed(), 3),
        }
        rate = {"lr": self.optimizer.param_groups[0]["lr"]}
        append_jsonl(self.run.metrics, {"part": "train", **place, **train, **rate})
        append_jsonl(self.run.metrics, {"part": "valid", **place, **evaluation.metrics})
        self.console.evaluated(self, train, evaluation)

    def _out_of_patience(self) -> bool:
        return bool(0 < self.settings.patience <= self.worse)

    # --- saving ---------------------------------------------------------------------------------------------------

    def _save_if_due(self) -> None:
        since = perf_counter() - self.saved
        epoch_ended = self.position == 0 and since >= LEAST_CHECKPOINT_SECONDS
        if since >= self.settings.checkpoint_every or epoch_ended:
            self._save()

    def _save(self) -> None:
        checkpoint.save(self.run, self._state())
        self.saved = perf_counter()

    def _state(self) -> checkpoint.TrainingState:
        import torch

        tensors = {"generator": torch.get_rng_state(), **self.average.to_tensors()}
        tensors |= {f"carried.{index}": tensor for index, tensor in enumerate(self.carried)}
        is_best = self.best_step == self.step
        if not is_best:
            tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        values = {
            "schedule": self.schedule.to_values(),
            "examples": self.examples,
            "seconds": self.clock.elapsed(),
            "trained": self.trained,
            "best_score": None if self.best_score == NONE_YET else self.best_score,
            "best_step": self.best_step,
            "worse": self.worse,
            "sums": self.sums.to_values(),
        }
        with self.average.in_place():
            weights = self._copied_weights()
        return checkpoint.TrainingState(
            step=self.step,
            epoch=self.epoch,
            position=self.position,
            weights=weights,
            optimizer=checkpoint.optimizer_tensors(self.model, self.optimizer),
            tensors=tensors,
            values=values,
            best=is_best,
        )

    def _restore(self) -> None:
        import torch

        state, notes = checkpoint.load_newest(self.run)
        for note in notes:
            self.console.warn(note)
        if state is None:
            self.run.truncate_metrics(0)
            return
        try:
            self.model.load_state_dict(state.weights)
        except RuntimeError as error:
            raise RunError(f"the checkpoint of step {state.step} does not fit the settings: {error}") from None
        self.average.restore(state.tensors)
        checkpoint.restore_optimizer(self.model, self.optimizer, state.optimizer)
        self.step, self.epoch, self.position = state.step, state.epoch, state.position
        self.batches = self.task.epoch(self.train, self.epoch)
        carried = [name for name in state.tensors if name.startswith("carried.")]
        self.carried = tuple(state.tensors[f"carried.{index}"] for index in range(len(carried)))
        values = state.values
        self.schedule.restore(values["schedule"])
        self.examples, self.worse = values["examples"], values["worse"]
        self.best_score = NONE_YET if values["best_score"] is None else tuple(values["best_score"])
        self.trained = values["trained"]
        self.best_step = values["best_step"]
        self.best = checkpoint.best_weights(state)
        self.sums = Sums.from_values(values["sums"])
        self.clock.start -= values["seconds"]
        self.run.truncate_metrics(self.step)
        torch.set_rng_state(state.tensors["generator"])


class Sums:
    """What the training part lost since the last evaluation; tensors, so that no step waits for a number."""

    def __init__(self, loss: Any = 0.0, correct: Any = 0, count: int = 0) -> None:
        self.loss, self.correct, self.count = loss, correct, count

    def add(self, loss: torch.Tensor, correct: torch.Tensor | None, count: int) -> None:
        """Adds one batch; ``correct`` is None where right and wrong mean nothing."""
        self.loss = self.loss + loss.double()
        self.correct = None if correct is None else self.correct + correct
        self.count += count

    def means(self) -> dict[str, float]:
        """Loss, and accuracy where there is one; nothing if no batch was added."""
        loss, correct, count = self.to_values()
        if not count:
            return {}
        return {"loss": loss / count} | ({} if correct is None else {"accuracy": correct / count})

    def to_values(self) -> tuple[float, int | None, int]:
        """Plain numbers for a checkpoint."""
        return float(self.loss), None if self.correct is None else int(self.correct), self.count

    @classmethod
    def from_values(cls, values: Sequence[Any]) -> Sums:
        """Sums as ``to_values`` gave them."""
        import torch

        correct = None if values[1] is None else torch.tensor(values[1])
        return cls(torch.tensor(values[0], dtype=torch.float64), correct, values[2])


def evaluate(task: Task, model: nn.Module, examples: Encoded, precision: str, *, details: bool = False) -> Evaluation:
    """Scores a model on one part in evaluation mode, and leaves it in the mode it was in."""
    training = model.training
    model.eval()
    try:
        with autocast(precision):
            return task.evaluate(model, examples, details=details)
    finally:
        model.train(training)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a flag that the loop reads between two steps; the second one stops at once.

    Outside the main thread signals cannot be caught, and Ctrl-C does what it always does there.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def remember(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
