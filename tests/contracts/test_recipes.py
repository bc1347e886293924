"""What every recipe owes: a text about itself, settings that its task takes, published figures, and that it runs."""

from __future__ import annotations

import csv
import gzip
import random
import tomllib
from pathlib import Path
from typing import Any

import pytest

from seqloom import parts, recipe
from seqloom.predict import load

RECIPES = parts.names("recipes")
KEYS = {
    *("about", "task", "settings", "published"),
    *("text", "data", "show_shapes", "reassemble", "plot", "hidden_is_characters"),
}


def contents(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(parts.part("recipes", name)).read_text("utf-8"))


@pytest.mark.parametrize("name", RECIPES)
def test_it_is_complete_and_knows_no_more_than_recipes_do(name: str) -> None:
    found = contents(name)
    assert found.keys() <= KEYS
    assert {"about", "task", "settings", "published"} <= found.keys()
    assert ("text" in found) != ("data" in found)
    assert len(found["about"].split()) > 15
    assert parts.describe("recipes", name).endswith(".")


@pytest.mark.parametrize("name", RECIPES)
def test_its_settings_are_those_of_its_task(name: str) -> None:
    found = contents(name)
    settings = parts.part("tasks", found["task"]).Settings.parse(found["settings"])
    for key in found["settings"].keys() - {"budget"}:
        assert getattr(settings, key) == found["settings"][key], key


@pytest.mark.parametrize("name", RECIPES)
def test_what_was_published_is_a_figure_with_its_source(name: str) -> None:
    published = contents(name)["published"]
    assert len(published["source"]) > 10
    figures = published.keys() - {"source"}
    assert figures
    assert figures <= {*recipe.METRICS}
    assert all(isinstance(published[figure], float) for figure in figures)


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_shortened(name: str, in_tmp: Path) -> None:
    found = contents(name)
    data = write_data(found["data"]) if "data" in found else None
    result = recipe.run(name, data=data, out="run", quiet=True, epochs=2, threads=1)
    assert result["recipe"] == name
    assert result["published"] == found["published"]
    assert 0 <= result["measured"]["accuracy"] <= 1
    assert result["measured"]["loss"] > 0
    predictor = load("run")
    assert predictor.task.name == found["task"]
    assert predictor.settings.epochs == 2
    for key in found["settings"].keys() - {"budget", "epochs"}:
        assert getattr(predictor.settings, key) == found["settings"][key], key
    assert (Path("run") / "report.html").exists()


def write_data(names: dict[str, str]) -> Path:
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
