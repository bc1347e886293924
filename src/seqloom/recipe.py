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
    from seqloom.predict import Predictor
    from seqloom.run import Run

__all__ = ["run"]

METRICS = ("accuracy", "loss")


def run(
    name: str,
    *,
    data: str | Path | None = None,
    text: str | Path | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """Trains a recipe's system and returns its figures beside the published ones.

    Args:
        name: a recipe, as ``seqloom parts recipes`` lists them.
        data: folder of the data set, for the recipes that need one.
        text: file with another text, for the recipes that learn one.
        out: the run folder.
        quiet: print nothing but warnings.
        **settings: go before the recipe's own.

    Returns:
        ``recipe``, ``published``, ``measured`` (accuracy and loss), ``run``, and ``text`` where one was written again.

    Raises:
        SettingError: there is no such recipe, or it needs ``data``, or takes no ``text``.
        DataError: a file of the data set is not there.
    """
    from seqloom.predict import load
    from seqloom.training.train import train

    recipe = tomllib.loads(Path(part("recipes", name)).read_text("utf-8"))
    if not quiet:
        print(recipe["about"].strip(), "\n", sep="", file=sys.stderr)
    file, valid = _files(name, recipe, data, text)
    given = override(recipe["settings"], settings) | ({"valid": str(valid)} if valid else {})
    if recipe.get("hidden_is_characters"):
        given["hidden"] = len(set(_text(file)))
    trained = train(file, task=recipe["task"], out=out or runs.default_path(name, recipe["task"]), quiet=quiet, **given)
    predictor = load(trained.path)
    summary = files.read_json(trained.summary)
    result = {
        "recipe": name,
        "published": recipe["published"],
        "measured": {metric: summary["evaluation"][metric] for metric in METRICS},
        "run": str(trained.path),
    }
    if recipe.get("show_shapes") and not quiet:
        _show_shapes(predictor, _text(file))
    if recipe.get("reassemble"):
        result["text"], result["measured"]["accuracy"] = _reassemble(predictor, _text(file))
    if recipe.get("plot"):
        file = _plot(trained)
        if not quiet:
            print(f"plot    {file}", file=sys.stderr)
    return result


def _files(
    name: str, recipe: dict[str, Any], data: str | Path | None, text: str | Path | None
) -> tuple[Path, Path | None]:
    """The file to train on and the one to validate on, if there is one."""
    if "data" in recipe:
        if text is not None:
            raise SettingError(f"recipe {name} learns from a data set and takes no text", help="pass --data FOLDER")
        if data is None:
            wanted = " and ".join(recipe["data"].values())
            raise SettingError(f"recipe {name} needs its data set", help=f"pass --data FOLDER, with {wanted} in it")
        found = {role: Path(data) / file for role, file in recipe["data"].items()}
        for file in found.values():
            if not file.exists():
                raise DataError("the file does not exist", code="D001", file=file, help="see --data")
        return found["file"], found.get("valid")
    if data is not None:
        raise SettingError(
            f"recipe {name} brings its own text and takes no data", help="--text FILE takes another text"
        )
    if text is not None:
        return Path(text), None
    # Beside the run and not in a temporary folder: after Ctrl-C, resume reads it again.
    file = Path("runs") / f"{name}.txt"
    file.parent.mkdir(exist_ok=True)
    files.write_text(file, recipe["text"])
    return file, None


def _text(file: Path) -> str:
    """The text of a file as training joins its lines: the line break behind the last one is not part of it."""
    from seqloom.data.read import read_text

    return read_text(file).removesuffix("\n")


def _show_shapes(predictor: Predictor, text: str) -> None:
    """Prints what goes in and out of each layer while the text is read letter by letter, for learners."""
    import torch

    task: Any = predictor.task
    tokens = torch.from_numpy(task.tokenizer.encode(text).astype("int64"))[None]  # [B=1, T+1]
    inputs, targets = tokens[:, :-1], tokens[0, 1:]
    model: Any = predictor.model
    with torch.no_grad():
        features = model.embedding(inputs)
        output, state = model.layers[0](features)
        scores, _ = model(inputs)
    print(f"input   [B, T]      {list(inputs.shape)}   the numbers of the letters {text[:-1]!r}")
    print(f"one-hot [B, T, I]   {list(features.shape)}   a one in the place of each letter, zeros elsewhere")
    print(f"output  [B, T, H]   {list(output.shape)}   the hidden units after each letter")
    print(f"state   [L*D, B, H] {list(state.shape)}   the hidden units after the last letter")
    print(f"scores  [B, T, V]   {list(scores.shape)}   one for each letter, and two for padding and unknown letters")
    for step, (letter, target) in enumerate(zip(inputs[0].tolist(), targets.tolist(), strict=True), start=1):
        guess = int(scores[0, step - 1].argmax())
        names = [task.tokenizer.token(token) for token in (letter, guess, target)]
        print(f"step {step}: after {names[0]!r} the model says {names[1]!r}, and the text has {names[2]!r}")


def _reassemble(predictor: Predictor, text: str) -> tuple[str, float]:
    """The text as its windows give it again by argmax, and the share of its characters that is right.

    All characters of the first window's answer, then the last one of each other's; the first character of the text is
    given, and not counted.
    """
    import torch

    from seqloom.data.windows import windows

    task: Any = predictor.task
    tokens = task.tokenizer.encode(task.tokenizer.normalize(text))
    inputs, _ = windows(tokens, task.settings.window, 1)
    with torch.no_grad():
        guesses = predictor.model(torch.from_numpy(inputs.astype("int64")))[0].argmax(dim=2)  # [N, T]
    ids = [*guesses[0].tolist(), *guesses[1:, -1].tolist()]
    right = sum(guess == target for guess, target in zip(ids, tokens[1:].tolist(), strict=True))
    return task.tokenizer.decode([int(tokens[0]), *ids]), right / len(ids)


def _plot(run: Run) -> Path:
    """Draws loss and accuracy on two axes, as the tutorial shows them; returns the file."""
    from seqloom.report.plots import curves

    file = run.path / "curves.png"
    curves(run.read_metrics(), file, metric="accuracy", x="epoch")
    return file
