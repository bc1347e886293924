"""Whole training steps with torch.nn's operators and with ours: seconds, and the same losses.

    python -m bench.training_steps [--data FOLDER] [--steps 1000] [--precision fp32 bf16] [--only PATTERN]

Three systems: the recipe imdb-gru, the model of ``seqloom demo`` on Python's own source text, and language with its
defaults on tiny-shakespeare; the first and the last need the folder of the shared data (--data, or SEQLOOM_DATA in the
environment). Two models begin with the same weights, one with torch.nn's layers put in the place of ours; they take
their steps in turn, on the same batches, with the same random numbers for dropout. A step is all of it: loss,
gradients, clipping, AdamW. Writes its tables into bench/RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command line sets it

import torch
from torch import Tensor, nn

from bench.results import Load, finish, machine, paragraph, table
from seqloom.cli import demo
from seqloom.data.read import read
from seqloom.data.records import Records
from seqloom.layers.recurrent import Recurrent
from seqloom.parts import part
from seqloom.tasks.base import Examples, Task
from seqloom.training.devices import autocast, resolve, use_threads
from seqloom.training.optimizer import adamw, learning_rate, set_learning_rate

POINTS = 10
"""Points of a loss curve, each the mean of a stretch of steps."""
SYSTEMS = ("imdb-gru", "demo", "language")


class TorchLayer(nn.Module):
    """torch.nn's layer with the weights of ours, called as ours is.

    It reads each row's padding too: what stands behind a row's end does not reach its valid steps, since the layer
    reads one way, and the classifier takes each row's last state from the output.
    """

    def __init__(self, ours: Recurrent) -> None:
        super().__init__()
        assert not ours.bidirectional, "the reverse direction of a padded batch would begin in the padding"
        kind = {"elman": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[ours.cell.name]
        self.layer = kind(ours.input_size, ours.hidden_size, ours.num_layers, batch_first=True, dropout=ours.dropout)
        self.layer.load_state_dict(ours.state_dict())

    def forward(self, input: Tensor, state: Any = None, lengths: Tensor | None = None) -> Any:
        if isinstance(state, Tensor):  # what a step in bf16 left is taken as the input is
            state = state.to(input.dtype)
        elif state is not None:
            state = tuple(each.to(input.dtype) for each in state)
        return self.layer(input, state)


@dataclass
class Side:
    """One of the two models, with what it needs to go on and what was seen of it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    carried: tuple[Tensor, ...] = ()
    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def step(self, task: Task, batch: Any, rate: float, seed: int) -> None:
        """One training step, timed."""
        torch.manual_seed(seed)
        start = perf_counter()
        set_learning_rate(self.optimizer, rate)
        with autocast(task.settings.precision):
            loss = task.loss(self.model, batch, self.carried)
        self.optimizer.zero_grad(set_to_none=True)
        (loss.sum / loss.count).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), task.settings.clip)
        self.optimizer.step()
        self.carried = loss.carried
        self.seconds.append(perf_counter() - start)
        self.losses.append(float(loss.sum.detach()) / loss.count)

    def thousand(self) -> float:
        """Seconds of 1,000 steps; the first steps, which pay for memory, do not count."""
        counted = self.seconds[min(5, len(self.seconds) - 1) :]
        return 1000 * fmean(counted)

    def curve(self) -> list[float]:
        """The mean loss of each stretch."""
        width = max(1, len(self.losses) // POINTS)
        return [fmean(self.losses[start : start + width]) for start in range(0, len(self.losses), width)][:POINTS]


def main() -> None:
    """Measures, prints the section, and writes it."""
    arguments = _arguments()
    load, parts, told = Load(), [], []
    for name in SYSTEMS:
        if arguments.only not in name:
            continue
        if name != "demo" and arguments.data is None:
            told.append(f"{name} was left out: its data are not there (--data FOLDER, or SEQLOOM_DATA)")
            continue
        for precision in arguments.precision:
            task, train = _prepare(name, precision, arguments)
            theirs, ours = _run(name, task, train, arguments.steps)
            parts.append((name, task, theirs, ours))
    print("\n".join(told), file=sys.stderr)
    if not parts:
        sys.exit("nothing was measured")
    finish("bench.training_steps", _section(arguments, parts, load), write=not (arguments.no_write or arguments.only))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.training_steps", description=__doc__.partition("\n")[0])
    data = os.environ.get("SEQLOOM_DATA")
    parser.add_argument("--data", type=Path, default=data and Path(data), help="folder of the shared data")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32"])
    parser.add_argument("--only", default="", help=f"systems with this in their name: {', '.join(SYSTEMS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-write", action="store_true", help="leave bench/RESULTS.md; so does --only")
    arguments = parser.parse_args()
    if arguments.steps < POINTS:
        parser.error(f"--steps must be at least {POINTS}")
    return arguments


def _prepare(name: str, precision: str, arguments: argparse.Namespace) -> tuple[Task, Examples]:
    """The task, fitted, and its training examples."""
    settings: dict[str, Any]
    if name == "imdb-gru":
        recipe = tomllib.loads(Path(part("recipes", name)).read_text("utf-8"))
        kind, settings = recipe["task"], {**recipe["settings"], "text": "text", "label": "label"}
        records = read(arguments.data / "imdb" / recipe["data"]["file"])
    elif name == "demo":
        kind, settings = "language", dict(demo.SETTINGS)
        records = Records("python.txt", {"text": [demo._source_text()]}, [1], format="txt")
    else:
        kind, settings = "language", {"weight_dropout": 0.0}  # torch's layers have none
        records = read(arguments.data / "tiny_shakespeare" / "input.txt")
    chosen = part("tasks", kind)
    settings |= {"precision": precision, "threads": arguments.threads}
    task = chosen(resolve(chosen.Settings.parse(settings)))
    use_threads(arguments.threads)
    train = task.check(records, use="train")
    if kind == "language":
        train, _, _ = task.split(train)
    task.fit(train)
    return task, task.encode(train)


def _run(name: str, task: Task, train: Examples, steps: int) -> tuple[Side, Side]:
    """All steps of both sides, in turn; every second step the other side goes first."""
    torch.manual_seed(task.settings.seed)
    model = task.build()
    sides = [Side(each, adamw(each, task.settings)) for each in (_with_torch_layers(deepcopy(model)), model)]
    for number, (batch, first) in enumerate(islice(_batches(task, train), steps)):
        rate = learning_rate(number / steps, task.settings)
        for side in sides if number % 2 else reversed(sides):
            if first:
                side.carried = ()
            side.step(task, batch, rate, seed=number)
        if (number + 1) % max(1, steps // POINTS) == 0:
            shown = ", ".join(f"{side.losses[-1]:.4f} {side.thousand():.1f} s" for side in sides)
            print(f"{name} step {number + 1:,}: torch.nn, ours: {shown} for 1,000", file=sys.stderr, flush=True)
    theirs, ours = sides
    return theirs, ours


def _with_torch_layers(model: nn.Module) -> nn.Module:
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Recurrent):
                setattr(parent, name, TorchLayer(child))
    return model


def _batches(task: Task, train: Examples) -> Iterator[tuple[Any, bool]]:
    """The batches of one epoch after another, and whether each is the first of its epoch."""
    epoch = 0
    while True:
        for position, batch in enumerate(task.epoch(train, epoch)):
            yield batch, position == 0
        epoch += 1


def _section(arguments: argparse.Namespace, parts: list[tuple[str, Task, Side, Side]], load: Load) -> str:
    head = ["system", "model", "precision", "torch.nn, s for 1,000 steps", "ours", "times as fast", "losses apart"]
    lines, curves = [], []
    for name, task, theirs, ours in parts:
        before, after = theirs.thousand(), ours.thousand()
        pairs = list(zip(theirs.curve(), ours.curve(), strict=True))
        apart = max(abs(one - other) / one for one, other in pairs)
        seen = [f"{before:.1f}", f"{after:.1f}", f"**{before / after:.2f}**", f"{100 * apart:.2g} %"]
        lines.append([name, task.describe(), task.settings.precision, *seen])
        for who, index in (("torch.nn", 0), ("ours", 1)):
            curves.append([name, task.settings.precision, who, *(f"{pair[index]:.4f}" for pair in pairs)])
    width = max(1, arguments.steps // POINTS)
    ends = [f"{(index + 1) * width:,}" for index in range(POINTS)]
    command = f"python -m bench.training_steps --steps {arguments.steps} --precision {' '.join(arguments.precision)}"
    how = (
        f"`{command}`, {date.today()}: {machine()}. Two models with the same weights, batches and random numbers take "
        f"{arguments.steps:,} steps in turn, one with torch.nn's layers in the place of ours. {load.told()}"
    )
    return f"""## Training steps before and after

{paragraph(how)}
{table(head, lines)}
{paragraph(f"Training loss, means of {width:,} steps. Losses apart: the largest distance of two such means, relative.")}
{table(["system", "precision", "layers", *ends], curves)}"""


if __name__ == "__main__":
    main()
