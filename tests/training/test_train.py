"""From a file to a sealed run: which settings win, what is refused and when, and what the run holds."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import pytest

from seqloom import files
from seqloom.errors import DataError, RunError, SettingError
from seqloom.run import Run
from seqloom.training.train import train

SMALL = {"hidden": 6, "embedding": 4, "threads": 1, "epochs": 2, "quiet": True}


def write_reviews(path: Path, count: int = 60, seed: int = 1) -> Path:
    draw = random.Random(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "review", "mood"])
        for number in range(count):
            good = draw.random() < 0.6
            words = [draw.choice(("the", "film", "영화", "정말", "was")) for _ in range(draw.randint(1, 9))]
            table.writerow([f"r{number}", " ".join([*words, "좋은" if good else "bad"]), "긍정" if good else "부정"])
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_reviews(tmp_path / "reviews.csv")


@pytest.fixture
def poem(tmp_path: Path) -> Path:
    path = tmp_path / "poem.txt"
    path.write_text("나는 강을 보았다\nthe river ran on\n" * 20, "utf-8")
    return path


def settings_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = run.read_toml()["settings"]
    return found


def summary_of(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = files.read_json(run.summary)
    return found


# --- where settings come from -----------------------------------------------------------------------------------------


def test_keywords_go_before_the_config_file_and_that_before_the_defaults(reviews: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('hidden = 5\ncell = "elman"\nbudget = "10m"\nweight-decay = 0.25\n', "utf-8")
    run = train(reviews, config=config, out=tmp_path / "run", **(SMALL | {"hidden": 7}))
    found = settings_of(run)
    assert (found["hidden"], found["cell"], found["weight_decay"]) == (7, "elman", 0.25)
    assert found["epochs"] == 2  # epochs on the command line replace the budget of the file
    assert "budget" not in found


def test_the_config_file_may_name_the_task_and_a_keyword_another(reviews: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('task = "language"\ntext = "review"\n', "utf-8")
    assert train(reviews, config=config, out=tmp_path / "1", **SMALL).read_toml()["task"] == "language"
    assert train(reviews, config=config, out=tmp_path / "2", task="classify", **SMALL).read_toml()["task"] == "classify"


def test_none_is_not_given(reviews: Path, tmp_path: Path) -> None:
    run = train(reviews, out=tmp_path / "run", text=None, label=None, encoding=None, budget=None, cell=None, **SMALL)
    assert settings_of(run)["text"] == "review"


def test_what_was_found_is_remembered(reviews: Path, tmp_path: Path) -> None:
    run = train(reviews, out=tmp_path / "run", **SMALL)
    contents = run.read_toml()
    assert contents["task"] == "classify"
    assert (contents["settings"]["text"], contents["settings"]["label"]) == ("review", "mood")
    assert contents["settings"]["tokenizer"] in ("word", "bpe")
    assert contents["settings"]["precision"] in ("fp32", "bf16")
    assert contents["data"]["train"]["sha256"] == files.sha256(reviews)
    assert contents["data"]["train"]["bytes"] == reviews.stat().st_size
    assert Path(contents["data"]["train"]["path"]) == reviews.resolve()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hiden": 4}, 'did you mean "hidden"?'),
        ({"window": 4}, '"window" is a setting of language; this run is classify'),
        ({"task": "clasify"}, 'did you mean "classify"?'),
        ({"precision": "fp16"}, 'setting "precision" is "fp16"'),
        ({"encoding": 3}, 'setting "encoding"'),
        ({"text": 3}, 'setting "text"'),
        ({"bad_rows": "skipp"}, 'did you mean "skip"?'),
        ({"budget": "soon", "epochs": None}, "write 90s, 10m, 2h"),
        ({"epochs": 1, "budget": "1m"}, "give epochs or budget, not both"),
    ],
)
def test_settings_that_are_refused_leave_nothing(reviews: Path, tmp_path: Path, given: Any, told: str) -> None:
    with pytest.raises(SettingError) as refused:
        train(reviews, out=tmp_path / "run", **(SMALL | given))
    assert told in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_taken_is_told_before_the_file_is_read(tmp_path: Path, reviews: Path) -> None:
    run = train(reviews, out=tmp_path / "run", **SMALL)
    before = run.manifest.read_bytes()
    with pytest.raises(RunError, match="holds a run already"):
        train(tmp_path / "no-such-file.csv", out=run.path, **SMALL)
    assert run.manifest.read_bytes() == before
    again = train(reviews, out=run.path, overwrite=True, **(SMALL | {"seed": 9}))
    assert settings_of(again)["seed"] == 9
    again.verify()


def test_data_that_cannot_be_used_leave_nothing(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("text,label\na fine film,good\na bad film,good\n", "utf-8")
    with pytest.raises(DataError) as refused:
        train(file, out=tmp_path / "run", **(SMALL | {"text": "text", "label": "label", "task": "classify"}))
    assert refused.value.code == "D041"
    assert not (tmp_path / "run").exists()


# --- what a run holds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["classify", "language"])
def test_rows_that_were_left_out_are_written_with_their_lines(tmp_path: Path, task: str) -> None:
    file = write_reviews(tmp_path / "reviews.csv")
    lines = file.read_text("utf-8").splitlines()
    lines[4] += ",one too many"
    lines[9] = "only one"
    file.write_text("\n".join(lines), "utf-8")
    given = SMALL | {"task": task, "text": "review", "bad_rows": "skip"}
    run = train(file, out=tmp_path / "run", **given)
    rejects = files.read_jsonl(run.rejects)
    assert [(reject["file"], reject["line"]) for reject in rejects] == [(str(file), 5), (str(file), 10)]


def test_rows_of_a_validation_file_that_were_left_out_are_written_too(reviews: Path, tmp_path: Path) -> None:
    valid = write_reviews(tmp_path / "dev.csv", 33, seed=2)
    lines = valid.read_text("utf-8").splitlines()
    lines[6] = "only one"
    valid.write_text("\n".join(lines), "utf-8")
    run = train(reviews, valid=str(valid), out=tmp_path / "run", bad_rows="skip", **SMALL)
    (reject,) = files.read_jsonl(run.rejects)
    assert (reject["file"], reject["line"], reject["text"]) == (str(valid), 7, "only one")


def test_rows_of_series_that_were_left_out_are_written_with_their_file(tmp_path: Path) -> None:
    made = []
    for name, count in (("train.csv", 120), ("dev.csv", 80)):
        rows = ["load", *(str(row % 7) for row in range(count))]
        rows[count // 2] = "oops"
        made.append(tmp_path / name)
        made[-1].write_text("\n".join(rows), "utf-8")
    given = {"task": "forecast", "model": "linear", "horizon": 2, "look_back": 6, "missing": "interpolate"}
    rest = {"bad_rows": "skip", "threads": 1, "epochs": 1, "quiet": True}
    run = train(made[0], valid=str(made[1]), out=tmp_path / "run", **given, **rest)
    rejects = files.read_jsonl(run.rejects)
    assert [(reject["file"], reject["line"]) for reject in rejects] == [(str(made[0]), 61), (str(made[1]), 41)]


def test_a_file_to_validate_on(reviews: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    valid = write_reviews(Path("dev.csv"), 33, seed=2)
    run = train(reviews, valid=str(valid), out="run", **SMALL)
    summary = summary_of(run)
    assert summary["split"] == {"train": 60, "valid": 33, "how": "validated on dev.csv"}
    assert summary["verdict"]["records"] == 33
    contents = run.read_toml()
    assert contents["settings"]["valid"] == contents["data"]["valid"]["path"] == str(valid.resolve())
    assert contents["data"]["valid"]["sha256"] == files.sha256(valid)


def test_the_summary_of_a_classifier(reviews: Path, tmp_path: Path) -> None:
    run = train(reviews, out=tmp_path / "run", **SMALL)
    summary = summary_of(run)
    assert (summary["task"], summary["run"], summary["stopped"]) == ("classify", "run", "epochs")
    assert summary["split"]["train"] + summary["split"]["valid"] == 60
    rows = summary["verdict"]["rows"]
    assert [row["name"] for row in rows] == ["this model", "n-grams + logistic regression", "majority"]
    assert rows[0]["value"] == summary["evaluation"]["accuracy"]
    counts = summary["evaluation"]["confusion"]["counts"]
    assert sum(map(sum, counts)) == summary["verdict"]["records"] == summary["split"]["valid"]
    assert summary["evaluation"]["confusion"]["labels"] == ["긍정", "부정"]
    assert {"read", "prepare", "baselines", "train", "evaluate"} <= summary["phases"].keys()
    assert summary["data"]["rows"] == 60
    assert summary["model"]["parameters"] > 0
    run.verify()
    assert run.report.stat().st_size > 1000


def test_the_summary_of_a_language_model(poem: Path, tmp_path: Path) -> None:
    run = train(poem, out=tmp_path / "run", window=16, split=0.2, **SMALL)
    summary = summary_of(run)
    rows = summary["verdict"]["rows"]
    assert [row["name"] for row in rows] == ["this model", "5-gram, Kneser-Ney", "unigram"]
    assert not summary["verdict"]["higher_is_better"]
    assert summary["verdict"]["records"] == round(0.2 * len(poem.read_text("utf-8"))) - 1
    assert len(summary["evaluation"]["samples"]) == 3


def test_without_a_validation_part_there_are_no_baselines(poem: Path, tmp_path: Path) -> None:
    run = train(poem, out=tmp_path / "run", window=16, split=0, **SMALL)
    assert [row["name"] for row in summary_of(run)["verdict"]["rows"]] == ["this model"]


def test_the_best_weights_are_those_of_the_best_evaluation(reviews: Path, tmp_path: Path) -> None:
    given = SMALL | {"epochs": 12, "lr": 0.05, "patience": 0, "precision": "fp32"}
    run = train(reviews, out=tmp_path / "run", split=0.4, **given)
    values = [report["accuracy"] for report in run.read_metrics() if report["part"] == "valid"]
    assert len(values) == 12
    assert summary_of(run)["evaluation"]["accuracy"] == pytest.approx(max(values))


def test_runs_without_a_name_are_numbered(poem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [train(poem, window=16, **(SMALL | {"epochs": 1})).path for _ in range(2)]
    assert paths == [Path("runs/poem-language-1"), Path("runs/poem-language-2")]


def test_quiet_says_nothing_and_otherwise_what_was_seen_is_told(
    reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(reviews, out=tmp_path / "1", **SMALL)
    assert capsys.readouterr() == ("", "")
    train(reviews, out=tmp_path / "2", **(SMALL | {"quiet": False, "cell": "gru"}))
    out, err = capsys.readouterr()
    assert out == ""
    for told in ("reviews.csv", "60 rows", "gru", "epoch 2.00", "verdict", "majority", "report.html"):
        assert told in err
