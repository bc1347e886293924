"""``seqloom train`` and ``seqloom resume``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from seqloom import parts
from seqloom.cli.flags import with_settings
from seqloom.cli.output import print_json

if TYPE_CHECKING:
    from seqloom.run import Run


@with_settings
def train(
    file: Path,
    /,
    *,
    task: Annotated[str | None, Parameter(metavar="|".join(parts.names("tasks")))] = None,
    out: Path | None = None,
    overwrite: bool = False,
    config: Path | None = None,
    quiet: bool = False,
    json: bool = False,
    **settings: Any,
) -> None:
    """Train a model on a file within a time budget; leaves a run folder.

    Without settings the file decides: a table with a text column and a column of few values is "classify", plain text
    is "language", times with numbers are "forecast". What was seen and chosen is told before training. Ctrl-C saves and
    stops; seqloom resume RUN goes on.

        $ seqloom train reviews.csv --budget 10m
        $ seqloom train poems.txt --task language --cell lstm --hidden 512
        $ seqloom train temperatures.csv --horizon 24 --budget 5m

    Args:
        file: csv, tsv, jsonl, parquet or txt, each also with .gz behind it.
        task: What to learn; the file decides when not given.
        out: Run folder to make [runs/FILE-TASK-1, -2 ...].
        overwrite: Replace the run that OUT holds.
        config: TOML file of settings, the words of the flags as keys; a run's run.toml works too.
        quiet: Tell nothing but errors.
        json: Print the summary of the run as JSON.
    """
    from seqloom.training.train import train as start

    given = {name: value for name, value in settings.items() if value is not None}
    run = start(file, task=task, out=out, overwrite=overwrite, config=config, quiet=quiet, **given)
    if json:
        _print_summary(run)


def resume(run: Path, /, *, quiet: bool = False, json: bool = False) -> None:
    """Go on with a training that was stopped or killed, to the same bits.

        $ seqloom resume runs/reviews-classify-1

    Args:
        run: Run folder that train made.
        quiet: Tell nothing but errors.
        json: Print the summary of the run as JSON.
    """
    from seqloom.training.train import resume as go_on

    resumed = go_on(run, quiet=quiet)
    if json:
        _print_summary(resumed)


def _print_summary(run: Run) -> None:
    from seqloom.run import read_json

    print_json({"run": str(run.path), **read_json(run.path / "summary.json")})
