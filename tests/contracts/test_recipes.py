"""What every recipe owes: a text about itself, settings that its task takes, published figures, and that it runs."""

from __future__ import annotations

import csv
import gzip
import random
import tomllib
from datetime import datetime, timedelta
from math import cos, sin
from pathlib import Path
from typing import Any

import pytest

from seqloom import parts, recipe
from seqloom.predict import load

RECIPES = parts.names("recipes")
KEYS = {
    *("about", "task", "settings", "published", "remark"),
    *("text", "data", "waves", "show_shapes", "reassemble", "plot", "hidden_is_characters", "sets", "horizons"),
}


def contents(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(parts.part("recipes", name)).read_text("utf-8"))


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_complete_and_knows_no_more_than_recipes_do(name: str) -> None:
    found = contents(name)
    assert found.keys() <= KEYS
    assert {"about", "task", "settings", "published"} <= found.keys()
    assert len(found.keys() & {"text", "data", "waves"}) == 1
    assert ("sets" in found) == ("horizons" in found)
    assert len(found["about"].split()) > 15
    assert parts.describe("recipes", name).endswith(".")


@pytest.mark.parametrize("name", RECIPES)
def test_its_settings_are_those_of_its_task(name: str) -> None:
    found = contents(name)
    kind = parts.part("tasks", found["task"]).Settings
    settings = kind.parse(found["settings"])
    for known in found.get("sets", {}).values():
        kind.parse(found["settings"] | known.get("settings", {}))
    for key in found["settings"].keys() - {"budget"}:
        value = getattr(settings, key)
        assert (list(value) if isinstance(value, tuple) else value) == found["settings"][key], key


@pytest.mark.parametrize("name", RECIPES)
def test_what_was_published_is_a_figure_with_its_source(name: str) -> None:
    found = contents(name)
    published = found["published"]
    assert len(published["source"]) > 10
    figures = {key: value for key, value in published.items() if key != "source"}
    if "sets" in found:
        for models in figures.values():
            for sets in models.values():
                assert sets.keys() <= found["sets"].keys()
                assert all(len(horizons) == len(found["horizons"]) for horizons in sets.values())
        return
    assert figures or published["source"].startswith("none ")  # one that says so is no gap
    assert figures.keys() <= {*recipe.METRICS, "mse"}
    assert all(isinstance(figure, float) for figure in figures.values())


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_shortened(name: str, in_tmp: Path) -> None:
    found = contents(name)
    given: dict[str, Any] = {"epochs": 2}
    if isinstance(found.get("data"), dict):
        given["data"] = write_texts(found["data"])
    elif "sets" in found:
        set, rows = next((set, known["rows"]) for set, known in found["sets"].items())
        given |= {"data": write_set(set, rows), "set": set, "horizon": 96, "epochs": 1, "hidden": 4, "batch": 4096}
    elif "data" in found:
        given |= {"data": write_table(found["settings"]), "hidden": 4}
    result = recipe.run(name, out="run", quiet=True, threads=1, **given)
    assert result["recipe"] == name
    assert result["published"]["source"] == found["published"]["source"]
    assert result["run"] == "run"
    check_measured(found, result["measured"])
    predictor = load("run")
    assert predictor.task.name == found["task"]
    for key, value in (found["settings"] | given).items():
        if key not in ("budget", "data", "set", *(given if "sets" in found else ())):
            found_value = getattr(predictor.settings, key)
            assert (list(found_value) if isinstance(value, list) else found_value) == value, key
    assert (Path("run") / "report.html").exists()


def check_measured(found: dict[str, Any], measured: dict[str, Any]) -> None:
    if "sets" in found:
        assert measured.keys() == {"96"}
        measured = measured["96"]
    if found["task"] == "forecast":
        assert all(value > 0 for value in measured.values())
        return
    assert 0 <= measured["accuracy"] <= 1
    assert measured["loss"] > 0


def write_texts(names: dict[str, str]) -> Path:
    """A folder with a few labelled texts under each of the names."""
    draw = random.Random(1)
    folder = Path("data")
    folder.mkdir()
    for name in names.values():
        with gzip.open(folder / name, "wt", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            for _ in range(40):
                label = draw.randrange(2)
                words = [draw.choice(("the", "film", "was")) for _ in range(draw.randint(2, 9))]
                table.writerow([" ".join([*words, ("bad", "good")[label]]), label])
    return folder


def write_table(settings: dict[str, Any]) -> Path:
    """A table with the columns that the settings name, long enough for a window in each part."""
    times, past = settings["time"], settings.get("past", [])
    step = {144: timedelta(minutes=10), 24: timedelta(hours=1)}.get(settings["horizon"], timedelta(days=1))
    draw, time = random.Random(1), datetime(2024, 1, 1)
    with Path("table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow([*times, *settings["target"], *past])
        for row in range(12 * (settings["look_back"] + settings["horizon"])):
            stamp = [getattr(time, name) for name in times] if len(times) > 1 else [time]
            values = [draw.choice(("NW", "SE")) if name == "cbwd" else draw.random() for name in past]
            table.writerow([*stamp, f"{20 + 5 * sin(row / 7) + draw.random():.3f}", *values])
            time += step
    return Path("table.csv")


def write_set(name: str, rows: int) -> Path:
    """A folder with one set of two columns, a little longer than the protocol needs."""
    start = datetime(2016, 7, 1)
    lines = ["date,HUFL,OT"]
    for row in range(rows + 10):
        lines.append(f"{start + timedelta(hours=row)},{sin(row / 4):.4f},{10 + cos(row / 30):.4f}")
    folder = Path("data")
    folder.mkdir()
    (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder
