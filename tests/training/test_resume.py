"""A training that was killed and gone on with is, to the bit, one that never stopped: real processes, real signals."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import seqloom
from seqloom.errors import RunError
from seqloom.report import page
from seqloom.training.train import resume, train

COMMAND = [sys.executable, "-m", "seqloom"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(seqloom.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
SMALL = {"hidden": 24, "threads": 1, "batch": 8, "checkpoint_every": "0.1s"}

SELDOM = {"checkpoint_every": "1h"}
"""What is compared with is never saved on its way: how often a training is saved changes nothing either."""

WORDS = {
    "good": ("good", "great", "warm", "좋은", "훌륭하다"),
    "bad": ("bad", "dull", "cold", "나쁜", "지루하다"),
}
REST = ("the", "film", "was", "and", "very", "영화", "정말", "배우가", "값이", "없다")


def reviews(path: Path) -> Path:
    draw = random.Random(3)
    rows = []
    for number in range(240):
        label = draw.choice(sorted(WORDS))
        words = [draw.choice(REST) for _ in range(draw.randint(0, 25))] + [draw.choice(WORDS[label])]
        draw.shuffle(words)
        # Some labels are wrong, so that the score goes up and down and the best is not the last.
        wrong = number % 6 == 0
        rows.append({"text": " ".join(words), "label": draw.choice(sorted(WORDS)) if wrong else label})
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


def poem(path: Path) -> Path:
    draw = random.Random(4)
    lines = [" ".join(draw.choice(REST + WORDS["good"]) for _ in range(draw.randint(2, 9))) for _ in range(250)]
    path.write_text("\n".join(lines), "utf-8")
    return path


def meter(path: Path) -> Path:
    draw = random.Random(5)
    values = [10 + (row % 24) + draw.gauss(0, 3) for row in range(700)]
    path.write_text("\n".join(["load", *(f"{value:.3f}" for value in values)]), "utf-8")
    return path


TRAININGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "classify": (
        reviews,
        {
            "cell": "gru",
            "bidirectional": True,
            "layers": 2,
            "dropout": 0.4,
            "token_dropout": 0.2,
            "embedding_dropout": 0.3,
        }
        | {"max_length": 12, "epochs": 16, "patience": 0},
    ),
    "language": (
        poem,
        {"cell": "lstm", "layers": 2, "dropout": 0.3, "weight_dropout": 0.2, "average": 0.3, "window": 24}
        | {"epochs": 9, "patience": 0},
    ),
    "forecast": (
        meter,
        {"task": "forecast", "horizon": 6, "look_back": 24, "dropout": 0.4, "epochs": 16, "patience": 0},
    ),
    "patience": (reviews, {"cell": "elman", "lr": 0.02, "dropout": 0.5, "epochs": 80, "patience": 14}),
}
"""Each takes some seconds: dropout of every kind, carried state, an end that comes by patience."""


FILES = {reviews: "reviews.jsonl", poem: "poem.txt", meter: "meter.csv"}


class Case:
    """One training: the file, its settings, and the run that was never interrupted."""

    def __init__(self, name: str, folder: Path) -> None:
        make, settings = TRAININGS[name]
        self.name, self.folder = name, folder
        self.file = make(folder / FILES[make])
        self.settings = SMALL | ({} if make is meter else {"embedding": 12}) | settings
        self.whole = train(self.file, out=folder / "whole", quiet=True, **(self.settings | SELDOM)).path

    def start(self, out: str) -> subprocess.Popen[bytes]:
        """The same training in a process of its own."""
        flags = [
            f"--{'' if value is not False else 'no-'}{name.replace('_', '-')}" for name, value in self.settings.items()
        ]
        words = [w for flag, value in zip(flags, self.settings.values(), strict=True) for w in words_of(flag, value)]
        return self._start("train", self.file, "--out", out, *words)

    def go_on(self, out: str) -> subprocess.Popen[bytes]:
        return self._start("resume", out)

    def _start(self, *words: object) -> subprocess.Popen[bytes]:
        command = [*COMMAND, *map(str, words)]
        return subprocess.Popen(command, cwd=self.folder, env=ENVIRONMENT, stderr=subprocess.PIPE)


def words_of(flag: str, value: Any) -> list[str]:
    return [flag] if isinstance(value, bool) else [flag, str(value)]


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """The trainings by name; each is made when it is first asked for."""
    return cache(lambda name: Case(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(params=TRAININGS)
def case(request: pytest.FixtureRequest, cases: Callable[[str], Case]) -> Case:
    return cases(request.param)


def digest(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def reports(run: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the seconds, which no two trainings share."""
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def assert_same(run: Path, whole: Path) -> None:
    assert digest(run) == digest(whole)
    assert reports(run) == reports(whole)
    one, other = (json.loads((path / "summary.json").read_text("utf-8")) for path in (run, whole))
    assert one["evaluation"] == other["evaluation"]
    assert one["stopped"] == other["stopped"]


