"""Loading a run: what is checked, what is replayed, and what the predictor does with any text."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqloom import files
from seqloom.errors import DataError, RunError, SettingError
from seqloom.predict import load
from seqloom.run import Run
from seqloom.training import checkpoint
from seqloom.training.console import Console
from seqloom.training.loop import Interrupted
from seqloom.training.train import train

SMALL = {"cell": "gru", "hidden": 9, "embedding": 6, "threads": 1, "quiet": True}
SEALED = (
    "run.toml",
    "model.safetensors",
    "summary.json",
    "examples.jsonl",
    "preprocess/tokenizer.json",
    "preprocess/labels.json",
    "preprocess/ngrams.safetensors",
    "preprocess/mixture.json",
)


def write_reviews(path: Path, count: int, seed: int) -> Path:
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        good = draw.random() < 0.5
        words = [draw.choice(("the", "film", "영화", "정말", "was")) for _ in range(draw.randint(0, 9))]
        rows.append({"review": " ".join([*words, "좋은" if good else "bad"]), "mood": "긍정" if good else "부정"})
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def reviews(folder: Path) -> Path:
    """A classifier and, beside it, the file it was validated on."""
    file = write_reviews(folder / "train.jsonl", 120, 1)
    valid = write_reviews(folder / "valid.jsonl", 41, 2)
    given = SMALL | {"epochs": 12, "lr": 0.02, "tokenizer": "word", "valid": str(valid)}
    return train(file, out=folder / "reviews", **given).path


@pytest.fixture(scope="module")
def poem(folder: Path) -> Path:
    file = folder / "poem.txt"
    file.write_text("나는 강을 보았다\nthe river ran on, 값이 없이\n" * 20, "utf-8")
    return train(file, out=folder / "poem", epochs=2, window=16, **SMALL).path


@pytest.fixture
def copied(reviews: Path, tmp_path: Path) -> Path:
    """A copy of the classifier that may be damaged."""
    return Path(shutil.copytree(reviews, tmp_path / "copy"))


# --- what is checked --------------------------------------------------------------------------------------------------


def test_these_files_are_sealed(reviews: Path) -> None:
    assert sorted(files.read_json(reviews / "manifest.json")["files"]) == sorted(SEALED)


@pytest.mark.parametrize("name", SEALED)
def test_a_changed_byte_in_any_sealed_file_is_found(copied: Path, name: str) -> None:
    load(copied)
    file = copied / name
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    with pytest.raises(RunError) as refused:
        load(copied)
    assert name in refused.value.message
    assert refused.value.exit_status == 4


@pytest.mark.parametrize("name", SEALED)
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(RunError) as refused:
        load(copied)
    assert name in refused.value.message


def swap_tokens(run: Path) -> None:
    file = run / "preprocess" / "tokenizer.json"
    data = files.read_json(file)
    data["tokens"] = data["tokens"][::-1]
    files.write_json(file, data)


def swap_labels(run: Path) -> None:
    file = run / "preprocess" / "labels.json"
    files.write_json(file, files.read_json(file)[::-1])


def cut_texts(run: Path) -> None:
    contents = files.read_toml(run / "run.toml")
    contents["settings"]["max_length"] = 1
    files.write_toml(run / "run.toml", contents)


@pytest.mark.parametrize("change", [swap_tokens, swap_labels, cut_texts])
def test_other_preparation_is_caught_by_the_replay(copied: Path, change: Callable[[Path], None]) -> None:
    change(copied)
    Run.open(copied).seal()  # the checksums are right again: only the predictions tell
    with pytest.raises(RunError, match=r"examples\.jsonl:\d+ is predicted differently now"):
        load(copied)


def test_weights_of_another_size_do_not_fit(copied: Path) -> None:
    contents = files.read_toml(copied / "run.toml")
    contents["settings"]["hidden"] = 7
    files.write_toml(copied / "run.toml", contents)
    Run.open(copied).seal()
    with pytest.raises(RunError, match="does not fit the settings"):
        load(copied)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task": "no-such-task"}, 'names the task "no-such-task"'),
        ({"task": "os"}, 'names the task "os"'),
        ({"settings": {"hidden": -1}}, "does not fit this version"),
        ({"settings": {"hidn": 3}}, "does not fit this version"),
    ],
)
def test_a_run_toml_that_this_version_cannot_read(copied: Path, change: dict[str, Any], told: str) -> None:
    contents = files.read_toml(copied / "run.toml") | change
    files.write_toml(copied / "run.toml", contents)
    Run.open(copied).seal()
    with pytest.raises(RunError, match=told):
        load(copied)


@pytest.mark.parametrize("contents", ["", "[]", "{}", '{"tokenizer": "word"}', '{"tokenizer": "os", "tokens": []}'])
def test_a_damaged_tokenizer_of_an_unfinished_run(copied: Path, contents: str) -> None:
    (copied / "manifest.json").unlink()
    (copied / "preprocess" / "tokenizer.json").write_text(contents, "utf-8")
    with pytest.raises(RunError):
        load(copied)


# --- unfinished -------------------------------------------------------------------------------------------------------


def test_an_unfinished_run_is_loaded_with_its_best_weights(
    folder: Path, reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training is stopped two evaluations behind its best one."""

    def stop(console: Console, loop: Any) -> None:
        if loop.worse == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Console, "progress", stop)
    given = SMALL | {"epochs": 300, "lr": 0.1, "patience": 0, "valid": str(folder / "valid.jsonl")}
    with pytest.raises(Interrupted):
        train(folder / "train.jsonl", out=tmp_path / "run", **given)
    predictor = load(tmp_path / "run")
    state, _ = checkpoint.load_newest(predictor.run)
    assert state is not None
    assert not state.best
    best = checkpoint.best_weights(state)
    for name, value in predictor.model.state_dict().items():
        assert torch.equal(value, best[name]), name
    assert any(not torch.equal(best[name], state.weights[name]) for name in best)
    values = [report["accuracy"] for report in predictor.run.read_metrics() if report["part"] == "valid"]
    # The figures were taken in the training's precision; these are in fp32.
    assert predictor.evaluate(folder / "valid.jsonl")["accuracy"] == pytest.approx(max(values), abs=0.05)
    assert predictor.predict(["좋은 영화"])[0]["label"] in ("긍정", "부정")


