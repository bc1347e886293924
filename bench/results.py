"""Sections of RESULTS.md that benches write themselves, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from seqloom.files import write_text
from seqloom.run import environment

__all__ = ["BUSY", "RESULTS", "Load", "finish", "machine", "paragraph", "table", "write_section"]

RESULTS = Path(__file__).with_name("RESULTS.md")
BUSY = 0.1
"""Where others take more of the cores, threads that wait for each other make everything erratic."""


def write_section(name: str, text: str, file: Path = RESULTS) -> None:
    """Puts a section between its two marks in place of the one there; at the end of the file where there is none.

    Raises:
        ValueError: the marks are not there once each.
    """
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    old = file.read_text("utf-8") if file.exists() else ""
    if old.count(begin) != old.count(end) or old.count(begin) > 1:
        raise ValueError(f"{file} must have {begin} and {end} once each, or neither")
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2]
    if not found:
        before, after = before.rstrip() + "\n\n", "\n"
    write_text(file, f"{before}{begin}\n{text.strip()}\n{end}{after}")


def finish(name: str, text: str, *, write: bool, file: Path = RESULTS) -> None:
    """Shows a section, and where told puts it into the file and says so: how a bench ends."""
    print(text)
    if write:
        write_section(name, text, file)
        print(f"written into {file}", file=sys.stderr)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def paragraph(text: str) -> str:
    """Text in lines as long as this repository's."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False) + "\n"


def machine() -> str:
    """The machine, the instruction set, the threads and the version of torch, in one sentence."""
    import torch

    from seqloom.kernels import isa

    settings = [f"{name}={os.environ[name]}" for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY") if name in os.environ]
    parts = [
        environment()["machine"]["processor"],
        f"instruction set {isa()}",
        f"{torch.get_num_threads()} threads on {os.cpu_count()} cores",
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        *settings,
    ]
    return ", ".join(parts)


class Load:
    """How busy everything but this process, and those it started, kept the machine since this object was made."""

    def __init__(self) -> None:
        self.begin = self._seconds()

    def share(self) -> float:
        """The share of the cores' time that others took; 0 where the system does not tell."""
        if self.begin is None or (now := self._seconds()) is None:
            return 0.0
        own, busy, all_cores = (after - before for after, before in zip(now, self.begin, strict=True))
        return max(0.0, busy - own) / max(all_cores, 1e-9)

    def told(self) -> str:
        """In a sentence; an empty one where the system does not tell."""
        if self.begin is None:
            return ""
        doubt = " Ratios from so busy a machine say little." if self.share() > BUSY else ""
        return f"Other processes took {100 * self.share():.0f} % of the cores' time meanwhile.{doubt}"

    @staticmethod
    def _seconds() -> tuple[float, float, float] | None:
        """Processor seconds of this process and its children, of all processes, and of all cores, idle or not."""
        statistics = Path("/proc/stat")
        if not statistics.exists():
            return None
        ticks = [int(value) for value in statistics.read_text().splitlines()[0].split()[1:9]]  # man 5 proc
        idle = ticks[3] + ticks[4]
        own = sum(os.times()[:4])
        second = os.sysconf("SC_CLK_TCK")
        return own, (sum(ticks) - idle) / second, sum(ticks) / second
