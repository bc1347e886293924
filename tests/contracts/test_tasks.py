"""What every task owes: it overfits eight records, saves, reloads and predicts the same; a batch is its examples."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import islice
from math import isclose
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom import parts
from seqloom.predict import load
from seqloom.run import Run
from seqloom.tasks.base import Task
from seqloom.training.train import train

TASKS = parts.names("tasks")

EIGHT = (
    ("좋은 영화", "good"),
    ("나쁜 영화", "bad"),
    ("good film, good music and a very good end", "good"),
    ("bad film", "bad"),
    ("not bad", "good"),
    ("좋지 않다", "bad"),
    ("재미있다!", "good"),
    ("so so so so so so so so so so so so so so so so so so", "bad"),
)


def write_classify(folder: Path) -> tuple[Path, dict[str, Any]]:
    file = folder / "eight.jsonl"
    rows = [json.dumps({"text": text, "mood": label}, ensure_ascii=False) for text, label in EIGHT]
    file.write_text("\n".join(rows), "utf-8")
    return file, {"text": "text", "label": "mood", "tokenizer": "char", "token_dropout": 0.0, "embedding_dropout": 0.0}


def write_forecast(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Eleven rows: eight windows of three rows and the next."""
    file = folder / "eight.csv"
    rows = [
        f"2024-01-{day:02},{value},{-value / 3}" for day, value in enumerate((1, 4, 2, 9, 3, 8, 0, 7, 5, 6, 2), start=1)
    ]
    file.write_text("day,up,down\n" + "\n".join(rows), "utf-8")
    given = {"horizon": 1, "look_back": 3, "period": 1, "test": 0.0, "model": "last-step", "loss": "mse"}
    return file, {**given, "epochs": 200, "normalization": "none", "channels": "together"}


def write_language(folder: Path) -> tuple[Path, dict[str, Any]]:
    file = folder / "eight.txt"
    file.write_text("\n".join(text for text, _ in EIGHT), "utf-8")
    return file, {"window": 20, "stride": 3, "skip_connections": True, "weight_dropout": 0.0, "average": 0.0}


WRITERS: dict[str, Callable[[Path], tuple[Path, dict[str, Any]]]] = {
    name.removeprefix("write_"): writer for name, writer in globals().items() if name.startswith("write_")
}
"""For each task eight records that it can learn by heart, and the settings that go with them."""

SMALL = {
    "split": 0.0,
    "cell": "gru",
    "hidden": 24,
    "layers": 1,
    "dropout": 0.0,
    "batch": 8,
    "lr": 0.03,
    "weight_decay": 0.0,
    "epochs": 40,
    "patience": 0,
    "threads": 1,
}
OF_TEXTS = {"embedding": 12, "min_frequency": 1}


def small(task: str) -> dict[str, Any]:
    """The settings of a task that every test here takes."""
    return SMALL | (OF_TEXTS if "tokenizer" in parts.part("tasks", task).Settings.model_fields else {})


def inputs_of(run: Run) -> list[Any]:
    """What a run can be asked for."""
    texts = [text for text, _ in EIGHT]
    return [example["input"] for example in kept_in(run)] if run.read_toml()["task"] == "forecast" else texts


def kept_in(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run.examples.read_text("utf-8").splitlines()]


