"""The page about forecasting runs, block by block, with budgets of seconds."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from seqloom.cli import main

DOCS = Path(__file__).parents[1] / "docs"
SHORT = "--epochs 1 --hidden 4 --threads 1"


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks of code with their languages, in the order of the page."""
    text = (DOCS / page).read_text("utf-8")
    return re.findall(r"^```(python|console)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_page_about_forecasting_runs(
    in_tmp: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    shown: dict[str, str] = {}
    for language, block in blocks("forecasting.md"):
        if language == "python":
            exec(block, names)
            continue
        for line in block.splitlines():
            words, _, source = line.removeprefix("$ ").replace("--budget 5m", SHORT).partition(" < ")
            if source:
                monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path(source).read_bytes()), "utf-8"))
            capsys.readouterr()
            assert main(shlex.split(words)[1:]) == 0, capsys.readouterr().err
            shown[line.removeprefix("$ ")] = capsys.readouterr().out
    table = shown["seqloom predict runs/temps temps.csv --csv"].splitlines()
    assert len(table) == 1 + 24
    assert table[1].startswith("2025-03-25")
    stream = shown["seqloom predict runs/temps - < temps.csv"].splitlines()
    assert len(stream) > 100
    assert len(names["forecast"]["temperature"]) == 24
    assert Path("errors.png").read_bytes().startswith(b"\x89PNG")
    assert len(shown["seqloom predict runs/shops shops.csv --csv"].splitlines()) == 1 + 2 * 14


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_each_link_leads_to_a_file(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (DOCS / link).exists()] == []
