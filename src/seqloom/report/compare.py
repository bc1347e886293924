"""Puts runs side by side, and says when they were not judged on the same data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqloom import run as runs

__all__ = ["compare"]

SPLIT = {
    "classify": ("split", "seed", "text", "label", "encoding", "bad_rows"),
    "language": ("split", "text", "encoding", "bad_rows", "lowercase"),
    "forecast": (
        *("split", "test", "horizon", "time", "series", "target", "frequency"),
        *("missing", "missing_value", "encoding", "bad_rows"),
    ),
}
"""The settings that decide what a task is judged on when it splits a file; of text and series, the end is split off."""

NOT_OF_A_FILE = ("split", "test", "seed")
"""Of these, the ones that do nothing where the validation part is a file of its own."""


def compare(run_paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """One row a run, in the order given.

    Returns:
        Rows of ``run, task, model, parameters, metric, value, error, seconds, same_data, settings, note``.
        ``same_data`` says whether the run was validated on what the first run was validated on, ``settings`` which
        settings it has that are not the same in all runs, and ``note`` why its value cannot be compared with the
        first one's. What a run does not know yet, because it is unfinished, is None.

    Raises:
        RunError: a folder is not a run, or one of its files is damaged.
    """
    opened = [runs.Run.open(path) for path in run_paths]
    contents = [run.read_toml() for run in opened]
    summaries = [runs.read_json(run.summary) if run.summary.exists() else {} for run in opened]
    evidence = [_validated_on(toml) for toml in contents]
    rows: list[dict[str, Any]] = []
    for run, toml, summary, seen in zip(opened, contents, summaries, evidence, strict=True):
        row = _row(run, toml, summary)
        row["same_data"] = seen == evidence[0]
        row["settings"] = _differing(toml, contents)
        row["note"] = _note(row, rows[0] if rows else row, seen, evidence[0])
        rows.append(row)
    return rows


def _row(run: runs.Run, toml: dict[str, Any], summary: dict[str, Any]) -> dict[str, Any]:
    verdict, model = summary.get("verdict", {}), summary.get("model", {})
    own = verdict["rows"][0] if verdict else {}
    metric, value, error = verdict.get("metric"), own.get("value"), own.get("error")
    evaluation = summary.get("evaluation", {})
    if metric == "loss" and evaluation.get("nats_per_character") is not None:
        # A loss is per token, and tokens differ between tokenizers; characters are the same for all.
        metric, value, error = "nats_per_character", evaluation["nats_per_character"], None
    return {
        "run": run.name,
        "task": toml.get("task"),
        "model": model.get("description"),
        "parameters": model.get("parameters"),
        "metric": metric,
        "value": value,
        "error": error,
        "seconds": round(sum(summary["phases"].values()), 1) if "phases" in summary else None,
    }


def _validated_on(toml: dict[str, Any]) -> dict[str, Any]:
    """What decides the records of the validation part: a file of its own, or a file and how it was split."""
    data, settings = toml.get("data", {}), toml.get("settings", {})
    own = "valid" in data
    names = SPLIT.get(toml.get("task", ""), SPLIT["classify"])
    deciding = {name: settings.get(name) for name in names if not (own and name in NOT_OF_A_FILE)}
    return {"file": data.get("valid" if own else "train", {}).get("sha256"), "own file": own, **deciding}


def _note(row: dict[str, Any], first: dict[str, Any], seen: dict[str, Any], seen_first: dict[str, Any]) -> str | None:
    if row["value"] is None:
        return "unfinished: it has no score yet"
    if row["task"] != first["task"]:
        return f"another task than {first['run']}: cannot be compared"
    if first["metric"] is not None and row["metric"] != first["metric"]:
        return f"another metric than {first['run']}: cannot be compared"
    if seen != seen_first:
        names = [name for name in {**seen_first, **seen} if seen.get(name) != seen_first.get(name)]
        return f"validated on other data than {first['run']} ({', '.join(names)} differ): cannot be compared"
    return None


def _differing(toml: dict[str, Any], contents: list[dict[str, Any]]) -> str:
    """The settings of a run that are not the same in all runs: ``hidden 256, lr 0.002``."""
    settings = toml.get("settings", {})
    names = {name: None for other in contents for name in other.get("settings", {})}
    tables = [other.get("settings", {}) for other in contents]
    found = [name for name in names if any(table.get(name) != tables[0].get(name) for table in tables)]
    return ", ".join(f"{name} {settings[name]}" for name in found if name in settings)
