"""Writes report.html: everything that a run knows about itself, in one file that opens offline."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from seqloom import run as runs
from seqloom.report import forecast, plots
from seqloom.report.canvas import COLOURS, narrow
from seqloom.report.verdict import judge, metric_name, show, show_error

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["write"]

TEXT_LENGTH = 280  # characters of a mistake that are read before the eye moves on
MOST_MISTAKES = 20
MOST_ROWS = 25  # of a table before the rest is folded away
SMALLEST = 0.75  # of a plot's drawn size: smaller words cannot be read

HEAD = ("format", "seqloom", "created", "task", "settings", "data", "versions", "machine")
DETAILS = ("confusion", "per_label", "mistakes", "samples", "forecast")

# Control characters would vanish in a browser, or break the page: their pictures stand for them.
CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"} | {127: 0x2421}


def write(run_path: str | Path) -> Path:
    """Writes RUN/report.html anew from what the run folder holds; returns its path.

    A run that is not finished gets a page of what there is, which says so.

    Raises:
        RunError: the folder is not a run, one of its files is damaged, or the page cannot be written.
    """
    run = runs.Run.open(run_path)
    summary = runs.read_json(run.summary) if run.summary.exists() else {}
    text = _template().render(_contents(run, run.read_toml(), summary, run.read_metrics()))
    runs.write_text(run.report, text.translate(CONTROLS))
    return run.report


def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cut": cut, "duration": duration, "moment": moment, "number": number}
    environment.filters |= {"metric_name": metric_name, "show": show, "show_error": show_error}
    return environment.get_template("page.html")


def _contents(
    run: runs.Run, toml: Mapping[str, Any], summary: Mapping[str, Any], metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    """Everything the template shows, section by section; a section without contents is empty or None."""
    evaluation = summary.get("evaluation", {})
    counts = evaluation.get("confusion")
    task = str(toml.get("task", summary.get("task", "")))
    return {
        "run": run,
        "task": task,
        "toml": toml,
        "model": summary.get("model", {}),
        "split": summary.get("split", {}),
        "stopped": summary.get("stopped"),
        "unknown": summary.get("unknown"),
        "reached": metrics[-1] if metrics else None,
        "verdict": _verdict(summary),
        "tested": summary.get("verdict", {}).get("part") == "test",
        "scores": _scores(evaluation),
        "curves": _curves(metrics, summary, task),
        "forecast": forecast.contents(evaluation["forecast"], inline) if evaluation.get("forecast") else None,
        "confusion": _confusion(counts) if counts and counts["labels"] else None,
        "per_label": sorted(evaluation.get("per_label", []), key=lambda row: -row["records"]),
        "mistakes": evaluation.get("mistakes", [])[:MOST_MISTAKES],
        "samples": evaluation.get("samples", []),
        "seen": _seen(summary.get("data", {})),
        "files": toml.get("data", {}),
        "phases": _phases(summary.get("phases", {})),
        "settings": toml.get("settings", {}),
        "others": {name: value for name, value in toml.items() if name not in HEAD},
        "commands": _commands(run.path, task, finished="verdict" in summary),
        "most_rows": MOST_ROWS,
        "text_length": TEXT_LENGTH,
    }


# Sections ---------------------------------------------------------------------------------------------------------


def _verdict(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """The verdict with its sentence, and for each row the length of its bar.

    Before a model is judged, its baselines are the whole table.
    """
    verdict = summary.get("verdict")
    if verdict is None:
        rows = summary.get("baselines")
        if not rows:
            return None
        # Losses are not shares: of the tasks there are, only those judged by their loss give value and loss as one.
        by_loss = rows[0].get("loss") == rows[0]["value"]
        verdict = {"metric": "loss" if by_loss else "accuracy", "higher_is_better": not by_loss, "rows": rows}
        judgement = None
    else:
        rows, judgement = verdict["rows"], judge(verdict)
    rivals = rows if judgement is None else rows[1:]
    longest = max((row["value"] for row in rows if row.get("value") is not None), default=0)
    bars = [max(0.0, 100 * (row.get("value") or 0) / longest) if longest else 0.0 for row in rows]
    losses = verdict["metric"] != "loss" and any(row.get("loss") is not None for row in rivals)  # alone it says nothing
    return {**verdict, "judgement": judgement, "losses": losses, "table": list(zip(rows, bars, strict=True))}


def _scores(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """The figures by their names; one without a value is not defined on these data."""
    scores = {name: value for name, value in evaluation.items() if name not in DETAILS}
    return {metric_name(name): "not defined" if value is None else show(name, value) for name, value in scores.items()}


def _curves(metrics: list[dict[str, Any]], summary: Mapping[str, Any], task: str) -> Markup | None:
    if not any(row.get("loss") is not None for row in metrics):
        return None
    verdict = summary.get("verdict", {"metric": "accuracy", "higher_is_better": True} if task == "classify" else {})
    best = _best_step(metrics, verdict.get("metric", "loss"), verdict.get("higher_is_better", False))
    name = "Curves of loss and metric over the steps of the training"
    return inline(lambda target: plots.curves(metrics, target, best=best), name, "curves", fluid=True)


def _best_step(metrics: Iterable[Mapping[str, Any]], metric: str, higher_is_better: bool) -> int | None:
    """The step of the best validation score, the first one of equals: its weights are the run's."""
    sign = 1 if higher_is_better else -1
    scores = [(row.get(metric), row["step"]) for row in metrics if row.get("part") == "valid"]
    found = [(-sign * value, step) for value, step in scores if value is not None]
    return min(found)[1] if found else None


