"""What a training says while it works: lines under short headings on stderr, and one bar with the time left."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqloom.tasks.base import Evaluation
    from seqloom.training.loop import Loop

__all__ = ["Console", "seconds_in_words"]

HEADING = 13
PLAN_AFTER_SECONDS = 3.0
REFRESH_SECONDS = 0.2


def seconds_in_words(seconds: float) -> str:
    """``9 min 20 s``, ``42 s``, ``2 h 5 min``."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


class Console:
    """Prints to stderr; on a terminal with a bar, elsewhere a line for each evaluation. Quiet: warnings alone."""

    def __init__(self, quiet: bool = False) -> None:
        from rich.console import Console as RichConsole

        self.quiet = quiet
        self.rich = RichConsole(file=sys.stderr, highlight=False, emoji=False, soft_wrap=True)
        self.bar: Any = None
        self.bar_task: Any = None
        self.told_plan = False
        self.refreshed = 0.0

    def say(self, heading: str, text: str) -> None:
        """One line; a text of several lines continues under itself."""
        from rich.cells import cell_len

        if not self.quiet:
            first, *others = text.split("\n")
            self._print(f"{heading}{' ' * (HEADING - cell_len(heading))} {first}")
            for line in others:
                self._print(f"{'':<{HEADING}} {line}")

    def warn(self, text: str) -> None:
        """A line that is told even when quiet."""
        self._print(f"{'warning':<{HEADING}} {text}")

    def _print(self, text: str) -> None:
        # Markup off: a user's file name may hold brackets.
        self.rich.print(text, markup=False)

    # --- the training ---------------------------------------------------------------------------------------------

    def progress(self, loop: Loop) -> None:
        """Draws the bar anew, a few times a second."""
        now = perf_counter()
        if self.quiet or (now - self.refreshed < REFRESH_SECONDS and not loop.schedule.done()):
            return
        self.refreshed = now
        schedule = loop.schedule
        self._tell_plan(loop)
        if not self.rich.is_terminal:
            return
        if self.bar is None:
            self._start_bar()
        place = loop.epoch + loop.position / len(loop.batches)
        train = loop.sums.means()
        told = f"loss {train['loss']:.3f}" if train else ""
        self.bar.update(
            self.bar_task,
            completed=schedule.progress,
            description=f"epoch {place:.1f}",
            refresh=True,
            left=f"{told}   {seconds_in_words(schedule.seconds_to_end())} left",
        )

    def _tell_plan(self, loop: Loop) -> None:
        schedule = loop.schedule
        if self.told_plan or (schedule.measured * schedule.step_seconds < PLAN_AFTER_SECONDS and not schedule.done()):
            return
        self.told_plan = True
        if not schedule.step_seconds:  # over after one step, whose time says nothing
            return
        steps = loop.step + max(0.0, schedule.steps_left())
        epochs = f"{steps / len(loop.batches):.3g}"
        self.say(
            "plan",
            f"{epochs} {'epoch' if epochs == '1' else 'epochs'}, {steps:,.0f} steps of {loop.settings.batch} at "
            f"{1 / max(schedule.step_seconds, 1e-9):.3g} steps/s: {seconds_in_words(schedule.seconds_to_end())}",
        )

    def _start_bar(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self.bar = Progress(
            TextColumn("{task.description:<13}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=self.rich,
            transient=True,
            auto_refresh=False,
        )
        self.bar.start()
        self.bar_task = self.bar.add_task("", total=1.0, left="")

    def evaluated(self, loop: Loop, train: dict[str, float], evaluation: Evaluation) -> None:
        """A line for each evaluation."""
        from seqloom.report.verdict import metric_name, show

        place = loop.epoch + loop.position / len(loop.batches)
        best = "  best" if loop.best_step == loop.step else ""
        trained = f"loss {train['loss']:.4f}   " if train else ""
        name = loop.task.shown
        shown = f"{metric_name(name)} {show(name, evaluation.metrics[name])}"
        self.say(
            f"epoch {place:.2f}",
            f"{trained}valid {evaluation.metrics['loss']:.4f}   {shown}"
            f"   {seconds_in_words(loop.schedule.seconds_to_end())} left{best}",
        )

    def close(self) -> None:
        """Takes the bar away; safe to call at any time."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None
