"""From a file to a sealed run: read, choose, split, prepare, baselines, train, judge, report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from seqloom import files
from seqloom import run as runs
from seqloom.errors import DataError, RunError
from seqloom.parts import names, part
from seqloom.run import Run
from seqloom.settings import TextSettings, override, read_config
from seqloom.tasks.base import Data, Encoded, Score, Task
from seqloom.training.budget import Clock
from seqloom.training.choice import check_settings, parse
from seqloom.training.console import Console, seconds_in_words

if TYPE_CHECKING:
    from seqloom.data.inspect import Inspection
    from seqloom.data.records import Records

__all__ = ["resume", "train"]

BASELINE_SHARE = 0.1
"""Baselines may take this share of a budget."""


@dataclass
class Session:
    """What one command holds while it works: from the file to the run."""

    task: Task
    clock: Clock
    console: Console
    phases: dict[str, float] = field(default_factory=dict)
    train: Data = None  # type: ignore[assignment]  # filled by `_part`
    valid: Data = None  # type: ignore[assignment]
    test: Data | None = None
    """The part that judges, where it is not the validation part."""
    how: str = ""

    @property
    def judged(self) -> Data:
        """The part that the verdict is on."""
        return self.valid if self.test is None else self.test

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the seconds that its body takes to the phase."""
        start = perf_counter()
        try:
            yield
        finally:
            self.phases[name] = round(self.phases.get(name, 0.0) + perf_counter() - start, 3)


