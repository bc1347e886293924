"""The path of a new user, with the real command in processes of its own: nothing here is a stand-in."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import seqloom

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(seqloom.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
COMMAND = [sys.executable, "-m", "seqloom"]
SMALL = ("--hidden", "12", "--embedding", "8", "--threads", "1")

GOOD = ("a fine film", "great acting", "moving and warm", "정말 좋은 영화", "다시 보고 싶다", "배우가 훌륭하다")
BAD = ("a dull film", "poor acting", "loud and cold", "정말 나쁜 영화", "시간이 아깝다", "배우가 어색하다")
REST = ("in the first hour", "with music", "for an evening", "극장에서 봤다", "친구와 함께", "작년 겨울에")


def write_reviews(path: Path, rows: int, seed: int) -> list[str]:
    """A table of texts and labels, ids and Korean included; returns the labels."""
    draw = random.Random(seed)
    labels = [draw.choice(["good", "bad"]) for _ in range(rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "review", "sentiment"])
        for number, label in enumerate(labels):
            words = [draw.choice(GOOD if label == "good" else BAD), *draw.sample(REST, 2), f"no{number}"]
            draw.shuffle(words)
            table.writerow([f"r{number}", ", ".join(words), label])
    return labels


def write_poem(path: Path) -> None:
    draw = random.Random(3)
    lines = [f"{draw.choice(REST)} {draw.choice(GOOD)}, {draw.choice(BAD)}." for _ in range(400)]
    path.write_text("\n".join(lines), "utf-8")


class Home:
    """A folder with a user's files, in which commands are run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *arguments: object, status: int = 0, input: str | None = None) -> subprocess.CompletedProcess[str]:
        words = [*COMMAND, *map(str, arguments)]
        done = subprocess.run(
            words, cwd=self.path, env=ENVIRONMENT, input=input, capture_output=True, encoding="utf-8", timeout=120
        )
        assert done.returncode == status, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def start(self, *arguments: object, **streams: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=self.path, env=ENVIRONMENT, **streams)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("home")
    write_reviews(path / "reviews.csv", 300, seed=1)
    write_reviews(path / "new.csv", 60, seed=2)
    write_poem(path / "poem.txt")
    return Home(path)


@pytest.fixture(scope="module")
def reviews(home: Home) -> Path:
    """A run that classifies."""
    home.run("train", "reviews.csv", "--epochs", 15, "--lr", 0.01, "--batch", 16, "--dropout", 0.1, *SMALL)
    return home.path / "runs" / "reviews-classify-1"


@pytest.fixture(scope="module")
def poem(home: Home) -> Path:
    """A run that writes."""
    home.run("train", "poem.txt", "--epochs", 2, "--out", "poem", "--window", 32, *SMALL)
    return home.path / "poem"


def predictions(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


# --- demo -------------------------------------------------------------------------------------------------------------


def test_demo_trains_writes_and_reports(home):
    done = home.run("demo", "--budget", "8s", "--threads", 1)
    assert done.stdout.startswith("def ")
    assert len(done.stdout) > 250
    run = home.path / "runs" / "python-language-1"
    assert f"report        {Path('runs', run.name, 'report.html')}" in done.stderr
    assert (run / "report.html").stat().st_size > 10_000
    assert "verdict" in done.stderr
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert summary["stopped"] == "budget"


# --- classify ---------------------------------------------------------------------------------------------------------


def test_train_tells_what_it_saw_within_the_budget_and_leaves_a_run(home):
    start = time.monotonic()
    # On a slow machine to import torch and scikit-learn, and the report, take nine seconds by themselves.
    done = home.run("train", "reviews.csv", "--budget", "12s", "--json", "--out", "told", *SMALL)
    assert time.monotonic() - start < 12 * 1.1 + 4  # starting Python and torch comes before the first measurement
    for said in ("reviews.csv", "300 rows", "review", "sentiment", "verdict", "majority", "told/report.html"):
        assert said in done.stderr
    summary = json.loads(done.stdout)
    assert summary["run"] == "told"
    assert summary["stopped"] in ("budget", "patience", "most_epochs")
    present = {path.name for path in (home.path / "told").iterdir()}
    assert {"run.toml", "model.safetensors", "metrics.jsonl", "summary.json", "manifest.json", "report.html"} <= present


def test_predict_gives_each_record_a_label_with_probabilities(home, reviews):
    done = home.run("predict", reviews, "new.csv")
    found = predictions(done.stdout)
    with (home.path / "new.csv").open(encoding="utf-8", newline="") as file:
        wanted = [row["sentiment"] for row in csv.DictReader(file)]
    assert [row["line"] for row in found] == list(range(2, 62))
    for row in found:
        assert set(row["probabilities"]) == {"good", "bad"}
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["label"]]
    right = sum(row["label"] == label for row, label in zip(found, wanted, strict=True))
    assert right >= 55
    assert "unknown tokens" in done.stderr  # no0, no1 ... are words of one text each

    scores = json.loads(home.run("evaluate", reviews, "new.csv", "--json").stdout)
    assert scores["accuracy"] == pytest.approx(right / 60)
    table = home.run("evaluate", reviews, "new.csv").stdout
    assert f"{right / 60:.4g}" in table


