"""The classic systems, run whole, against the figures they are held to."""

from __future__ import annotations

import csv
import gzip
import json
import math
import random
import re
import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from seqloom import recipe
from seqloom.cli import main
from seqloom.data.read import read
from seqloom.data.series import choose_roles, read_series
from seqloom.errors import DataError, SettingError
from seqloom.parts import part
from seqloom.predict import load
from seqloom.recipe import sets, waves


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


# --- waves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sine-rnn", "sine-lstm"])
def test_a_wave_is_followed_that_was_not_trained_on(name: str, in_tmp: Path) -> None:
    found = recipe.run(name, quiet=True, threads=1)
    assert found["measured"]["mse"] <= found["published"]["mse"] == 1e-3
    assert Path(found["run"], "waves.png").read_bytes().startswith(b"\x89PNG")
    trained, held_out = (waves_of(Path("runs", f"{name}{ending}.csv")) for ending in ("", "-held-out"))
    assert (len(trained), len(held_out)) == (1000, 200)
    assert not {wave[0] for wave in trained} & {wave[0] for wave in held_out}
    assert {len(wave) for wave in held_out} == {51}  # 50 points, and the one that follows
    assert load(found["run"]).run.read_toml()["data"]["valid"]["file"] == f"{name}-held-out.csv"


def waves_of(file: Path) -> list[list[float]]:
    waves: dict[str, list[float]] = {}
    with file.open(encoding="utf-8") as opened:
        for row in csv.DictReader(opened):
            waves.setdefault(row["wave"], []).append(float(row["value"]))
    return list(waves.values())


def test_the_target_is_the_wave_shifted_by_a_step() -> None:
    found = waves.draw(3, 50, 0.1, np.random.default_rng(5))
    assert found.shape == (3, 51)
    for wave in found:
        start = math.atan2(wave[0], (wave[1] - wave[0] * math.cos(0.1)) / math.sin(0.1))
        assert wave[1:] == pytest.approx([math.sin(start + 0.1 * step + 0.1) for step in range(50)])


