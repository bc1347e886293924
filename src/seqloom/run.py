"""The run folder: what one training leaves behind, and how it is made, opened, sealed and checked.

    run.toml            task, settings, data files with size and SHA-256, versions, machine
    preprocess/         all that prediction needs beside the weights
    model.safetensors   the best weights
    checkpoints/        see training/checkpoint.py
    metrics.jsonl       a line per report         rejects.jsonl   rows of the data that were left out
    examples.jsonl      inputs with predictions   summary.json    the verdict and the evaluation
    report.html         one file for a human      manifest.json   SHA-256 of what prediction reads: training is finished

Every file is written as ``files.py`` does it. Nothing is pickled, and no name read from a file is ever imported. One
training at a time holds a run; any number may read it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqloom.errors import RunError, nearest
from seqloom.files import (
    COPY,
    append_jsonl,
    cannot_write,
    fingerprint,
    read_json,
    read_jsonl,
    read_toml,
    sha256,
    sync_folder,
    write_bytes,
    write_json,
    write_jsonl,
    write_text,
    write_toml,
)

__all__ = [
    "FORMAT",
    "Run",
    "append_jsonl",
    "check_free",
    "default_path",
    "environment",
    "fingerprint",
    "read_json",
    "read_jsonl",
    "read_toml",
    "sha256",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_text",
    "write_toml",
]

FORMAT = 1
"""The version of the folder's layout; a higher one is refused."""


def environment() -> dict[str, dict[str, Any]]:
    """What a result depends on beside its settings: the ``versions`` and the ``machine`` of run.toml."""
    import platform
    from importlib import metadata

    versions = {"python": platform.python_version()}
    for package in ("torch", "numpy", "polars", "scikit-learn", "tokenizers", "safetensors"):
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    processor = platform.processor() or platform.machine()
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
        processor = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    machine = {"system": platform.platform(), "processor": processor, "cores": os.cpu_count()}
    return {"versions": versions, "machine": machine}


def default_path(file: str | Path, task: str) -> Path:
    """``runs/<stem>-<task>-<n>`` with the first n that is free: ``runs/reviews-classify-1`` for reviews.csv.gz."""
    name = Path(file).name.removesuffix(".gz")
    stem = Path(name).stem.lstrip(".-")[:60] or "data"
    number = 1
    while (path := Path("runs") / f"{stem}-{task}-{number}").exists():
        number += 1
    return path


def check_free(path: str | Path, *, overwrite: bool = False) -> None:
    """Refuses a folder that ``Run.create`` would refuse, before hours are spent on what goes into it.

    Raises:
        RunError: there is a run, and without ``overwrite`` or in training; or something that is not a run.
    """
    run = Run._at(path)
    run._check_free(overwrite)
    if run.toml.exists():
        with run.locked():
            pass


