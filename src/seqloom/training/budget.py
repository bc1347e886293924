"""How far a training is, between 0 and 1: by the number of steps, or by the clock of a budget."""

from __future__ import annotations

from collections import deque
from statistics import fmean
from time import perf_counter
from typing import Any

__all__ = ["Clock", "Schedule"]

EVALUATIONS = 10
"""Evaluations of a training, if its epochs or its length do not ask for more."""
EVALUATION_SHARE = 0.1
"""Evaluations may take this share of a budget; where they would take more, there are fewer of them."""
REPORT_SECONDS = 3.5
"""What a run costs after the last evaluation: samples, weights, replayed examples, plots."""
FINAL_EVALUATIONS = 2
"""The best weights are judged once more at the end, in fp32, which takes up to twice as long as in training."""
LEAST_STEPS = 1500
"""A training within a budget that stops after ``most_epochs`` takes at least so many steps, if the time allows."""
RECENT = 50
"""Steps whose mean duration is the speed: enough that long and short batches even out."""


class Clock:
    """The time a command has taken, over all its parts if it was interrupted."""

    def __init__(self, budget: float | None, used: float = 0.0) -> None:
        self.budget = budget
        self.start = perf_counter() - used

    def elapsed(self) -> float:
        """Seconds since the command began."""
        return perf_counter() - self.start

    def left(self) -> float:
        """Seconds of the budget that are left; endless without one."""
        return float("inf") if self.budget is None else self.budget - self.elapsed()


class Schedule:
    """Says after each step how far the training is, and when it is time to evaluate.

    With epochs, ``progress`` is the share of their steps, and depends on nothing else. With a budget the speed is
    measured as the training goes: after each step, ``progress`` moves on by what is still missing divided by the
    steps that still fit into the time left. So it reaches 1 at the end of the budget even where the machine gets
    slower or faster, and never goes back. With ``most_epochs`` too, it reaches 1 after their steps, if that is sooner.
    """

    def __init__(self, settings: Any, steps_per_epoch: int, clock: Clock) -> None:
        self.clock = clock
        self.total = settings.epochs * steps_per_epoch if settings.epochs else None
        most = settings.most_epochs * steps_per_epoch
        self.most = float(max(most, LEAST_STEPS)) if most else float("inf")
        self.step = 0
        evaluations = max(EVALUATIONS, settings.epochs or 0, int((settings.budget or 0) / 120))
        self.spacing = 1 / evaluations
        self.progress = 0.0
        self.evaluated = 0.0  # progress at the last evaluation
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.evaluation_seconds = 0.0
        self.measured = 0

    def advance(self, step: int, seconds: float) -> None:
        """Takes note of a step: its number, counted from 1, and the seconds it took."""
        self.measured += 1
        self.step = step
        # The first step pays for memory and caches; it says nothing about the others.
        if self.measured > 1:
            self.recent.append(seconds)
        self.progress = step / self.total if self.total else self._by_clock()

    @property
    def step_seconds(self) -> float:
        """Seconds a step takes, 0 while that is not known."""
        return fmean(self.recent) if self.recent else 0.0

    def _by_clock(self) -> float:
        # Of most_epochs, the step just taken is one of those that share the rest: progress is then step / most.
        steps = min(self.seconds_by_clock() / max(self.step_seconds, 1e-6), self.most - self.step + 1)
        return 1.0 if steps < 1 else min(1.0, self.progress + (1 - self.progress) / steps)

    def steps_left(self) -> float:
        """Steps that still come, as far as can be told now."""
        if self.total:
            return float(self.total * (1 - self.progress))
        return min(self.seconds_by_clock() / max(self.step_seconds, 1e-6), self.most - self.step)

    def seconds_by_clock(self) -> float:
        """Seconds of the budget that are left for steps."""
        evaluations = (1 - self.progress) / self.spacing + FINAL_EVALUATIONS
        return self.clock.left() - evaluations * self.evaluation_seconds - REPORT_SECONDS

    def seconds_to_end(self) -> float:
        """Seconds until the command ends, evaluations included: what a user reads as time left."""
        evaluations = (1 - self.progress) / self.spacing + FINAL_EVALUATIONS
        training = self.steps_left() * self.step_seconds
        return max(0.0, training + evaluations * self.evaluation_seconds + REPORT_SECONDS)

    def evaluation_due(self) -> bool:
        """Whether the next evaluation has come; the end of the training is always one."""
        # A share of a step is forgiven, so that rounding does not move an evaluation to the next step.
        return self.done() or self.progress - self.evaluated >= self.spacing - 1e-9

    def evaluation_done(self, seconds: float) -> None:
        """Takes note of an evaluation and the seconds it took."""
        # With epochs, evaluations stand on a grid, whatever steps it falls between.
        self.evaluated = int(self.progress / self.spacing + 1e-9) * self.spacing if self.total else self.progress
        self.evaluation_seconds = seconds
        if self.clock.budget is not None:
            self.spacing = max(self.spacing, seconds / (EVALUATION_SHARE * self.clock.budget))

    def done(self) -> bool:
        """Whether the last step has been taken."""
        return self.progress >= 1.0

    def ended_by_most(self, step: int) -> bool:
        """Whether a training with a budget that ended at this step was ended by ``most_epochs``."""
        return self.total is None and step >= self.most

    def to_values(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"progress": self.progress, "evaluated": self.evaluated, "spacing": self.spacing}

    def restore(self, values: dict[str, float]) -> None:
        """Goes on from what a checkpoint kept."""
        self.progress, self.evaluated, self.spacing = values["progress"], values["evaluated"], values["spacing"]