def test_the_error_is_over_all_that_is_said(tmp_path: Path) -> None:
    """A model that is wrong by 0.1 after each point, and by 0.3 after the last."""

    class Wrong:
        def training_output(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            truth = values[:, 1:, None]  # [N, S, F, C]
            said = truth + 0.1
            said[:, -1] += 0.2
            return said[..., None], truth

    file, _ = waves.write(tmp_path, "w", count=6, held_out=1, points=4, step=0.1, seed=1)
    found = waves.measure(SimpleNamespace(model=Wrong()), file, tmp_path / "w.png")  # type: ignore[arg-type]
    assert found == pytest.approx((3 * 0.01 + 0.09) / 4, rel=1e-4)


def test_what_published_code_gets_wrong_is_told(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.run("sine-lstm", threads=1, epochs=1)
    err = " ".join(capsys.readouterr().err.split())
    assert "it compares that one value with all 50 targets" in err and "broadcasting" in err
    assert "waves.png" in err


# --- forecasts of a file ----------------------------------------------------------------------------------------------


def write_prices(path: Path, days: int) -> None:
    draw, price, day = random.Random(1), 100.0, datetime(2020, 1, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Date", "Open", "Adj Close"])
        for _ in range(days):
            day += timedelta(days=3 if day.weekday() == 4 else 1)
            price *= 1 + draw.gauss(0, 0.01)
            table.writerow([f"{day:%Y-%m-%d}", f"{price * 0.99:.2f}", f"{price:.2f}"])


def test_stocks_end_with_an_honest_word(in_tmp: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_prices(Path("prices.csv"), 600)
    found = recipe.run("stocks", data="prices.csv", quiet=True, epochs=1, threads=1)
    assert load(found["run"]).settings.transform == "returns"
    assert "best baseline" in found["verdict"]
    assert "random walk" in found["remark"]
    assert {"this model", "naive", "drift"} <= {row["name"] for row in found["rows"]}
    assert found["measured"].keys() == {"mae", "rmse", "mase", "smape"}


def test_the_command_prints_verdict_and_remark(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"verdict": "Does not beat it.", "remark": "Hardly anything does.", "run": "runs/x"}
    monkeypatch.setattr(recipe, "run", lambda name, **given: {"published": {}, "measured": {"mae": 0.5}, **told})
    assert main(["recipe", "stocks", "--data", "prices.csv"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"mae\s+0\.5", out)
    assert out.index("Does not beat it.") < out.index("Hardly anything does.") < out.index("run  runs/x")


@pytest.mark.parametrize(
    ("name", "file", "step", "rows", "told"),
    [("weather", "weather_jena_2020/weather.csv.gz", "every 10 minutes", 52_704, "1 row left out"),
     ("air", "beijing_pm25/pollution.csv.gz", "hourly", 43_800, "24 rows at the ends left out"),
     ("stocks", "stocks/AAPL.csv", "daily on business days", 3_270, "123 business days without a row")],
)  # fmt: skip
def test_the_settings_fit_the_real_file(
    shared_data: Path, name: str, file: str, step: str, rows: int, told: str
) -> None:
    settings = tomllib.loads(Path(part("recipes", name)).read_text("utf-8"))["settings"]
    given = {role: settings[role] for role in ("time", "target", "past") if role in settings}
    records = read(shared_data / file)
    how = {key: settings[key] for key in ("missing", "missing_value", "bad_rows") if key in settings}
    found = read_series(records, choose_roles(records, **given), **how)
    assert found.frequency is not None and found.frequency.describe() == step
    assert [len(series) for series in found.series] == [rows]
    assert any(told in note for note in found.notes)


def test_a_file_is_wanted_and_no_folder(in_tmp: Path) -> None:
    with pytest.raises(SettingError, match=r"pass --data FILE: AAPL\.csv") as refused:
        recipe.run("stocks", quiet=True)
    assert "needs its data set" in str(refused.value)
    with pytest.raises(SettingError, match="is a folder"):
        recipe.run("stocks", data=".", quiet=True)
    with pytest.raises(SettingError, match="takes no set"):
        recipe.run("stocks", data="x.csv", set="ETTh1", quiet=True)
    with pytest.raises(SettingError, match="brings its own waves"):
        recipe.run("sine-rnn", data="x.csv", quiet=True)


# --- the published table ----------------------------------------------------------------------------------------------


def test_the_rows_of_the_protocol_are_the_first_ones(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "ETTx.csv.gz", "wt", encoding="utf-8") as file:
        file.write("date,OT\n" + "".join(f"day {row},{row}.25\n" for row in range(9)))
    written = sets.write_set(tmp_path, "ETTx", 7, tmp_path / "out" / "x.csv")
    assert written.read_text("utf-8").splitlines() == ["date,OT", *(f"day {row},{row}.25" for row in range(7))]
    with pytest.raises(DataError, match="the file has 9 rows; the protocol needs the first 10") as refused:
        sets.write_set(tmp_path, "ETTx", 10, tmp_path / "x.csv")
    assert refused.value.code == "D046"
    with pytest.raises(DataError, match="does not exist"):
        sets.write_set(tmp_path, "ETTy", 10, tmp_path / "x.csv")


def test_the_protocol_has_the_rows_of_the_real_files(shared_data: Path, tmp_path: Path) -> None:
    file = sets.write_set(shared_data / "ett", "ETTh1", 14_400, tmp_path / "ETTh1.csv")
    lines = file.read_text("utf-8").splitlines()
    assert len(lines) == 14_401
    assert lines[1 + 8_640].startswith("2017-06-26 00:00:00,")  # 12 months of 30 days later the validation part begins
    assert lines[-1].startswith("2018-02-20 23:00:00,")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was trained, in place of the training."""
    asked: list[dict[str, Any]] = []

    def train(file: Path, place: Path, *, quiet: bool, **settings: Any) -> dict[str, Any]:
        asked.append({"file": file, "place": place, **settings})
        return {"mse": settings["horizon"] / 1000, "mae": 0.5, "windows": 9, "seconds": 60.0}

    monkeypatch.setattr(sets, "_train", train)
    return asked


def write_hours(folder: Path, rows: int) -> None:
    folder.mkdir()
    (folder / "ETTh2.csv").write_text("date,OT\n" + "x,1\n" * rows, "utf-8")


def test_each_horizon_is_a_training_beside_what_was_published(in_tmp: Path, trained: list[dict[str, Any]]) -> None:
    write_hours(Path("ett"), 14_500)
    found = recipe.run("ett", data="ett", set="ETTh2", quiet=True, hidden=8, out="tries/a")
    assert [run["horizon"] for run in trained] == [96, 192, 336, 720]
    assert [str(run["place"]) for run in trained] == [f"tries/a-{run['horizon']}" for run in trained]
    assert {run["look_back"] for run in trained} == {96} and {run["hidden"] for run in trained} == {8}
    assert found["measured"]["336"] == {"mse": 0.336, "mae": 0.5, "windows": 9, "seconds": 60.0}
    assert found["published"]["SegRNN"]["336"] == {"mse": 0.421, "mae": 0.436}
    assert found["table"][2] == {
        "horizon": 336, "mse": 0.336, "mae": 0.5, "train_seconds": 60.0,
        "SegRNN": "0.421 / 0.436", "PatchTST": "0.426 / 0.433", "DLinear": "0.594 / 0.541",
    }  # fmt: skip
    assert len(Path("runs/ett-ETTh2.csv").read_text("utf-8").splitlines()) == 14_401


def test_one_horizon_and_another_look_back(
    in_tmp: Path, trained: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_hours(Path("ett"), 14_400)
    command = ["recipe", "ett", "--data", "ett", "--set", "ETTh2", "--look-back", "720", "--horizon", "192"]
    assert main([*command, "--out", "here"]) == 0
    assert [(run["horizon"], run["look_back"], str(run["place"])) for run in trained] == [(192, 720, "here")]
    shown = capsys.readouterr().out
    assert re.search(r"192\s+0\.192\s+0\.5\s+60\s+0\.341", shown)  # MSE alone was published for this look-back
    assert "run  here" in shown
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"]["SegRNN"] == {"192": {"mse": 0.341}}


def test_a_set_may_have_settings_of_its_own(tmp_path: Path, trained: list[dict[str, Any]]) -> None:
    write_hours(tmp_path / "ett", 5)
    own = {"horizons": [1], "sets": {"ETTh2": {"rows": 5, "settings": {"segment": 48, "hidden": 7}}}}
    told = {**own, "settings": {"look_back": 2, "segment": 24, "lr": 0.1}, "published": {"source": ""}}
    place = {"beside": tmp_path / "runs", "out": tmp_path / "run", "quiet": True}
    sets.run("x", told, tmp_path / "ett", "ETTh2", **place, settings={"hidden": 9})  # type: ignore[arg-type]
    assert [(run["segment"], run["hidden"], run["lr"]) for run in trained] == [(48, 9, 0.1)]


def test_the_set_is_named(in_tmp: Path) -> None:
    with pytest.raises(SettingError, match="--set with one of ETTh1, ETTh2, ETTm1, ETTm2"):
        recipe.run("ett", data=".", quiet=True)
    with pytest.raises(SettingError, match='did you mean "ETTh1"'):
        recipe.run("ett", data=".", set="ETTh1x", quiet=True)
    with pytest.raises(SettingError, match=r"pass --data FOLDER, with ETTh1\.csv\.gz"):
        recipe.run("ett", set="ETTh1", quiet=True)


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