@dataclass(frozen=True)
class Run:
    """One run folder. ``create`` and ``open`` check it; the properties are the paths of its files."""

    path: Path

    @classmethod
    def create(cls, path: str | Path, contents: Mapping[str, Any] | None = None, *, overwrite: bool = False) -> Run:
        """Makes the folder with its run.toml; ``contents`` as for ``write_toml``.

        A run that is replaced is renamed aside until the new run.toml is written, and deleted then.

        Raises:
            RunError: there is a run and no ``overwrite``, there is something that is not a run, or writing failed.
        """
        import shutil

        run = cls._at(path)
        empty = run._check_free(overwrite)
        try:
            if overwrite and run.toml.exists():
                with run.locked():
                    shutil.rmtree(run._aside, ignore_errors=True)
                    os.replace(run.path, run._aside)
            run.path.mkdir(parents=True, exist_ok=empty)
            run.preprocess.mkdir()  # of two processes that come this far, one fails here
            run.checkpoints.mkdir()
            sync_folder(run.path.parent)
            run.write_toml(contents or {})  # last: with this file it is a run
        except FileExistsError as error:
            raise RunError(f"{run.path} has just been made by another process", help="name another folder") from error
        except BaseException as error:
            run._undo_creation(keep_folder=empty)
            if isinstance(error, OSError):
                raise cannot_write(run.path, error, 0) from error
            raise
        shutil.rmtree(run._aside, ignore_errors=True)
        return run

    @classmethod
    def _at(cls, path: str | Path) -> Run:
        """A run to be made: of a link the folder it leads to, so that the link stays; of ``.`` one with a name."""
        path = Path(path)
        return cls(path.resolve() if path.is_symlink() or not path.name else path)

    def _check_free(self, overwrite: bool) -> bool:
        """Refuses what must not be replaced; says whether there is an empty folder already."""
        try:
            if self._aside.exists():
                self._undo_creation()
            is_run, exists = self.toml.exists(), self.path.exists()
            empty = self.path.is_dir() and not any(self.path.iterdir())
        except OSError as error:
            raise cannot_write(self.path, error, 0) from error
        if is_run and not overwrite:
            help = "name another folder with --out, or pass --overwrite to replace it"
            raise RunError(f"{self.path} holds a run already", help=help)
        if exists and not is_run and not empty:
            help = "name another folder with --out; only a run is ever replaced"
            raise RunError(f"{self.path} exists and is not a run folder", help=help)
        return empty

    def _undo_creation(self, keep_folder: bool = False) -> None:
        """Takes back a creation that did not come to its run.toml, and puts the run back that it was to replace."""
        if self.toml.exists():
            return
        with suppress(OSError):
            self.path.joinpath(f".{self.toml.name}.tmp").unlink()
        for folder in (self.preprocess, self.checkpoints, *(() if keep_folder else (self.path,))):
            with suppress(OSError):
                folder.rmdir()  # takes empty folders only
        if self._aside.exists() and not self.path.exists():
            os.replace(self._aside, self.path)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Opens a run that is there.

        Raises:
            RunError: there is no such folder, it is not a run, its run.toml is damaged or of a newer version.
        """
        run = cls(Path(path))
        try:
            if not run.path.exists():
                raise RunError(f"there is no run folder {run.path}", help=run._neighbours())
            if not run.path.is_dir():
                raise RunError(f"{run.path} is a file, not a run folder", help=run._neighbours())
            if not run.toml.exists():
                raise RunError(f"{run.path} is not a run folder: it has no run.toml", help=run._neighbours())
        except OSError as error:
            raise RunError(f"cannot read {run.path}: {error.strerror}", help="allow reading the folder") from error
        contents = run.read_toml()
        version = contents.get("format")
        if not isinstance(version, int) or version < 1:
            raise RunError(f"{run.toml} is damaged: it does not say its format", help=COPY)
        if version > FORMAT:
            maker = f"seqloom {contents.get('seqloom', 'of a newer version')}"
            message = f"{run.path} was made by {maker}, in format {version}; this one reads up to {FORMAT}"
            raise RunError(message, help="update seqloom")
        return run

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the run for a training that writes into it; reading it stays possible.

        The system holds the lock, on run.toml, until the process ends, however it does: nothing is left behind.

        Raises:
            RunError: another training holds it, or the file system knows no locks.
        """
        try:
            descriptor = os.open(self.toml, os.O_RDWR)  # for writing: network file systems lock nothing else
        except OSError as error:
            raise cannot_write(self.toml, error, 0) from error
        try:
            self._lock(descriptor)
            yield
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            replaced = not os.path.samestat(os.fstat(descriptor), os.stat(self.toml))
        except BlockingIOError:
            help = "wait for its end or stop it; seqloom predict and seqloom report work meanwhile"
            raise RunError(f"{self.path} is being trained by another process", help=help) from None
        except FileNotFoundError:
            replaced = True
        except OSError as error:
            help = "put the run on a local disk: --out names another folder"
            raise RunError(f"cannot lock {self.toml}: {error.strerror}", help=help) from error
        if replaced:
            raise RunError(f"{self.path} has just been replaced by another process", help="see what it makes of it")

    def _neighbours(self) -> str:
        """What to open instead."""
        if self._aside.exists() and not self.path.exists():
            return f"an --overwrite was cut off; the run before it is in {self._aside}: rename it back"
        others = [file.parent.name for file in self.path.parent.glob("*/run.toml")]
        return nearest(self.name, others) if others else "seqloom train FILE makes a run"

    @property
    def name(self) -> str:
        return self.path.name or self.path.resolve().name

    @property
    def toml(self) -> Path:
        return self.path / "run.toml"

    @property
    def preprocess(self) -> Path:
        return self.path / "preprocess"

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def examples(self) -> Path:
        return self.path / "examples.jsonl"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def rejects(self) -> Path:
        return self.path / "rejects.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def _aside(self) -> Path:
        """Where a run stands while another one takes its place."""
        return self.path.parent / f".{self.name}.replaced"

    @property
    def finished(self) -> bool:
        """Whether the training came to its end: the run is sealed."""
        return self.manifest.exists()

    def write_toml(self, contents: Mapping[str, Any]) -> None:
        """Writes run.toml; ``format``, ``seqloom`` (the version) and ``created`` (UTC) are filled in where missing.

        Raises:
            RunError: the file cannot be written.
        """
        from datetime import UTC, datetime
        from importlib import metadata

        head: dict[str, Any] = {"format": FORMAT, "seqloom": "unknown"}
        with suppress(metadata.PackageNotFoundError):
            head["seqloom"] = metadata.version("seqloom")
        head["created"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        write_toml(self.toml, head | dict(contents))

    def read_toml(self) -> dict[str, Any]:
        """Reads run.toml.

        Raises:
            RunError: it is missing or damaged; says at which line.
        """
        return read_toml(self.toml)

    def append_metrics(self, report: Mapping[str, Any]) -> None:
        """Adds a line to metrics.jsonl.

        Raises:
            RunError: the file cannot be written.
        """
        append_jsonl(self.metrics, report)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The reports of metrics.jsonl, none if there is no file; of two for the same part and step, the later one."""
        reports = read_jsonl(self.metrics) if self.metrics.exists() else []
        return list({(report.get("part"), report.get("step")): report for report in reports}.values())

    def truncate_metrics(self, step: int) -> None:
        """Drops the reports after ``step``, those of a future that a resumed training lives anew."""
        if self.metrics.exists():
            write_jsonl(self.metrics, [report for report in read_jsonl(self.metrics) if report.get("step", 0) <= step])

    def seal(self) -> None:
        """Writes manifest.json, the last file of a training: the size and SHA-256 of every file that prediction needs.

        Raises:
            RunError: run.toml or model.safetensors is missing, or the manifest cannot be written.
        """
        files = [self.toml, self.weights]
        files += sorted(file for file in self.preprocess.rglob("*") if file.is_file() and file.name[0] != ".")
        files += [file for file in (self.summary, self.examples) if file.exists()]
        prints = {file.relative_to(self.path).as_posix(): fingerprint(file) for file in files}
        entries = {name: {"bytes": found["bytes"], "sha256": found["sha256"]} for name, found in prints.items()}
        write_json(self.manifest, {"format": FORMAT, "files": entries})

    def verify(self) -> None:
        """Checks a sealed run against its manifest.

        Raises:
            RunError: the training is not finished, or a file is missing, cut off or changed; names it.
        """
        if not self.finished:
            raise RunError(f"the training of {self.path} is not finished", help=f"seqloom resume {self.path}")
        manifest = read_json(self.manifest)
        entries = manifest.get("files") if isinstance(manifest, dict) else None
        if not isinstance(entries, dict) or not {self.toml.name, self.weights.name} <= entries.keys():
            raise RunError(f"{self.manifest} is damaged: it does not list the run's files", help=COPY)
        for name, sealed in entries.items():
            if not isinstance(sealed, dict) or ".." in Path(name).parts or Path(name).is_absolute():
                raise RunError(f"{self.manifest} is damaged: its entry {name!r} is none of ours", help=COPY)
            file = self.path / name
            if not file.is_file():
                raise RunError(f"{file} is missing", help=COPY)
            found = fingerprint(file)
            if found["bytes"] != sealed.get("bytes"):
                message = f"{file} has {found['bytes']:,} bytes; when training ended it had {sealed.get('bytes')}"
                raise RunError(message, help=COPY)
            if found["sha256"] != sealed.get("sha256"):
                raise RunError(f"{file} was changed after training: its SHA-256 is another", help=COPY)