def alike(one: Any, other: Any) -> bool:
    """Whether two predictions are the same but for the last digits of their numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=1e-5, abs_tol=1e-5)
    return bool(one == other)


def test_every_task_has_eight_records() -> None:
    assert tuple(sorted(WRITERS)) == TASKS


@pytest.fixture(scope="module", params=TASKS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Run]:
    """A task that has learned its eight records by heart: its name, their file, and the run."""
    folder = tmp_path_factory.mktemp(request.param)
    file, settings = WRITERS[request.param](folder)
    run = train(file, task=request.param, out=folder / "run", quiet=True, **(small(request.param) | settings))
    return request.param, file, run


Trained = tuple[str, Path, Run]


def test_it_overfits_eight_records(trained: Trained) -> None:
    _, _, run = trained
    evaluation = json.loads(run.summary.read_text("utf-8"))["evaluation"]
    if "accuracy" in evaluation:
        assert evaluation["accuracy"] > 0.9  # the first words of a line cannot be told from what stands before them
    else:
        assert evaluation["standard_mae"] < 0.1
    losses = [report["loss"] for report in run.read_metrics() if report["part"] == "valid"]
    assert min(losses) < losses[0] / 3


def test_reloaded_it_predicts_the_same(trained: Trained) -> None:
    name, _, run = trained
    one, two = load(run.path), load(run.path)
    found = one.predict(inputs_of(run))
    assert found == two.predict(inputs_of(run))
    assert one.task.name == name
    kept = kept_in(run)
    assert kept
    again = one.predict([example["input"] for example in kept])
    for example, prediction in zip(kept, again, strict=True):
        assert alike(prediction, example["prediction"])


def test_the_figures_come_out_again(trained: Trained) -> None:
    _, file, run = trained
    evaluation = json.loads(run.summary.read_text("utf-8"))["evaluation"]
    found = load(run.path).evaluate(file)
    for name, value in evaluation.items():
        assert alike(found[name], value), name


def test_a_batch_of_predictions_gives_what_each_input_gives_alone(trained: Trained) -> None:
    name, _, run = trained
    predictor = load(run.path)
    inputs = inputs_of(run) + ([] if name == "forecast" else ["", "뷁🙂", "a" * 100])
    random.Random(1).shuffle(inputs)
    together = predictor.predict(inputs)
    for given, prediction in zip(inputs, together, strict=True):
        (alone,) = predictor.predict([given])
        assert alike(alone, prediction)


def test_settings_go_through_run_toml(trained: Trained) -> None:
    name, file, run = trained
    contents = run.read_toml()
    kind = parts.part("tasks", name)
    settings = kind.Settings.parse(contents["settings"])
    assert settings == load(run.path).settings
    assert settings.plain() == contents["settings"]
    again = train(file, config=run.toml, out=run.path.parent / "again", quiet=True)
    assert again.read_toml()["settings"] == contents["settings"]
    assert again.weights.read_bytes() == run.weights.read_bytes()


@pytest.mark.parametrize("name", TASKS)
def test_the_loss_of_a_batch_is_that_of_its_examples(name: str, tmp_path: Path) -> None:
    task, file = fitted(name, tmp_path)
    examples = task.encode(task.read(file, use="train"))
    torch.manual_seed(1)
    model = task.build().eval()
    for batch in islice(task.epoch(examples, 0), 3):
        together = task.loss(model, batch, ())
        alone = [task.loss(model, single, ()) for single in singles(batch)]
        assert len(alone) > 1
        assert float(together.sum.detach()) == pytest.approx(sum(float(one.sum.detach()) for one in alone), rel=1e-5)
        assert together.count == sum(one.count for one in alone)
        assert (together.correct is None) == all(one.correct is None for one in alone)
        if together.correct is not None:
            assert int(together.correct) == sum(int(one.correct) for one in alone)


def singles(batch: Any) -> list[Any]:
    """Each row of a batch as a batch of its own, without the others' padding."""
    if isinstance(batch, tuple):
        cut = [[None if array is None else array[row : row + 1] for array in batch] for row in range(len(batch[0]))]
        return [batch._make(one) if hasattr(batch, "_make") else tuple(one) for one in cut]
    rows = []
    for row, length in enumerate(batch.lengths.tolist()):
        one = slice(row, row + 1)
        rows.append(type(batch)(batch.indices[one], batch.inputs[one, :length], batch.lengths[one], batch.targets[one]))
    return rows


@pytest.mark.parametrize("name", TASKS)
def test_an_epoch_is_a_pure_function(name: str, tmp_path: Path) -> None:
    task, file = fitted(name, tmp_path)
    examples = task.encode(task.read(file, use="train"))
    first = flat(task.epoch(examples, 1))
    torch.manual_seed(77)
    random.seed(77)
    flat(task.epoch(examples, 0))
    assert flat(task.epoch(examples, 1)) == first
    assert flat(task.epoch(examples, 2)) != first


def flat(epoch: Any) -> list[Any]:
    """All numbers of an epoch, in order."""
    arrays = [batch if isinstance(batch, tuple) else (batch.inputs, batch.targets) for batch in epoch]
    return [array.tolist() for batch in arrays for array in batch if array is not None]


def fitted(name: str, folder: Path) -> tuple[Task, Path]:
    file, settings = WRITERS[name](folder)
    kind = parts.part("tasks", name)
    task: Task = kind(kind.Settings.parse(small(name) | settings | {"batch": 4}))
    task.fit(task.read(file, use="train"))
    return task, file


@pytest.mark.parametrize("name", TASKS)
def test_it_says_what_it_is(name: str, tmp_path: Path) -> None:
    task, _ = fitted(name, tmp_path)
    assert task.name == name
    assert task.describe()
    assert task.metric in ("accuracy", "loss", "standard_mae")
    first = task.next_command(tmp_path).split()[0]
    assert first in ("predict", "generate")
