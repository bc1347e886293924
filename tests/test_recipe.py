"""The classic systems, run whole, against the figures they are held to."""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from seqloom import recipe
from seqloom.cli import main
from seqloom.errors import DataError, SettingError
from seqloom.predict import load


def test_hello_has_every_letter_right_and_shows_the_shapes(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = recipe.run("hello", threads=1)
    assert found["measured"]["accuracy"] == 1.0 == found["published"]["accuracy"]
    assert found["measured"]["loss"] < 0.3
    out, err = capsys.readouterr()
    shown = out.splitlines()
    shapes = dict(re.findall(r"^([\w-]+) +\[[^]]*\] +(\[[^]]*\])", out, re.MULTILINE))
    assert shapes == {
        "input": "[1, 4]",
        "one-hot": "[1, 4, 4]",
        "output": "[1, 4, 10]",
        "state": "[1, 1, 10]",
        "scores": "[1, 4, 6]",
    }
    assert "the letters 'hell'" in shown[0]
    for step, (letter, following) in enumerate(zip("hell", "ello", strict=True), start=1):
        assert f"step {step}: after '{letter}' the model says '{following}', and the text has '{following}'" in shown
    assert "Four letters go in" in err


def test_long_sentence_is_written_again(in_tmp: Path) -> None:
    found = recipe.run("long-sentence", quiet=True, threads=1)
    sentence = sentence_of("long-sentence")
    assert found["measured"]["accuracy"] >= 0.99
    assert len(found["text"]) == len(sentence)
    right = sum(one == other for one, other in zip(found["text"][1:], sentence[1:], strict=True))
    assert found["measured"]["accuracy"] == pytest.approx(right / (len(sentence) - 1))
    task: Any = load(found["run"]).task
    assert task.settings.hidden == len(set(sentence))


@pytest.mark.parametrize("seed", [1, 2])
def test_long_sentence_learns_another_one(in_tmp: Path, seed: int) -> None:
    """The windows of this one tell what comes next, so a model that learns can have all of it right."""
    sentence = (
        "a loom lays one thread over another until a cloth is there, and whoever looks at it sees a picture "
        "where the weaver saw only which thread comes next; so it is with letters."
    )
    Path("other.txt").write_text(sentence + "\n", "utf-8")
    found = recipe.run("long-sentence", text="other.txt", out="run", quiet=True, threads=1, seed=seed)
    assert found["measured"]["accuracy"] >= 0.99
    assert found["run"] == "run"
    assert len(found["text"]) == len(sentence)


def test_korean_sentence_reaches_the_published_accuracy(in_tmp: Path) -> None:
    found = recipe.run("korean-sentence", quiet=True, threads=1)
    assert found["published"]["accuracy"] == 0.9833
    assert found["measured"]["accuracy"] >= 0.9833
    run = Path(found["run"])
    assert (run / "curves.png").stat().st_size > 5000
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    epochs = [r["epoch"] for r in load(run).run.read_metrics() if r["part"] == "valid"]
    assert epochs == list(range(1, 101))
    sentence = sentence_of("korean-sentence")
    assert 60 <= len(sentence) <= 80


def sentence_of(name: str) -> str:
    return Path("runs", f"{name}.txt").read_text("utf-8")


# --- a recipe with data -----------------------------------------------------------------------------------------------


def write_films(path: Path, count: int, seed: int) -> None:
    draw = random.Random(seed)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "label", "rating", "movie"])
        for number in range(count):
            label = draw.randrange(2)
            words = [draw.choice(("the", "Film", "was", "so", "long", "<br />")) for _ in range(draw.randint(3, 30))]
            words.insert(draw.randrange(len(words)), ("dreadful", "wonderful")[label])
            table.writerow([f"{label}/{number}", " ".join(words), label, (2, 9)[label], f"tt{number}"])


SHORT = {"epochs": 12, "hidden": 12, "embedding": 8, "lr": 0.02, "batch": 16, "threads": 1}


def test_imdb_gru_on_a_small_folder(in_tmp: Path) -> None:
    Path("films").mkdir()
    write_films(Path("films/train.csv.gz"), 200, 1)
    write_films(Path("films/dev.csv.gz"), 60, 2)
    found = recipe.run("imdb-gru", data="films", quiet=True, **SHORT)
    assert found["measured"].keys() == {"accuracy", "loss"}
    assert found["measured"]["accuracy"] > 0.9
    predictor = load(found["run"])
    assert predictor.settings.text == "text"
    assert predictor.settings.label == "label"
    assert predictor.settings.epochs == 12  # in place of the recipe's budget
    assert predictor.settings.hidden == 12
    assert predictor.evaluate("films/dev.csv.gz")["accuracy"] == pytest.approx(found["measured"]["accuracy"])


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_missing_folder_is_a_setting_and_a_missing_file_is_data(
    in_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "imdb-gru"]) == 2
    assert "--data FOLDER, with train.csv.gz and dev.csv.gz in it" in capsys.readouterr().err
    Path("films").mkdir()
    write_films(Path("films/train.csv.gz"), 20, 1)
    assert main(["recipe", "imdb-gru", "--data", "films"]) == 3
    assert "films/dev.csv.gz" in capsys.readouterr().err
    assert main(["recipe", "imdb-gru", "--data", "no-such-folder"]) == 3
    assert not Path("runs").exists()


def test_what_does_not_go_together(in_tmp: Path) -> None:
    for name, given, told in (
        ("hello", {"data": "x"}, "takes no data"),
        ("imdb-gru", {"text": "x", "data": "y"}, "takes no text"),
        ("helo", {}, 'did you mean "hello"?'),
        ("hello", {"hiden": 3}, 'did you mean "hidden"?'),
    ):
        with pytest.raises(SettingError) as refused:
            recipe.run(name, quiet=True, **given)  # type: ignore[arg-type]
        assert told in str(refused.value)


def test_a_text_that_is_too_short_or_not_there(in_tmp: Path) -> None:
    Path("short.txt").write_text("짧다", "utf-8")
    for text, code in (("short.txt", "D046"), ("none.txt", "D001")):
        with pytest.raises(DataError) as refused:
            recipe.run("korean-sentence", text=text, quiet=True)
        assert refused.value.code == code
    assert not list(Path().glob("runs/*/run.toml"))


def test_json_from_the_command_line(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "hello", "--json", "--out", "here"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recipe"] == "hello"
    assert found["run"] == "here"
    assert found["published"]["accuracy"] == 1.0
    assert found["measured"]["accuracy"] == 1.0
