"""The command line: what a person touches first.

``main`` runs one command and turns whatever goes wrong into one clear message and an exit status. Results go to
standard output, everything else to standard error, and nothing is asked. Each command imports what it needs when it is
called, so that ``seqloom --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper

from seqloom.errors import SeqloomError

__all__ = ["main"]

INTERRUPTED = 130
"""As a shell reports a process that Ctrl-C ended."""
PIPE_CLOSED = 141
"""As a shell reports a process whose reader went away."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Args:
        arguments: the words after ``seqloom``; those of this process when not given.
    """
    _share_the_processor()
    _write_utf8()
    try:
        _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return 0
    except SeqloomError as error:
        _debug()
        return _say(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at its end; there is nobody left to read it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except Exception as error:
        _debug()
        help = "please report it with the command you gave; SEQLOOM_DEBUG=1 shows where it happened"
        return _say(SeqloomError(f"a fault of seqloom itself: {type(error).__name__}: {error}", help=help))


def _run(arguments: list[str]) -> None:
    if arguments in ([], ["--help"], ["-h"]):  # half of a start is the parser's import
        from seqloom.cli.overview import print_overview

        print_overview()
    else:
        from seqloom.cli.app import run

        run(arguments)


def _share_the_processor() -> None:
    """Lets torch's threads sleep soon while they wait for each other, unless the user says otherwise.

    By default they spin for milliseconds: on a machine with other work to do a training step was seen to take 30 times
    as long. Spinning shortly costs a tenth on an idle machine. OpenMP reads this once, before torch is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _write_utf8() -> None:
    """What a program or a file receives is UTF-8 whatever the locale; a terminal gets what it can show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=stream.encoding if stream.isatty() else "utf-8", errors="replace")


def _say(error: SeqloomError) -> int:
    sys.stdout.flush()
    print(error, file=sys.stderr)
    return error.exit_status


def _debug() -> None:
    if os.environ.get("SEQLOOM_DEBUG"):
        import traceback

        traceback.print_exc()