def train(
    file: str | Path,
    *,
    task: str | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    config: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Run:
    """Trains a model on a file and leaves a run folder.

    Args:
        file: csv, tsv, jsonl, parquet or txt, each also with .gz.
        task: classify, forecast or language; the file decides when not given.
        out: the run folder; ``runs/<file>-<task>-<n>`` when not given.
        overwrite: replace the run that is there.
        config: TOML file of settings; keywords go before it.
        quiet: print warnings alone.
        **settings: the settings of the task, as its ``Settings`` class lists them.

    Returns:
        The run, finished and sealed.

    Raises:
        SettingError: a setting is unknown or out of range.
        DataError: the file cannot be used as it is.
        RunError: the folder is taken, or cannot be written.
        Interrupted: by Ctrl-C, after saving.
    """
    from seqloom.training.devices import resolve, use_threads

    start = perf_counter()
    console = Console(quiet)
    values = override(read_config(config) if config else {}, settings)
    task = task or values.get("task")
    values.pop("task", None)
    # Both are said before a file of any size is read.
    check_settings(task, values)
    if out:
        runs.check_free(out, overwrite=overwrite)
    records, seen, name = _look(file, task, values)
    chosen = part("tasks", name)
    found = {"text": seen.text, "label": seen.label}
    values = {key: column for key, column in found.items() if column and key in chosen.Settings.model_fields} | values
    session = Session(chosen(resolve(parse(chosen, values))), Clock(None), console)
    session.clock = Clock(session.task.settings.budget, perf_counter() - start)
    use_threads(session.task.settings.threads)
    console.say(Path(file).name, "\n".join(session.task.introduced(seen)))
    path = Path(out) if out else runs.default_path(file, name)
    _part(session, records)
    session.phases["read"] = round(session.clock.elapsed(), 3)
    with session.phase("prepare"):
        session.task.fit(session.train)
        for name, fact in session.task.facts().items():
            console.say(name, fact)
        examples = _encode(session)
    run = _create(session, path, overwrite)
    with run.locked():
        _save_preparation(session, run, seen)
        return _finish(session, run, *examples)


def resume(run: str | Path | Run, *, quiet: bool = False) -> Run:
    """Goes on with a training that was stopped or killed, to the bits it would have had.

    Raises:
        RunError: the folder is not a run, it is damaged, another process trains it, or the file it was trained on has
            changed.
    """
    opened = run if isinstance(run, Run) else Run.open(run)
    with nullcontext() if opened.finished else opened.locked():
        return _resume(opened, Console(quiet))


def _resume(opened: Run, console: Console) -> Run:
    from seqloom.predict import load_task
    from seqloom.training.devices import use_threads

    if opened.finished:
        opened.verify()
        console.say("run", f"{opened.path} is finished; nothing is left to do")
        return opened
    if not opened.summary.exists():
        raise RunError(
            f"{opened.path} was stopped before its training began",
            help=f"begin anew: seqloom train FILE --out {opened.path} --overwrite",
        )
    session = Session(load_task(opened), Clock(None), console)
    session.task.forget_calibration()
    session.clock = Clock(session.task.settings.budget)
    use_threads(session.task.settings.threads)
    contents = opened.read_toml()
    with session.phase("read"):
        for data in contents["data"].values():
            _check_unchanged(data)
        _part(session, _reread(session.task, contents["data"]["train"]["path"]))
        examples = _encode(session)
    return _finish(session, opened, *examples)


# --- settings and data ------------------------------------------------------------------------------------------------


def _look(file: str | Path, task: str | None, values: dict[str, Any]) -> tuple[Records, Inspection, str]:
    """The records of the file, what was seen in them, and the task that was asked for or fits."""
    from seqloom.data.inspect import inspect
    from seqloom.data.read import read

    needed = TextSettings.parse({key: values[key] for key in values.keys() & TextSettings.model_fields.keys()})
    records = read(file, encoding=needed.encoding, bad_rows=needed.bad_rows)
    seen = inspect(records, text=needed.text, label=values.get("label"))
    if task is None and seen.task is None:
        raise DataError(
            f"no task fits this file; {seen.notes[-1]}" if seen.notes else "no task fits this file",
            code="D040",
            file=file,
            help=f"name the columns with --text and --label, or the task with --task: {', '.join(names('tasks'))}",
        )
    return records, seen, str(task or seen.task)


def _part(session: Session, records: Records) -> None:
    """Checks the records and takes the parts that validate and judge, or reads those from a file of its own."""
    task = session.task
    data = task.check(records, use="train")
    if task.settings.valid:
        session.train, session.valid = data, task.read(task.settings.valid)
        session.how = f"validated on {Path(task.settings.valid).name}"
    else:
        session.train, session.valid, session.how = task.split(data)
        session.test = task.held_out(data)


def _encode(session: Session) -> tuple[Encoded, Encoded]:
    train, valid = session.task.encode(session.train), session.task.encode(session.valid)
    if valid.unknown:
        share = valid.unknown / max(1, valid.tokens)
        session.console.say(
            "", f"{valid.unknown:,} tokens of the validation part ({share:.1%}) are unknown to training"
        )
    return train, valid


def _reread(task: Task, file: str) -> Records:
    from seqloom.data.read import read

    return read(file, encoding=task.settings.encoding, bad_rows=task.settings.bad_rows)


def _check_unchanged(data: dict[str, Any]) -> None:
    found = files.fingerprint(data["path"])
    if found["sha256"] != data["sha256"]:
        raise RunError(
            f"{data['path']} has changed since the training began: its SHA-256 is another",
            help="put the file back as it was, or begin anew with seqloom train",
        )


# --- the run ----------------------------------------------------------------------------------------------------------


def _create(session: Session, path: Path, overwrite: bool) -> Run:
    """Makes the run folder."""
    task = session.task
    sources = {"train": session.train.file} | ({"valid": task.settings.valid} if task.settings.valid else {})
    data = {}
    for role, file in sources.items():
        print_ = files.fingerprint(file)
        data[role] = {**print_, "file": Path(file).name, "path": str(Path(file).resolve())}
    settings = task.settings.plain()
    if task.settings.valid:
        settings["valid"] = data["valid"]["path"]
    contents = {"task": task.name, "settings": settings, "data": data, **runs.environment()}
    return Run.create(path, contents, overwrite=overwrite)


def _save_preparation(session: Session, run: Run, seen: Inspection) -> None:
    """Writes all else that a resumed training needs."""
    task = session.task
    task.save(run.preprocess)
    read = (session.train, session.valid) if task.settings.valid else (session.train,)
    if rejects := [{"file": data.file, **reject.to_dict()} for data in read for reject in data.rejects]:
        files.write_jsonl(run.rejects, rejects)
    summary = {"task": task.name, "run": run.name, "data": {**seen.to_dict(), "facts": task.facts()}}
    files.write_json(run.summary, summary)


def _finish(session: Session, run: Run, train: Encoded, valid: Encoded) -> Run:
    """Baselines, training, judgement, report: what a new training and a resumed one share."""
    from seqloom.training.loop import Loop

    task, console = session.task, session.console
    summary = files.read_json(run.summary)
    if "baselines" not in summary:
        # Without a part held out a rule that knows the data by heart would be no baseline.
        held_out = task.settings.valid or task.settings.split or session.test is not None
        summary["baselines"] = _baselines(session) if held_out else []
        task.save_baselines(run.preprocess)
        rows = {"train": session.train, "valid": session.valid} | ({"test": session.test} if session.test else {})
        summary["split"] = {**{name: len(part) for name, part in rows.items()}, "how": session.how}
        summary["phases"] = session.phases
        files.write_json(run.summary, summary)
    session.phases |= summary["phases"]
    loop = Loop(task, train, valid, run, session.clock, console)
    parameters = sum(p.numel() for p in loop.model.parameters())
    console.say(task.name, f"{task.describe()}, {parameters:,} weights      ({task.choices} to choose)")
    try:
        stopped = loop.fit()
        session.phases["train"] = round(loop.trained, 3)
    finally:
        console.close()
    summary["model"] = {"description": task.describe(), "parameters": parameters}
    summary["stopped"] = stopped
    _judge(session, run, loop, valid, summary)
    _seal(session, run, loop, valid, summary)
    return run


def _baselines(session: Session) -> list[dict[str, Any]]:
    budget = session.task.settings.budget
    with session.phase("baselines"):
        seconds = None if budget is None else budget * BASELINE_SHARE
        found = session.task.baselines(session.train, session.judged, seconds=seconds)
    for score in found:
        if score.note:
            session.console.say("baseline", f"{score.name}: {score.note}")
    return [score.to_dict() for score in found]


def _judge(session: Session, run: Run, loop: Any, valid: Encoded, summary: dict[str, Any]) -> None:
    """Scores the best weights as prediction will use them (fp32), and writes the verdict."""
    from seqloom.training.loop import evaluate

    task = session.task
    loop.model.load_state_dict(loop.best)
    loop.model.eval()
    with session.phase("evaluate"):
        task.calibrate(loop.model, valid, run.preprocess)
        judged = valid if session.test is None else task.encode(session.test)
        evaluation = evaluate(task, loop.model, judged, "fp32", details=True)
    value = evaluation.metrics[task.metric]
    told = {name: evaluation.metrics[name] for name in task.told if name in evaluation.metrics and name != task.metric}
    loss, seconds, error = evaluation.metrics["loss"], session.phases["train"], task.error(evaluation)
    own = Score("this model", value, loss, seconds, error, metrics=told or None)
    rows = [own.to_dict(), *summary.pop("baselines")]
    summary["verdict"] = {
        "part": "valid" if session.test is None else "test",
        "records": evaluation.count,
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "rows": rows,
    }
    summary["evaluation"] = {**evaluation.metrics, **evaluation.details}
    summary["unknown"] = {"tokens": valid.unknown, "share": valid.unknown / max(1, valid.tokens)}
    _tell_verdict(session, summary["verdict"])


def _tell_verdict(session: Session, verdict: dict[str, Any]) -> None:
    """The model beside its baselines, and in a sentence what that means."""
    from seqloom.data.formats.base import counted
    from seqloom.report.verdict import judge, metric_name, show, show_error

    metric = verdict["metric"]
    judged = judge(verdict)
    part = "test" if verdict["part"] == "test" else "validation"
    lines = [f"{counted(verdict['records'], 'prediction')} on the {part} part ({session.how})"]
    table = []
    for row in verdict["rows"]:
        error = f" +- {show_error(metric, row['error'])}" if row.get("error") else ""
        table.append([f"{row['name']:<30}", f"{metric_name(metric)} {show(metric, row['value'])}{error}"])
        for name, value in row.get("metrics", {}).items():
            table[-1].append(f"{metric_name(name)} {'undefined' if value is None else show(name, value)}")
    widths = [max(map(len, column)) for column in zip_longest(*table, fillvalue="")]
    lines += ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)).rstrip() for row in table]
    session.console.say("verdict", "\n".join([*lines, f"{judged.sentence} {judged.remark}".rstrip()]))


def _seal(session: Session, run: Run, loop: Any, valid: Encoded, summary: dict[str, Any]) -> None:
    """Writes the weights, the examples to replay, the summary and the report; the manifest last."""
    from safetensors.torch import save

    from seqloom.report import page

    task, console = session.task, session.console
    with session.phase("report"):
        weights = {name: value.contiguous() for name, value in sorted(loop.best.items())}
        files.write_bytes(run.weights, save(weights))
        inputs = task.kept(valid)
        predictions, _ = task.predict(loop.model, inputs)
        kept = [{"input": given, "prediction": found} for given, found in zip(inputs, predictions, strict=True)]
        files.write_jsonl(run.examples, kept)
        summary["phases"] = session.phases
        files.write_json(run.summary, summary)
        run.seal()
        page.write(run.path)
    console.say("run", f"{run.path}      next: seqloom {task.next_command(run.path)}")
    console.say("report", f"{run.report}      ({seconds_in_words(session.clock.elapsed())} in all)")
