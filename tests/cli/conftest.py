"""Fixtures of the command line's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from seqloom.cli import main


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def seqloom(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    """Runs one command in this process: its exit status and what it wrote."""
    monkeypatch.setenv("COLUMNS", "100")

    def run(*arguments: str) -> Answer:
        status = main(arguments)
        return Answer(status, *capsys.readouterr())

    return run
