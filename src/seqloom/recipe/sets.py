"""A published table of forecasts: several sets of one folder, several horizons, each a training of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seqloom import files
from seqloom import run as runs
from seqloom.data.read import read_text
from seqloom.errors import DataError, SettingError, nearest
from seqloom.settings import override

__all__ = ["run", "write_set"]


def run(
    name: str,
    recipe: dict[str, Any],
    data: Path,
    set: str | None,
    *,
    beside: Path,
    out: str | Path | None,
    quiet: bool,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Trains a model for each horizon of one set, or for the one horizon that is given.

    Args:
        name: the recipe.
        recipe: its contents.
        data: the folder of the sets.
        set: one of them.
        beside: the folder for the rows that the protocol uses.
        out: the run folder; with several horizons the beginning of their names.
        quiet: print nothing but warnings.
        settings: go before those of the recipe and of the set.

    Returns:
        ``measured`` and ``published``, both by horizon; ``runs`` by horizon; ``table``: a row each horizon.

    Raises:
        SettingError: no set is named, or one that the recipe does not have.
        DataError: the file of the set is not there, or is too short.
    """
    known = recipe["sets"]
    if set is None:
        raise SettingError(f"recipe {name} needs a set", help=f"pass --set with one of {', '.join(known)}")
    if set not in known:
        raise SettingError(f'recipe {name} has no set "{set}"', help=nearest(set, known))
    file = write_set(data, set, known[set]["rows"], beside / f"{name}-{set}.csv")
    settings = override(recipe["settings"] | known[set].get("settings", {}), settings)
    horizon = settings.pop("horizon", None)
    horizons = recipe["horizons"] if horizon is None else [int(horizon)]
    measured, paths = {}, {}
    for steps in horizons:
        place = _place(out, f"{name}-{set}-{steps}", steps if len(horizons) > 1 else None)
        measured[str(steps)] = _train(file, place, quiet=quiet, **{**settings, "horizon": steps})
        paths[str(steps)] = str(place)
    published = _published(recipe, set, str(settings["look_back"]), list(measured))
    return {
        "recipe": name,
        "set": set,
        "look_back": settings["look_back"],
        "measured": measured,
        "published": {**published, "source": recipe["published"]["source"]},
        "table": [_row(steps, found, published) for steps, found in measured.items()],
        "runs": paths,
        "run": list(paths.values())[-1],
    }


def write_set(folder: Path, set: str, rows: int, file: Path) -> Path:
    """Writes the rows of a set that the protocol uses: the first ones, as they stand in ``SET.csv`` or ``SET.csv.gz``.

    Raises:
        DataError: there is no such file, or it has fewer rows.
    """
    found = next((path for path in (folder / f"{set}.csv.gz", folder / f"{set}.csv") if path.exists()), None)
    if found is None:
        raise DataError("the file does not exist", code="D001", file=folder / f"{set}.csv.gz", help="see --data")
    lines = read_text(found).splitlines()[: rows + 1]
    if len(lines) <= rows:
        message = f"the file has {len(lines) - 1:,} rows; the protocol needs the first {rows:,}"
        raise DataError(message, code="D046", file=found, help="take the whole file as it was published")
    file.parent.mkdir(exist_ok=True)
    files.write_text(file, "\n".join(lines) + "\n")
    return file


def _place(out: str | Path | None, name: str, horizon: int | None) -> Path:
    """The run folder; where several are made, each has the horizon in its name."""
    if out is None:
        return runs.default_path(name, "forecast")
    return Path(out) if horizon is None else Path(f"{out}-{horizon}")


def _train(file: Path, place: Path, *, quiet: bool, **settings: Any) -> dict[str, Any]:
    """Errors on standardised values, as they are published, over every window of the test part."""
    from seqloom.training.train import train

    trained = train(file, task="forecast", out=place, quiet=quiet, **settings)
    summary = files.read_json(trained.summary)
    return {
        "mse": summary["evaluation"]["standard_mse"],
        "mae": summary["evaluation"]["standard_mae"],
        "windows": summary["verdict"]["records"],
        "seconds": summary["phases"]["train"],
    }


def _published(recipe: dict[str, Any], set: str, look_back: str, horizons: list[str]) -> dict[str, dict[str, Any]]:
    """By model and horizon what was published for this set and look-back: MSE, and MAE where there is one."""
    places = {str(horizon): place for place, horizon in enumerate(recipe["horizons"])}
    found: dict[str, dict[str, Any]] = {}
    for model, sets in recipe["published"].get(look_back, {}).items():
        for horizon in horizons:
            if horizon in places and set in sets:
                figures = sets[set][places[horizon]]
                found.setdefault(model, {})[horizon] = dict(zip(("mse", "mae"), figures, strict=False))
    return found


def _row(horizon: str, found: dict[str, Any], published: dict[str, dict[str, Any]]) -> dict[str, Any]:
    row = {"horizon": int(horizon), "mse": found["mse"], "mae": found["mae"], "train_seconds": found["seconds"]}
    for model, figures in published.items():
        if horizon in figures:
            row[model] = " / ".join(f"{value:.3f}" for value in figures[horizon].values())
    return row
