"""Runs a classic system from its small TOML file, and holds what it scores against what was published."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqloom import files
from seqloom import run as runs
from seqloom.errors import DataError, SettingError
from seqloom.parts import part
from seqloom.settings import override

if TYPE_CHECKING:
    from seqloom.run import Run

__all__ = ["run"]

METRICS = ("accuracy", "loss")
"""What is measured of text."""
ERRORS = ("mae", "rmse", "mase", "smape")
"""What is measured of a forecast."""
BESIDE = Path("runs")
"""Where a recipe writes the data it brings: beside the runs and not in a temporary folder, as resume reads it again."""


def run(
    name: str,
    *,
    data: str | Path | None = None,
    text: str | Path | None = None,
    set: str | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Trains a recipe's system and returns its figures beside the published ones.

    Args:
        name: a recipe, as ``seqloom parts recipes`` lists them.
        data: folder of the data set, or the file, for the recipes that need one.
        text: file with another text, for the recipes that learn one.
        set: which of the sets in the folder, for the recipes that have several.
        out: the run folder.
        quiet: print nothing but warnings.
        **settings: go before the recipe's own.

    Returns:
        ``recipe``, ``published``, ``measured`` (accuracy and loss of text, errors of a forecast), ``run``; ``text``
        where one was written again; ``verdict`` and ``remark`` of a forecast; ``table`` and ``runs`` of several.

    Raises:
        SettingError: there is no such recipe, or it needs ``data`` or ``set``, or takes no ``text`` or ``set``.
        DataError: a file of the data set is not there.
    """
    recipe = tomllib.loads(Path(part("recipes", name)).read_text("utf-8"))
    if set is not None and "sets" not in recipe:
        raise SettingError(f"recipe {name} has one set of data and takes no set", help="leave --set out")
    if not quiet:
        print(recipe["about"].strip(), "\n", sep="", file=sys.stderr)
    if "sets" in recipe:
        from seqloom.recipe import sets

        _refuse_text(name, text)
        folder = _needed(name, recipe, data)
        return sets.run(name, recipe, folder, set, beside=BESIDE, out=out, quiet=quiet, settings=settings)
    given = override(recipe["settings"], settings)
    return _run_one(name, recipe, data, text, out=out, quiet=quiet, given=given)


def _run_one(
    name: str,
    recipe: dict[str, Any],
    data: str | Path | None,
    text: str | Path | None,
    *,
    out: str | Path | None,
    quiet: bool,
    given: dict[str, Any],
) -> dict[str, Any]:
    """One training, and what the recipe shows of it."""
    from seqloom.predict import load
    from seqloom.recipe.text import read_whole, reassemble, show_shapes
    from seqloom.training.train import train

    file, valid = _files(name, recipe, data, text)
    given |= {"valid": str(valid)} if valid else {}
    if recipe.get("hidden_is_characters"):
        given["hidden"] = len({*read_whole(file)})
    trained = train(file, task=recipe["task"], out=out or runs.default_path(name, recipe["task"]), quiet=quiet, **given)
    predictor = load(trained.path)
    summary = files.read_json(trained.summary)
    result = {
        "recipe": name,
        "published": recipe["published"],
        "measured": _measured(recipe["task"], summary["evaluation"]),
        "run": str(trained.path),
    }
    if recipe.get("show_shapes") and not quiet:
        show_shapes(predictor, read_whole(file))
    if recipe.get("reassemble"):
        result["text"], result["measured"]["accuracy"] = reassemble(predictor, read_whole(file))
    if recipe["task"] == "forecast":
        result |= _judged(recipe, summary)
    if "waves" in recipe and valid is not None:
        from seqloom.recipe.waves import measure

        result["measured"] = {"mse": measure(predictor, valid, trained.path / "waves.png")}
        _tell(f"plot    {trained.path / 'waves.png'}", quiet)
    if recipe.get("plot"):
        _tell(f"plot    {_plot(trained)}", quiet)
    return result


# Data -------------------------------------------------------------------------------------------------------------


def _files(
    name: str, recipe: dict[str, Any], data: str | Path | None, text: str | Path | None
) -> tuple[Path, Path | None]:
    """The file to train on and the one to validate on, if there is one."""
    if "data" in recipe:
        _refuse_text(name, text)
        place = _needed(name, recipe, data)
        if isinstance(recipe["data"], str):
            return place, None
        found = {role: place / file for role, file in recipe["data"].items()}
        for file in found.values():
            if not file.exists():
                raise DataError("the file does not exist", code="D001", file=file, help="see --data")
        return found["file"], found.get("valid")
    if data is not None:
        own = "waves and takes" if "waves" in recipe else "text and takes"
        help = "leave --data out" if "waves" in recipe else "--text FILE takes another text"
        raise SettingError(f"recipe {name} brings its own {own} no data", help=help)
    if "waves" in recipe:
        from seqloom.recipe.waves import write

        _refuse_text(name, text)
        return write(BESIDE, name, **recipe["waves"])
    if text is not None:
        return Path(text), None
    file = BESIDE / f"{name}.txt"
    file.parent.mkdir(exist_ok=True)
    files.write_text(file, recipe["text"])
    return file, None


def _needed(name: str, recipe: dict[str, Any], data: str | Path | None) -> Path:
    """The folder, or the file, that was given with ``data``."""
    wanted = recipe["data"]
    one_file = isinstance(wanted, str) and "sets" not in recipe
    if data is None:
        help = f"pass --data FILE: {wanted}" if one_file else f"pass --data FOLDER, with {_listed(wanted)} in it"
        raise SettingError(f"recipe {name} needs its data set", help=help)
    if one_file and Path(data).is_dir():
        raise SettingError(f'"{data}" is a folder; recipe {name} reads one file', help=f"pass --data FILE: {wanted}")
    return Path(data)


def _listed(wanted: str | dict[str, str]) -> str:
    return wanted if isinstance(wanted, str) else " and ".join(wanted.values())


def _refuse_text(name: str, text: str | Path | None) -> None:
    if text is not None:
        raise SettingError(f"recipe {name} learns from a data set and takes no text", help="leave --text out")


# Figures ----------------------------------------------------------------------------------------------------------


def _measured(task: str, evaluation: dict[str, Any]) -> dict[str, Any]:
    names = ERRORS if task == "forecast" else METRICS
    return {name: evaluation[name] for name in names if evaluation.get(name) is not None}


def _judged(recipe: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a forecast in words, beside simple rules, and what the recipe says to it."""
    from seqloom.report.verdict import judge

    judged = judge(summary["verdict"])
    found = {"verdict": f"{judged.sentence} {judged.remark}".rstrip(), "rows": summary["verdict"]["rows"]}
    return found | ({"remark": recipe["remark"].strip()} if "remark" in recipe else {})


def _plot(run: Run) -> Path:
    """Draws loss and accuracy on two axes, as the tutorial shows them; returns the file."""
    from seqloom.report.plots import curves

    file = run.path / "curves.png"
    curves(run.read_metrics(), file, metric="accuracy", x="epoch")
    return file


def _tell(words: str, quiet: bool) -> None:
    if not quiet:
        print(words, file=sys.stderr)
