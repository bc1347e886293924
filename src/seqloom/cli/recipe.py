"""``seqloom recipe``."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from seqloom import parts
from seqloom.cli.output import print_json, print_table


def recipe(
    name: str | None = None,
    /,
    *,
    data: Path | None = None,
    text: Path | None = None,
    set: str | None = None,
    look_back: int | None = None,
    horizon: int | None = None,
    out: Path | None = None,
    quiet: bool = False,
    json: bool = False,
) -> None:
    """Run one of the classic systems and hold it against its published figures; without NAME, list them.

        $ seqloom recipe hello

    Args:
        name: Recipe to run.
        data: Folder of the data set, or the file, that the recipe asks for.
        text: File with another text for the recipes that learn one.
        set: Which set of the folder, for the recipes that have several: ETTh1.
        look_back: Rows that a forecast reads, in place of the recipe's own number.
        horizon: Steps to forecast, in place of the recipe's own number, or of all of its several.
        out: Run folder to make.
        quiet: Tell nothing but errors and the result.
        json: Print the result, or the list, as JSON.
    """
    if name is None:
        rows = [{"name": known, "what": parts.describe("recipes", known)} for known in parts.names("recipes")]
        print_json(rows) if json else print_table(rows)
        return
    parts.part("recipes", name)  # a misspelt name is answered before anything heavy is imported
    from seqloom.recipe import run

    # What a recipe shows on its way is for a reader; with --json standard output holds JSON alone.
    with redirect_stdout(sys.stderr) if json else nullcontext():
        ahead = {"look_back": look_back, "horizon": horizon}
        result = run(name, data=data, text=text, set=set, quiet=quiet, out=out, **ahead)
    print_json(result) if json else _print(result)


def _print(result: dict[str, Any]) -> None:
    published, measured = result["published"], result["measured"]
    if "table" in result:
        print_table(result["table"])
        print("\nPublished: mse / mae.")
    else:
        metrics = [name for name in measured if name in published] or list(measured)
        figures = [{"figure": name, "published": published.get(name), "measured": measured[name]} for name in metrics]
        print_table(figures)
    for words in ("text", "verdict", "remark"):
        if result.get(words):
            print(f"\n{result[words]}")
    for place in result.get("runs", {"": result["run"]}).values():
        print(f"\nrun  {place}")
