"""The loop with a scripted judge: patience, the best weights, what is not a number, Ctrl-C, and what is reported."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from math import isnan, nan
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqloom.errors import RunError, SeqloomError
from seqloom.run import Run
from seqloom.settings import TrainingSettings
from seqloom.tasks.base import Evaluation, Loss
from seqloom.training import checkpoint
from seqloom.training.budget import Clock
from seqloom.training.console import Console
from seqloom.training.loop import Interrupted, Loop, Sums, evaluate, stop_on_interrupt

EPOCHS, PER_EPOCH = 4, 5
"""Twenty steps: ten evaluations, one every two steps."""


class Scripted:
    """A task whose evaluations give the numbers it was told; its model is one matrix with dropout."""

    metric = "accuracy"
    shown = "accuracy"

    def __init__(self, script: Sequence[float], *, higher_is_better: bool = True, **settings: Any) -> None:
        given = {"batch": 3, "lr": 0.1, "epochs": EPOCHS, "precision": "fp32", "checkpoint_every": "1h"} | settings
        self.settings = TrainingSettings.parse(given)
        self.script = list(script)
        self.higher_is_better = higher_is_better
        self.judged: list[Tensor] = []
        self.modes: list[bool] = []
        self.before_loss = lambda step: None
        self.steps: list[tuple[int, int]] = []

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.Linear(4, 2))

    def epoch(self, examples: Any, number: int) -> Sequence[tuple[int, int]]:
        return [(number, position) for position in range(PER_EPOCH)]

    def loss(self, model: nn.Module, batch: tuple[int, int], carried: tuple[Tensor, ...]) -> Loss:
        self.steps.append(batch)
        self.before_loss(len(self.steps))
        state = carried[0] if carried else torch.zeros(3, 5)
        output = model(state + torch.arange(15.0).reshape(3, 5) / (1 + batch[0] + batch[1]))
        targets = torch.tensor([0, 1, 1])
        total = nn.functional.cross_entropy(output, targets, reduction="sum")
        return Loss(total, 3, (output.argmax(1) == targets).sum(), (state + 0.1,))

    def evaluate(self, model: nn.Module, examples: Any, *, details: bool = False) -> Evaluation:
        self.modes.append(model.training)
        self.judged.append(model[0].weight.detach().clone())
        value = self.script[len(self.judged) - 1] if len(self.judged) <= len(self.script) else self.script[-1]
        return Evaluation({"loss": value if self.metric == "loss" else abs(value), "accuracy": value}, 3)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    torch.set_num_threads(1)
    return Run.create(tmp_path / "run", {"task": "classify"})


def new(task: Any, run: Run) -> Loop:
    examples: Any = SimpleNamespace()
    return Loop(task, examples, examples, run, Clock(None), Console(quiet=True))


def reports(run: Run, part: str = "valid") -> list[dict[str, Any]]:
    return [report for report in run.read_metrics() if report["part"] == part]


# --- which weights are kept -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "higher_is_better", "best"),
    [
        ([0.5, 0.7, 0.6, 0.9, 0.8], True, 3),
        ([0.5, 0.7, 0.6, 0.9, 0.4, 0.8], False, 4),
        ([0.5, 0.9, 0.9, 0.9], True, 1),  # of equal ones the first
        ([0.1] * 4 + [0.2], True, 4),
    ],
)
def test_the_best_weights_are_kept(run: Run, script: list[float], higher_is_better: bool, best: int) -> None:
    task = Scripted(script, higher_is_better=higher_is_better, patience=0)
    loop = new(task, run)
    assert loop.fit() == "epochs"
    assert len(task.judged) == 10
    assert torch.equal(loop.best["0.weight"], task.judged[best])
    assert not torch.equal(loop.best["0.weight"], loop.model.state_dict()["0.weight"])
    assert loop.best_step == reports(run)[best]["step"]


@pytest.mark.parametrize(("patience", "judged"), [(1, 4), (2, 5), (3, 9), (0, 10)])
def test_patience_counts_evaluations_without_a_better_one(run: Run, patience: int, judged: int) -> None:
    task = Scripted([0.1, 0.2, 0.3, 0.3, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1], patience=patience)
    assert new(task, run).fit() == ("patience" if patience else "epochs")
    assert len(task.judged) == judged


def test_dropout_is_on_in_training_and_off_in_evaluations(run: Run) -> None:
    task = Scripted([0.5])
    loop = new(task, run)
    loop.fit()
    assert set(task.modes) == {False}
    assert loop.model.training


@pytest.mark.parametrize(("metric", "higher_is_better"), [("accuracy", True), ("loss", False)])
def test_weights_that_are_not_numbers_are_never_the_best(run: Run, metric: str, higher_is_better: bool) -> None:
    task = Scripted([], higher_is_better=higher_is_better, patience=2)
    task.metric = metric
    task.evaluate = judge([0.5, 0.4, nan, nan], [0.5, 0.6, 0.9, 0.9])  # type: ignore[method-assign]
    loop = new(task, run)
    assert loop.fit() == "patience"
    assert loop.best_step == 4


def judge(losses: list[float], accuracies: list[float]) -> Any:
    """Evaluations whose loss becomes NaN while the accuracy stays a number, as that of NaN scores does."""
    left = zip(losses, accuracies, strict=True)
    return lambda model, examples, details=False: Evaluation(
        dict(zip(("loss", "accuracy"), next(left), strict=True)), 3
    )


def test_a_loss_that_never_was_a_number_is_an_error(run: Run) -> None:
    task = Scripted([])
    task.evaluate = judge([nan], [0.5])  # type: ignore[method-assign]
    with pytest.raises(SeqloomError, match="the loss is not a number at step 2") as told:
        new(task, run).fit()
    assert "--lr" in str(told.value)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_the_mean_of_the_weights_is_judged_and_kept(run: Run, share: float) -> None:
    task = Scripted([0.5, 0.9, 0.7], average=share, patience=0)
    loop = new(task, run)
    mean = torch.zeros(4, 5)
    means = []
    advance = loop.schedule.advance

    def noted(step: int, seconds: float) -> None:
        nonlocal mean
        mean = mean + (loop.model.state_dict()["0.weight"] - mean) / (1 + share * (step - 1))
        means.append(mean)
        advance(step, seconds)

    loop.schedule.advance = noted  # type: ignore[method-assign]
    loop.fit()
    for judged, wanted in zip(task.judged, means[1::2], strict=True):
        torch.testing.assert_close(judged, wanted)
    assert torch.equal(loop.best["0.weight"], task.judged[1])
    saved, _ = checkpoint.load_newest(run)
    assert saved is not None
    assert torch.equal(saved.weights["0.weight"], task.judged[-1])
    assert torch.equal(task.judged[-1], loop.model.state_dict()["0.weight"]) is (share == 0)


# --- what is done -----------------------------------------------------------------------------------------------------


def test_every_batch_of_every_epoch_in_order_and_state_carried_within_an_epoch(run: Run) -> None:
    task = Scripted([0.5], patience=0)
    carried: list[float] = []
    loss = task.loss
    task.loss = lambda model, batch, before: (  # type: ignore[method-assign]
        carried.append(float(before[0][0, 0]) if before else 0.0) or loss(model, batch, before)
    )
    new(task, run).fit()
    assert task.steps == [(epoch, position) for epoch in range(EPOCHS) for position in range(PER_EPOCH)]
    assert carried == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4] * EPOCHS)


def test_reports_are_means_over_what_was_trained_since_the_last_one(run: Run) -> None:
    losses: list[float] = []
    task = Scripted([0.5], patience=0)
    loss = task.loss

    def noted(model: nn.Module, batch: tuple[int, int], carried: tuple[Tensor, ...]) -> Loss:
        found = loss(model, batch, carried)
        losses.append(float(found.sum.detach()) / found.count)
        return found

    task.loss = noted  # type: ignore[method-assign]
    new(task, run).fit()
    before = 0
    for train, valid in zip(reports(run, "train"), reports(run), strict=True):
        step = train["step"]
        assert train["loss"] == pytest.approx(sum(losses[before:step]) / (step - before), rel=1e-6)
        assert (train["examples"], train["epoch"]) == (3 * step, step / PER_EPOCH)
        assert (valid["step"], valid["accuracy"]) == (step, 0.5)
        before = step
    assert before == EPOCHS * PER_EPOCH


def test_gradients_are_clipped(run: Run) -> None:
    norms: list[float] = []
    task = Scripted([0.5], clip=1e-3, epochs=1)
    loop = new(task, run)
    step = loop.optimizer.step
    loop.optimizer.step = lambda: (  # type: ignore[method-assign, assignment]
        norms.append(float(torch.cat([p.grad.flatten() for p in loop.model.parameters() if p.grad is not None]).norm()))
        or step()
    )
    loop.fit()
    assert norms == pytest.approx([1e-3] * PER_EPOCH, rel=1e-3)


# --- stop and go on ---------------------------------------------------------------------------------------------------


SCRIPT = (0.5, 0.4, 0.6, 0.7, 0.7, 0.3, 0.8, 0.1, 0.2, 0.3)


@pytest.mark.parametrize("average", [0.0, 0.3])
def test_ctrl_c_ends_the_step_saves_and_says_how_to_go_on(run: Run, average: float) -> None:
    whole = new(Scripted(SCRIPT, patience=0, average=average), Run.create(run.path.parent / "whole"))
    whole.fit()

    task = Scripted(SCRIPT, patience=0, average=average)
    task.before_loss = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 7 else None
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted) as told:
        new(task, run).fit()
    assert told.value.exit_status == 130
    assert f"seqloom resume {run.path}" in str(told.value)
    assert signal.getsignal(signal.SIGINT) is handler
    saved, _ = checkpoint.load_newest(run)
    assert saved is not None
    assert saved.step == 7

    torch.manual_seed(99)
    again = Scripted(SCRIPT[len(task.judged) :], patience=0, average=average)
    loop = new(again, run)
    assert (loop.step, loop.epoch, loop.position) == (7, 1, 2)
    assert loop.fit() == "epochs"
    assert again.steps == [divmod(step, PER_EPOCH) for step in range(7, EPOCHS * PER_EPOCH)]
    for name, wanted in whole.model.state_dict().items():
        assert torch.equal(loop.model.state_dict()[name], wanted), name
    assert loop.best_step == whole.best_step
    assert all(torch.equal(loop.best[name], whole.best[name]) for name in whole.best)


def test_a_second_ctrl_c_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_set()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    found: list[Any] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with stop_on_interrupt() as stop:
            found.extend([stop.is_set(), signal.getsignal(signal.SIGINT) is before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False, True]


def test_checkpoints_come_by_time(run: Run) -> None:
    loop = new(Scripted([0.5], checkpoint_every=1e-6, patience=0), run)
    loop.fit()
    kept = sorted(path.name for path in run.checkpoints.iterdir())
    assert kept == ["step-000000002", "step-000000019", "step-000000020"]  # the best, and the newest two


def test_reports_of_a_future_that_is_lived_anew_are_dropped(run: Run) -> None:
    task = Scripted([0.5], patience=0)
    task.before_loss = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 5 else None
    with pytest.raises(Interrupted):
        new(task, run).fit()
    run.append_metrics({"part": "valid", "step": 6, "loss": 77.0})
    new(Scripted([0.5], patience=0), run).fit()
    assert [report["step"] for report in reports(run)] == list(range(2, 21, 2))
    assert all(report["loss"] != 77 for report in reports(run))


def test_a_checkpoint_of_another_model_is_refused(run: Run) -> None:
    task = Scripted([0.5])
    task.before_loss = lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 1 else None
    with pytest.raises(Interrupted):
        new(task, run).fit()
    other = Scripted([0.5])
    other.build = lambda: nn.Sequential(nn.Linear(5, 9), nn.Dropout(0.5), nn.Linear(9, 2))  # type: ignore[method-assign]
    with pytest.raises(RunError, match="the checkpoint of step 1 does not fit the settings"):
        new(other, run)


# --- small pieces -----------------------------------------------------------------------------------------------------


def test_sums_come_back_to_the_bit() -> None:
    sums = Sums()
    assert sums.means() == {}
    for value in (0.1, 0.7, 1e-9):
        sums.add(torch.tensor(value), torch.tensor(2), 3)
    again = Sums.from_values(sums.to_values())
    for one in (sums, again):
        one.add(torch.tensor(0.3), torch.tensor(1), 3)
    assert sums.to_values() == again.to_values()
    assert sums.means()["accuracy"] == pytest.approx(7 / 12)
    exact = sum(float(torch.tensor(value)) for value in (0.1, 0.7, 1e-9, 0.3)) / 12
    assert sums.means()["loss"] == pytest.approx(exact, rel=1e-12)
    assert not isnan(sums.means()["loss"])


def test_evaluate_leaves_the_mode_as_it_was_also_after_an_error() -> None:
    task: Any = Scripted([0.5])
    model = task.build()
    for training in (True, False):
        model.train(training)
        evaluate(task, model, None, "fp32")  # type: ignore[arg-type]
        assert model.training is training
    task.evaluate = lambda *given, **named: 1 / 0
    model.train()
    with pytest.raises(ZeroDivisionError):
        evaluate(task, model, None, "fp32")  # type: ignore[arg-type]
    assert model.training
