"""``seqloom demo``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from seqloom.cli.output import note
from seqloom.cli.usage import Whole
from seqloom.errors import SeqloomError

MOST_CHARACTERS = 1_000_000
"""As much text as a small model can learn from in a minute."""
SETTINGS: dict[str, Any] = {"cell": "gru", "layers": 1, "hidden": 256, "weight_dropout": 0.0, "tokenizer": "char"}
PROMPT = "def "
LENGTH = 300


def demo(*, budget: str = "60s", threads: Whole | None = None, out: Path | None = None, quiet: bool = False) -> None:
    """Learn Python's own source text for a minute: train, evaluate, generate, report.

    A character GRU reads the standard library that every Python has, says what it scores beside simpler models, and
    then writes 300 characters of its own.

    Args:
        budget: Wall-clock time of the training: 20s, 1m, 10m.
        threads: Processor threads; all that this process may use when not given.
        out: Run folder to make [runs/python-language-1, -2 ...].
        quiet: Tell nothing but errors and the generated text.
    """
    from seqloom.predict import load
    from seqloom.run import write_text
    from seqloom.training.train import train

    text = _source_text()
    # Beside the run and not in a temporary folder: after Ctrl-C, resume reads it again.
    folder = Path("runs") if out is None else out.parent
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "python.txt"
    write_text(file, text)
    run = train(file, task="language", budget=budget, out=out, quiet=quiet, threads=threads, **SETTINGS)
    if not quiet:
        note(f"\n{LENGTH} characters that it writes after {PROMPT!r}:\n")
    print(PROMPT, end="", flush=True)
    for piece in load(run.path).generate(PROMPT, length=LENGTH, temperature=0.7):
        sys.stdout.write(piece)
        sys.stdout.flush()
    print(flush=True)
    if not quiet:
        note(f"\nreport        {run.path / 'report.html'}")
        note(f"more of it    seqloom generate {run.path} --prompt 'class ' --length 1000")


def _source_text() -> str:
    """The source text of the standard library's own modules, in the order of their names.

    Raises:
        SeqloomError: this Python came without its source text.
    """
    import sysconfig

    library = Path(sysconfig.get_path("stdlib"))
    texts: list[str] = []
    left = MOST_CHARACTERS
    for file in sorted(library.glob("*.py")):
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if "\0" in text:
            continue
        texts.append(text[:left])
        left -= len(texts[-1])
        if left <= 0:
            break
    if left > MOST_CHARACTERS - 10_000:
        help = "train on a text of your own: seqloom train FILE.txt"
        raise SeqloomError(f"there is too little source text in {library} to learn from", help=help)
    return "\n".join(texts)
