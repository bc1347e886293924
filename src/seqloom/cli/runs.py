"""``seqloom report`` and ``seqloom compare``: what finished runs have to tell."""

from __future__ import annotations

from pathlib import Path

from seqloom.cli.output import print_json, print_table
from seqloom.errors import SettingError


def report(run: Path, /, *, json: bool = False) -> None:
    """Write a run's report.html anew and print its path.

        $ seqloom report runs/reviews-classify-1

    Args:
        run: Run folder that train made.
        json: Print the path as JSON.
    """
    from seqloom.report.page import write

    page = write(run)
    if json:
        print_json({"report": str(page)})
    else:
        print(page)


def compare(*runs: Path, json: bool = False) -> None:
    """Show runs side by side: their scores and the settings that differ.

        $ seqloom compare runs/*

    Args:
        runs: Run folders that train made.
        json: Print the rows as JSON.
    """
    if not runs:
        raise SettingError("RUN is missing", help="name the runs to compare: seqloom compare runs/*")
    from seqloom.report.compare import compare as side_by_side

    rows = side_by_side(list(runs))
    if json:
        print_json(rows)
        return
    hidden = {"same_data", "note"}
    print_table([{name: value for name, value in row.items() if name not in hidden} for row in rows])
    for row in rows:
        if row["note"]:
            print(f"\n{row['run']}: {row['note']}")