def newest(run: Path) -> int:
    """The step of the newest checkpoint; 0 while there is none."""
    folders = run.glob("checkpoints/step-*/manifest.json")
    return max((int(file.parent.name.removeprefix("step-").removesuffix(".old")) for file in folders), default=0)


def behind_the_best(run: Path) -> int:
    """The step of the second evaluation behind the best one: what follows hangs on its score and the patience spent."""
    judged = [report for report in reports(run) if report["part"] == "valid"]
    values = [report["accuracy"] for report in judged]
    return int(judged[values.index(max(values)) + 2]["step"])


def stop_after(process: subprocess.Popen[bytes], run: Path, step: int, delay: float, how: signal.Signals) -> str:
    """Waits for a checkpoint behind ``step`` and then a moment, sends the signal; returns what the process said."""
    end = time.monotonic() + 60
    while newest(run) <= step:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: 130}[how]
    assert not (run / "manifest.json").exists()
    return said.decode("utf-8")


# --- killed, and stopped by Ctrl-C ------------------------------------------------------------------------------------

STOPS = {
    "classify": (signal.SIGKILL, signal.SIGINT, signal.SIGKILL),
    "language": (signal.SIGKILL, signal.SIGKILL),
    "forecast": (signal.SIGKILL, signal.SIGINT),
    "patience": (signal.SIGINT, signal.SIGKILL),
}


def test_stopped_again_and_again_it_ends_with_the_same_bits(case: Case) -> None:
    run = case.folder / "stopped"
    draw = random.Random(case.name)
    for number, how in enumerate(STOPS[case.name]):
        before = newest(run)
        if case.name == "patience" and how == STOPS[case.name][-1]:
            before = max(before, behind_the_best(case.whole))
        process = case.go_on("stopped") if number else case.start("stopped")
        said = stop_after(process, run, before, draw.uniform(0, 0.12), how)
        assert "Traceback" not in said
        if how == signal.SIGINT:
            assert "seqloom resume stopped goes on" in said
            assert f"saved at step {newest(run):,}" in said
    resume(run, quiet=True)
    assert_same(run, case.whole)


def test_killed_before_the_first_checkpoint_it_begins_anew(cases: Callable[[str], Case]) -> None:
    case = cases("classify")
    run = case.folder / "early"
    process = case.start("early")
    end = time.monotonic() + 60
    while not (run / "summary.json").exists():
        assert time.monotonic() < end
        time.sleep(0.001)
    process.kill()
    process.communicate()
    assert newest(run) == 0
    resume(run, quiet=True)
    assert_same(run, case.whole)


def test_of_two_that_train_one_run_the_second_is_refused(cases: Callable[[str], Case]) -> None:
    case = cases("classify")
    run = case.folder / "taken"
    process = case.start("taken")
    end = time.monotonic() + 60
    while newest(run) == 0:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)  # it holds the run, and does not end meanwhile
    with pytest.raises(RunError, match="is being trained by another process"):
        resume(run, quiet=True)
    second = subprocess.run([*COMMAND, "resume", run], env=ENVIRONMENT, capture_output=True)
    assert (second.returncode, second.stdout) == (4, b"")
    assert b"is being trained by another process" in second.stderr
    with pytest.raises(RunError, match="is being trained by another process"):
        train(case.file, out=run, overwrite=True, quiet=True, **case.settings)
    assert seqloom.load(run).predict(["a great film"])[0]["label"] in WORDS
    assert page.write(run) == run / "report.html"
    process.kill()
    process.communicate()
    resume(run, quiet=True)  # a killed process holds nothing
    assert_same(run, case.whole)


