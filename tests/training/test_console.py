"""What a training says: on a terminal, into a file, and when it should be quiet."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from seqloom.tasks.base import Evaluation
from seqloom.training.budget import Clock, Schedule
from seqloom.training.console import Console, seconds_in_words
from seqloom.training.loop import Sums


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42, "42 s"),
        (59.6, "1 min 0 s"),
        (560, "9 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_seconds_in_words(seconds: float, words: str) -> None:
    assert seconds_in_words(seconds) == words


def loop(steps: int = 40, of: int = 100, seconds: float = 0.5, epochs: int = 2) -> Any:
    """A training after some steps, as far as a console looks at it."""
    schedule = Schedule(SimpleNamespace(epochs=epochs, most_epochs=0, budget=None), of // 2, Clock(None))
    for step in range(1, steps + 1):
        schedule.advance(step, seconds)
    return SimpleNamespace(
        schedule=schedule,
        epoch=steps // (of // 2),
        position=steps % (of // 2),
        batches=range(of // 2),
        sums=Sums(12.0, 3, 6),
        step=steps,
        best_step=steps,
        settings=SimpleNamespace(batch=7),
        task=SimpleNamespace(shown="accuracy"),
    )


@pytest.mark.parametrize(
    ("heading", "spaces"), [("plan", 10), ("리뷰.csv", 6), ("아주 긴 이름의 파일.csv", 1), ("thirteen 8901", 1)]
)
def test_lines_stand_under_each_other(capsys: pytest.CaptureFixture[str], heading: str, spaces: int) -> None:
    """A letter of Hangul takes two places on a terminal."""
    Console().say(heading, "하나\nzwei")
    assert capsys.readouterr() == ("", f"{heading}{' ' * spaces}하나\n{'':<13} zwei\n")


def test_a_user_s_words_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    words = "[red]a[/red] :smile: [/] https://a.b " + "long " * 60
    Console().say("x", words)
    assert capsys.readouterr().err == f"{'x':<13} {words}\n"


def test_quiet_lets_warnings_through_alone(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("run", "nothing")
    console.progress(loop(100))
    console.evaluated(loop(), {"loss": 1.0}, Evaluation({"loss": 1.0, "accuracy": 0.5}, 3))
    console.warn("checkpoint damaged")
    console.close()
    assert capsys.readouterr().err == f"{'warning':<13} checkpoint damaged\n"


def test_an_evaluation_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    Console().evaluated(loop(), {"loss": 0.25}, Evaluation({"loss": 0.5, "accuracy": 0.875}, 8))
    line = capsys.readouterr().err
    for told in ("epoch 0.80", "loss 0.2500", "valid 0.5000", "accuracy 87.5 %", "left", "best"):
        assert told in line
    again = loop()
    again.best_step = 1
    Console().evaluated(again, {}, Evaluation({"loss": 0.5, "accuracy": 0.875}, 8))
    assert "best" not in capsys.readouterr().err


def test_the_plan_is_told_once_when_the_speed_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.progress(loop(2))  # one second: too early
    assert capsys.readouterr().err == ""
    console.refreshed = 0.0
    console.progress(loop(40))
    assert "2 epochs, 100 steps of 7 at 2 steps/s: 34 s" in capsys.readouterr().err  # 60 steps and the report
    console.refreshed = 0.0
    console.progress(loop(90))
    assert capsys.readouterr().err == ""
    Console().progress(loop(40, epochs=1))
    assert "1 epoch, 50 steps of 7 at 2 steps/s" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_shows_place_loss_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    console = Console()
    console.progress(loop(40))
    assert console.bar is not None
    console.bar.refresh()
    shown = terminal.getvalue()
    for told in ("epoch 0.8", "40%", "loss 2.000", "34 s left"):
        assert told in shown
    console.close()
    console.close()
    assert console.bar is None
    assert "\x1b[?25h" in terminal.getvalue()  # the cursor is back