def test_a_run_without_weights_says_how_to_go_on(copied: Path) -> None:
    (copied / "manifest.json").unlink()
    shutil.rmtree(copied / "checkpoints")
    with pytest.raises(RunError, match="has no weights yet") as refused:
        load(copied)
    assert f"seqloom resume {copied}" in str(refused.value)


def test_what_is_no_run(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(RunError):
            load(path)


# --- predict ----------------------------------------------------------------------------------------------------------


def test_unknown_tokens_are_counted_over_all_calls_and_never_raise(reviews: Path) -> None:
    predictor = load(reviews)
    assert predictor.unknown == 0
    predictor.predict(["zebra 얼룩말 film"])
    assert predictor.unknown == 2
    predictor.predict(["🦓", "\x00", "\ud800", "\u202e", "film"])
    assert predictor.unknown == 6


def test_empty_and_very_long_texts(reviews: Path, poem: Path) -> None:
    texts = ["", " ", "\n", "film " * 5000]
    for run in (reviews, poem):
        assert len(load(run).predict(texts)) == 4
        assert load(run).predict([]) == []


def test_a_run_of_the_first_version_is_loaded(copied: Path) -> None:
    run = Run.open(copied)
    kept = [{"text": kept["input"], "prediction": kept["prediction"]} for kept in files.read_jsonl(run.examples)]
    files.write_jsonl(run.examples, kept)
    run.seal()
    assert len(load(copied).predict([example["text"] for example in kept])) == 5


def test_one_text_is_not_a_list_of_letters(reviews: Path) -> None:
    with pytest.raises(SettingError, match="a list of inputs"):
        load(reviews).predict("good")


def test_a_file_is_predicted_line_by_line(reviews: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqloom.predict.CHUNK", 7)
    predictor = load(reviews)
    found = list(predictor.predict_file(folder / "valid.jsonl"))
    rows = [json.loads(line) for line in (folder / "valid.jsonl").read_text("utf-8").splitlines()]
    assert [row["line"] for row in found] == list(range(1, 42))
    whole = predictor.predict([row["review"] for row in rows])
    for one, other in zip(found, whole, strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] == pytest.approx(other["probability"], abs=2e-6)


def test_a_file_without_labels_is_predicted_and_not_evaluated(reviews: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("review\n좋은 영화\nbad film\n", "utf-8")
    predictor = load(reviews)
    assert [row["line"] for row in predictor.predict_file(file)] == [2, 3]
    with pytest.raises(DataError, match='there is no column "mood"'):
        predictor.evaluate(file)
    file.write_text("reviews\n좋은 영화\n", "utf-8")
    with pytest.raises(DataError, match='there is no column "review"'):
        next(iter(predictor.predict_file(file)))


def test_evaluate_gives_the_figures_of_the_verdict(reviews: Path, folder: Path) -> None:
    summary = files.read_json(reviews / "summary.json")
    found = load(reviews).evaluate(folder / "valid.jsonl")
    assert found["accuracy"] == summary["verdict"]["rows"][0]["value"] == summary["evaluation"]["accuracy"]
    assert found["loss"] == pytest.approx(summary["evaluation"]["loss"], rel=1e-6)
    assert found["confusion"] == summary["evaluation"]["confusion"]
    assert found["count"] == summary["verdict"]["records"] == 41
    rows = [json.loads(line) for line in (folder / "valid.jsonl").read_text("utf-8").splitlines()]
    labels = [row["label"] for row in load(reviews).predict([row["review"] for row in rows])]
    right = sum(label == row["mood"] for label, row in zip(labels, rows, strict=True))
    assert found["accuracy"] == pytest.approx(right / 41)
    assert found["accuracy"] > 0.6  # it has learned something: the test above can fail


# --- generate ---------------------------------------------------------------------------------------------------------


def test_text_is_seeded_and_comes_in_pieces(poem: Path) -> None:
    predictor = load(poem)
    one = list(predictor.generate("강을 ", length=40, seed=5))
    assert one == list(load(poem).generate("강을 ", length=40, seed=5))
    assert len("".join(one)) == 40
    assert len(one) > 30
    assert one != list(predictor.generate("강을 ", length=40, seed=6))
    greedy = "".join(predictor.generate("강을 ", length=40, greedy=True, seed=5))
    assert greedy == "".join(predictor.generate("강을 ", length=40, top_k=1, seed=6))


def test_settings_of_generate_are_checked_before_the_first_piece(poem: Path, reviews: Path) -> None:
    with pytest.raises(SettingError, match="temperature"):
        load(poem).generate(temperature=0)
    with pytest.raises(SettingError, match="generates no text"):
        load(reviews).generate("x")