# --- damage and change ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(cases: Callable[[str], Case]) -> tuple[Case, Path]:
    """A classify training that was killed and has two checkpoints or more."""
    case = cases("classify")
    run = case.folder / "damaged"
    process = case.start("damaged")
    end = time.monotonic() + 60
    while len(list(run.glob("checkpoints/step-*/manifest.json"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    process.kill()
    process.communicate()
    return case, run


def copy(run: Path, to: Path) -> Path:
    subprocess.run(["cp", "-r", run, to], check=True)
    return to


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json"])
def test_a_damaged_newest_checkpoint_is_told_and_the_one_before_it_used(
    stopped: tuple[Case, Path], tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    case, run = stopped
    run = copy(run, tmp_path / "run")
    file = run / "checkpoints" / f"step-{newest(run):09d}" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    resume(run, quiet=True)
    assert f"step-{int(file.parent.name[5:]):09d} is damaged" in capsys.readouterr().err
    assert_same(run, case.whole)


def test_a_training_file_that_has_changed_is_refused(stopped: tuple[Case, Path], tmp_path: Path) -> None:
    case, run = stopped
    run = copy(run, tmp_path / "run")
    before = case.file.read_bytes()
    try:
        case.file.write_bytes(before.replace(b"film", b"fixm", 1))
        with pytest.raises(RunError, match="has changed since the training began") as refused:
            resume(run, quiet=True)
        done = subprocess.run([*COMMAND, "resume", run], cwd=case.folder, env=ENVIRONMENT, capture_output=True)
        assert done.returncode == refused.value.exit_status == 4
        assert case.file.name in done.stderr.decode("utf-8")
        case.file.unlink()
        with pytest.raises(RunError, match=case.file.name):
            resume(run, quiet=True)
    finally:
        case.file.write_bytes(before)
    resume(run, quiet=True)  # put back, it goes on
    assert_same(run, case.whole)


def test_a_run_that_was_killed_before_it_was_whole_says_so(stopped: tuple[Case, Path], tmp_path: Path) -> None:
    _, run = stopped
    run = copy(run, tmp_path / "run")
    (run / "summary.json").unlink()
    with pytest.raises(RunError, match="was stopped before its training began") as refused:
        resume(run, quiet=True)
    assert "--overwrite" in str(refused.value)


def test_a_finished_run_is_left_as_it_is(stopped: tuple[Case, Path], capsys: pytest.CaptureFixture[str]) -> None:
    case, _ = stopped
    before = {path: path.read_bytes() for path in case.whole.rglob("*") if path.is_file()}
    assert resume(case.whole).path == case.whole
    assert "nothing is left to do" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in case.whole.rglob("*") if path.is_file()} == before


# --- seeds ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_another_one_others(case: Case, tmp_path: Path) -> None:
    again = train(case.file, out=tmp_path / "again", quiet=True, **(case.settings | SELDOM)).path
    assert_same(again, case.whole)
    short = case.settings | SELDOM | {"epochs": 1}
    one, other = (train(case.file, out=tmp_path / str(seed), quiet=True, **short, seed=seed).path for seed in (1, 2))
    assert digest(one) != digest(other)


def test_another_file_name_and_folder_change_nothing(cases: Callable[[str], Case], tmp_path: Path) -> None:
    case = cases("language")
    file = tmp_path / f"다른 이름{case.file.suffix}"
    file.write_bytes(case.file.read_bytes())
    short = case.settings | SELDOM | {"epochs": 1, "quiet": True}
    one, other = (train(f, out=tmp_path / f"{number}", **short).path for number, f in enumerate((case.file, file)))
    assert digest(one) == digest(other)
