"""The commands of the README run, in their order, with budgets of seconds."""

from __future__ import annotations

import math
import os
import random
import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import seqloom
from seqloom.cli.overview import COMMANDS

ROOT = Path(__file__).parents[1]
README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
SOURCE = str(Path(seqloom.__file__).parents[1])

SMALL = "--hidden 8 --embedding 8 --threads 1"
SHORTER = [
    ("--budget 10m", f"--budget 5s {SMALL}"),
    ("--budget 5m", "--epochs 1 --hidden 8 --threads 1"),
    ("seqloom bench", "seqloom bench --seconds 0.001 --threads 1"),
    ("seqloom demo", "seqloom demo --budget 8s --threads 1"),
]
"""What a minute or ten becomes in a test; everything else runs as it is written."""


def blocks(file: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", file.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(file: Path) -> list[str]:
    lines = [line for block in blocks(file, "console") for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    return [line.removeprefix("$ ").partition(" #")[0].strip() for line in lines]


def write_reviews(path: Path, rows: int, seed: int) -> None:
    draw = random.Random(seed)
    kinds = {"good": ["a fine film", "정말 좋은 영화", "warm and moving"], "bad": ["a dull film", "나쁜 영화", "loud"]}
    lines = ["review,sentiment"]
    for number in range(rows):
        label = draw.choice(list(kinds))
        lines.append(f"{draw.choice(kinds[label])} seen on day {number},{label}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def write_temperatures(path: Path, hours: int) -> None:
    draw, start = random.Random(3), datetime(2026, 1, 1)
    lines = ["time,temperature"]
    for hour in range(hours):
        value = 12 + 6 * math.sin(2 * math.pi * hour / 24) + draw.gauss(0, 1)
        lines.append(f"{start + timedelta(hours=hour)},{value:.2f}")
    path.write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of, and the command on the path."""
    home = tmp_path_factory.mktemp("readme")
    for seed, name in enumerate(["reviews", "more-reviews", "new-reviews"]):
        write_reviews(home / f"{name}.csv", 240 if seed == 0 else 40, seed)
    draw = random.Random(5)
    words = ["The sea", "is wide", "and cold", "바다는", "넓고", "푸르다", "tonight"]
    (home / "poems.txt").write_text("\n".join(" ".join(draw.sample(words, 4)) for _ in range(400)), "utf-8")
    write_temperatures(home / "temps.csv", 1500)
    (home / "bin").mkdir()
    command = home / "bin" / "seqloom"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seqloom "$@"\n', "utf-8")
    command.chmod(0o755)
    return home


def shell(home: Path, line: str) -> subprocess.CompletedProcess[str]:
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": SOURCE, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        line, shell=True, cwd=home, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )


def test_the_commands_of_the_readme_run_one_after_the_other(home):
    for line in commands(README):
        if line.startswith("make "):
            continue
        for long, short in SHORTER:
            line = line.replace(long, short)
        done = shell(home, line)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        assert done.stdout or done.stderr


def test_the_python_example_runs(home):
    code = "\n".join(blocks(README, "python")).replace('budget="10m"', 'budget="5s", hidden=8, embedding=8, threads=1')
    (home / "example.py").write_text(code, "utf-8")
    done = shell(home, f'"{sys.executable}" example.py')
    assert done.returncode == 0, done.stderr
    assert re.search(r"'label': '(good|bad)', 'probability': [01]\.", done.stdout)


def test_the_makefile_has_the_targets_of_the_readme():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [line.split()[1] for line in commands(README) if line.startswith("make ")]
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_an_example(name):
    assert any(re.search(rf"\bseqloom {name}\b", line) for line in commands(README))


def test_both_languages_give_the_same_commands_and_code():
    assert commands(KOREAN) == commands(README)
    assert blocks(KOREAN, "python") == blocks(README, "python")


@pytest.mark.parametrize("file", [README, KOREAN], ids=["english", "korean"])
def test_each_link_leads_to_a_file(file):
    links = re.findall(r"\]\(([^)#]+)\)", file.read_text("utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