def test_predict_as_csv(home, reviews):
    rows = list(csv.DictReader(io.StringIO(home.run("predict", reviews, "new.csv", "--csv").stdout)))
    lines = predictions(home.run("predict", reviews, "new.csv").stdout)
    assert list(rows[0]) == ["line", "label", "probability", "probability bad", "probability good"]
    assert [row["label"] for row in rows] == [line["label"] for line in lines]
    assert float(rows[7]["probability good"]) == lines[7]["probabilities"]["good"]


def test_predict_reads_text_from_standard_input_like_from_a_file(home, reviews):
    with (home.path / "new.csv").open(encoding="utf-8", newline="") as file:
        texts = [row["review"] for row in csv.DictReader(file)]
    from_file = predictions(home.run("predict", reviews, "new.csv").stdout)
    piped = predictions(home.run("predict", reviews, "-", input="\r\n".join(texts)).stdout)
    assert [row["line"] for row in piped] == list(range(1, 61))
    for one, other in zip(from_file, piped, strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-5)


def test_predict_answers_a_pipe_line_by_line(home, reviews):
    process = home.start("predict", reviews, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        for number, text in enumerate(["정말 좋은 영화", "", "a dull film, poor acting"], 1):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 60)[0], "no answer while the pipe is open"
            answer = json.loads(process.stdout.readline())
            assert answer["line"] == number
        assert answer["label"] == "bad"
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_bytes_that_are_not_utf8_on_standard_input_are_named(home, reviews):
    process = home.start("predict", reviews, "-", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, err = process.communicate("좋다\n나쁘다".encode() + "\n좋다".encode("cp949"), timeout=60)
    assert process.returncode == 3
    assert "standard input:3:1" in err.decode("utf-8")


def test_report_and_compare(home, reviews):
    home.run("train", "reviews.csv", "--epochs", 1, "--cell", "elman", "--out", "other", *SMALL)
    (reviews / "report.html").unlink()
    printed = home.run("report", reviews).stdout.strip()
    assert Path(printed) == reviews / "report.html"
    assert "<html" in (reviews / "report.html").read_text("utf-8")

    rows = json.loads(home.run("compare", reviews, "other", "--json").stdout)
    assert [row["run"] for row in rows] == ["reviews-classify-1", "other"]
    assert all(row["same_data"] for row in rows)
    assert "cell elman" in rows[1]["settings"]
    table = home.run("compare", reviews, "other").stdout.splitlines()
    assert table[1].startswith("reviews-classify-1")
    assert table[2].startswith("other")


def test_a_run_is_never_overwritten_unasked(home, reviews):
    before = (reviews / "manifest.json").read_bytes()
    done = home.run("train", "reviews.csv", "--epochs", 1, "--out", reviews, *SMALL, status=4)
    assert "--overwrite" in done.stderr
    assert (reviews / "manifest.json").read_bytes() == before


def test_python_gives_what_the_command_gives(home, reviews):
    texts = ["정말 좋은 영화", "a dull film"]
    printed = predictions(home.run("predict", reviews, "-", input="\n".join(texts)).stdout)
    found = seqloom.load(reviews).predict(texts)
    assert [row["label"] for row in found] == [row["label"] for row in printed]


# --- stop and go on ---------------------------------------------------------------------------------------------------

LONG = ("--epochs", 25, "--batch", 8, "--patience", 0, "--checkpoint-every", "300s", *SMALL)


def wait_for_checkpoint(run: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not list(run.glob("checkpoints/step-*/manifest.json")):
        assert process.poll() is None, "the training ended before its first checkpoint"
        assert time.monotonic() < end
        time.sleep(0.01)


def weights(run: Path) -> str:
    return hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()


def test_killed_and_resumed_ends_with_the_same_weights(home):
    home.run("train", "reviews.csv", "--out", "whole", *LONG)
    often = [*LONG, "--out", "killed"]
    often[often.index("300s")] = "0.2s"
    process = home.start("train", "reviews.csv", *often, stderr=subprocess.DEVNULL)
    wait_for_checkpoint(home.path / "killed", process)
    process.send_signal(signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL
    assert not (home.path / "killed" / "manifest.json").exists()
    home.run("resume", "killed")
    assert weights(home.path / "killed") == weights(home.path / "whole")
    assert "finished" in home.run("resume", "killed").stderr


def test_ctrl_c_saves_says_how_to_go_on_and_is_130(home):
    arguments = ["train", "reviews.csv", "--out", "stopped", *LONG]
    arguments[arguments.index("300s")] = "0.2s"
    process = home.start(*arguments, stderr=subprocess.PIPE)
    wait_for_checkpoint(home.path / "stopped", process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "seqloom resume stopped" in err.decode("utf-8")
    assert "Traceback" not in err.decode("utf-8")
    assert predictions(home.run("predict", "stopped", "-", input="a fine film").stdout)  # it can be used as it is


# --- language ---------------------------------------------------------------------------------------------------------


def test_the_same_seed_writes_the_same_text(home, poem):
    def text(*options: object) -> str:
        return home.run("generate", poem, "--prompt", "정말 ", "--length", 60, *options).stdout

    seven, greedy = text("--seed", 7), text("--greedy", "--seed", 7)
    assert seven.startswith("정말 ")
    assert len(seven) == len("정말 ") + 60 + len("\n")
    assert text("--seed", 7) == seven
    assert text("--seed", 8) != seven
    assert text("--greedy", "--seed", 8) == greedy
    assert text("--top-k", 1, "--seed", 7) == greedy


def test_generated_text_as_json(home, poem):
    found = json.loads(home.run("generate", poem, "--prompt", "a ", "--length", 20, "--top-p", 0.9, "--json").stdout)
    assert found["prompt"] == "a "
    assert len(found["text"]) == 20
    assert found["top_p"] == 0.9


def test_text_comes_while_it_is_written(home, poem):
    process = home.start("generate", poem, "--length", 10**9, stdout=subprocess.PIPE)
    try:
        assert len(process.stdout.read(200)) == 200
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_language_model_scores_texts_and_files(home, poem):
    likely, unlikely = predictions(home.run("predict", poem, "-", input="a fine film\nxqzj kwv!").stdout)
    assert likely["loss"] < unlikely["loss"]
    scores = json.loads(home.run("evaluate", poem, "poem.txt", "--json").stdout)
    assert 0 < scores["loss"] < 5
    assert home.run("evaluate", poem, "poem.txt").stdout.splitlines()[0].split() == ["score", "value"]


def test_a_classifier_writes_nothing(home, reviews):
    done = home.run("generate", reviews, status=2)
    assert done.stdout == ""
    assert "classify" in done.stderr


# --- what is not there ------------------------------------------------------------------------------------------------


def test_a_run_that_is_missing_or_changed_is_status_4(home, poem, tmp_path):
    assert "no-such-run" in home.run("predict", "no-such-run", "new.csv", status=4).stderr
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", poem, copy], check=True)
    damaged = bytearray((copy / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (copy / "model.safetensors").write_bytes(damaged)
    assert "model.safetensors" in home.run("generate", copy, status=4).stderr
    (copy / "model.safetensors").unlink()
    assert "model.safetensors" in home.run("generate", copy, status=4).stderr