def _confusion(table: Mapping[str, Any]) -> dict[str, Any]:
    stand_ins: dict[str, str] = {}

    def draw(target: IO[bytes]) -> None:
        stand_ins.update(plots.confusion(table["labels"], table["counts"], target))

    svg = inline(draw, "Confusion matrix: true labels in rows, predicted labels in columns", "confusion")
    return {"svg": svg, "stand_ins": stand_ins, "labels": len(table["labels"]), "most": plots.MOST_LABELS}


def _seen(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the inspection saw: plain facts, the columns, the shares of each category, texts with two labels, notes."""
    facts = {
        "rows": data.get("rows"),
        "rows left out": data.get("rejects") or None,
        "format": data.get("format"),
        "text": data.get("text"),
        "label": data.get("label"),
        "repeated texts": data.get("duplicates") if data.get("text") else None,
        "texts with two labels": data.get("conflicting") if data.get("label") else None,
        "Hangul": f"{100 * data['hangul']:.0f} %" if data.get("hangul") else None,
    }
    columns = data.get("columns", [])
    return {
        "facts": {name: value for name, value in facts.items() if value is not None} | data.get("facts", {}),
        "columns": columns,
        "texts": bool(data.get("text")) and all("characters" in column and "words" in column for column in columns),
        "categories": [column for column in columns if column.get("kind") == "category" and column.get("top")],
        "conflicting": data.get("conflicting", 0),
        "conflicts": data.get("conflicts", []),
        "notes": data.get("notes", []),
    }


def _phases(phases: Mapping[str, float]) -> list[tuple[str, float, float]]:
    total = sum(phases.values())
    return [(name, seconds, 100 * seconds / total) for name, seconds in phases.items()] if total else []


def _commands(path: Path, task: str, *, finished: bool) -> list[tuple[str, str]]:
    place = shlex.quote(str(path))
    if not finished:
        return [("Go on with the training", f"seqloom resume {place}")]
    if task == "language":
        return [
            ("Generate text", f'seqloom generate {place} --prompt "..." --length 300 --temperature 0.8'),
            (
                "From Python",
                f'import seqloom\n\nprint("".join(seqloom.load({str(path)!r}).generate("...", length=300)))',
            ),
        ]
    if task == "forecast":
        return [
            ("Forecast what comes after the end of a file", f"seqloom predict {place} FILE"),
            ("Forecast after each row of a stream", f"tail -f FILE | seqloom predict {place} -"),
            ("Judge it on another file", f"seqloom evaluate {place} FILE"),
            ("From many origins, one after the other", f"seqloom backtest {place} FILE --origins 50 --plot errors.png"),
            (
                "From Python",
                f'import seqloom\n\nfor row in seqloom.load({str(path)!r}).predict_file("FILE"):\n    print(row)',
            ),
        ]
    return [
        ("Predict a file, a line each", f"seqloom predict {place} FILE"),
        ("Judge another file that has labels", f"seqloom evaluate {place} FILE"),
        ("From Python", f'import seqloom\n\nprint(seqloom.load({str(path)!r}).predict(["..."]))'),
    ]


# Pictures ---------------------------------------------------------------------------------------------------------


def inline(draw: Callable[[IO[bytes]], None], name: str, prefix: str, *, fluid: bool = False) -> Markup:
    """A plot as SVG inside the page, in the page's colours, so that it follows light and dark.

    Args:
        draw: writes an SVG file to a binary buffer.
        name: what a screen reader says.
        prefix: begins every id, so that two plots on a page do not meet.
        fluid: as wide as the page, and drawn a second time for a phone; otherwise as wide as it was drawn, and where
            there is less room it scrolls.
    """
    from markupsafe import Markup

    if not fluid:
        return Markup(f'<div class="scroll">{_svg(draw, name, prefix)}</div>')
    with narrow():
        phone = _svg(draw, name, f"{prefix}-narrow", width="100%")
    wide = _svg(draw, name, prefix, width="100%")
    return Markup(f'<div class="wide">{wide}</div><div class="phone">{phone}</div>')


def _svg(draw: Callable[[IO[bytes]], None], name: str, prefix: str, width: str = "") -> str:
    """The SVG of a plot; without a width as wide as it was drawn. Safe: we drew it, and its labels are outlines."""
    from markupsafe import escape

    buffer = BytesIO()
    draw(buffer)
    svg = buffer.getvalue().decode()
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg[svg.index("<svg") :], flags=re.S)
    ids: dict[str, str] = {}
    for found in re.findall(r'\bid="([^"]*)"', svg):
        ids.setdefault(found, f"{prefix}-{len(ids)}")
    svg = re.sub(r'\bid="([^"]*)"', lambda match: f'id="{ids[match[1]]}"', svg)
    svg = re.sub(r'href="#([^"]*)"', lambda match: f'href="#{ids[match[1]]}"', svg)
    svg = re.sub(r"url\(#([^)]*)\)", lambda match: f"url(#{ids[match[1]]})", svg)
    for colour, value in COLOURS.items():
        svg = svg.replace(value, f"var(--{colour})")
    drawn = float(re.findall(r'width="([\d.]+)pt"', svg)[0])
    widths = f"width: {width}" if width else f"width: {drawn:g}pt; min-width: {SMALLEST * drawn:g}pt"
    head = f'<svg role="img" aria-label="{escape(name)}" style="{widths}"'
    svg = re.sub(r'^<svg([^>]*?) width="[^"]*"', rf"{head}\1", svg)
    svg = re.sub(r'^(<svg[^>]*?) height="[^"]*"', r"\1", svg)
    return re.sub(r"\n\s*", "\n", svg)


# Words ------------------------------------------------------------------------------------------------------------


def cut(text: object, length: int = TEXT_LENGTH) -> str:
    """A text on one line, cut to a readable length."""
    folded = " ".join(str(text).split())
    return folded if len(folded) <= length else f"{folded[: length - 1].rstrip()}…"


def number(value: object) -> str:
    """A value as people read it: thousands with commas, five digits of a fraction, words of a truth."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,.5g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(number, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {number(item)}" for name, item in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def duration(seconds: float) -> str:
    """``0.42 s``, ``9 min 20 s``, ``1 h 4 min``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(time: object) -> str:
    """A date and time of run.toml without what nobody reads: ``2026-05-04 13:37 UTC``."""
    try:
        return f"{datetime.fromisoformat(str(time)).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return str(time)
