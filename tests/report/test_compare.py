"""Runs stand side by side, and those judged on other data are told apart."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from seqloom import run as runs
from seqloom.errors import RunError
from seqloom.report.compare import compare

GOOD, BETTER = [[90, 10], [10, 90]], [[95, 5], [5, 95]]


def test_rows_side_by_side(new_run: Callable[..., Path]) -> None:
    first, second = compare([new_run("a", GOOD), new_run("b", BETTER, hidden=512, lr=0.001)])
    assert (first["run"], first["task"], first["metric"], first["value"]) == ("a", "classify", "accuracy", 0.9)
    assert first["error"] == pytest.approx(1.96 * (0.9 * 0.1 / 200) ** 0.5)
    assert (first["model"], first["parameters"]) == ("gru 1 x 256 over 31,204 words", 8_312_066)
    assert first["seconds"] == 568.4  # all phases
    assert second["value"] == 0.95 and second["same_data"] and second["note"] is None
    assert first["settings"] == "hidden 256, lr 0.002" and second["settings"] == "hidden 512, lr 0.001"


@pytest.mark.parametrize(
    ("settings", "sha", "named"),
    [({}, "ab" * 32, "file"), ({"seed": 2}, "3f" * 32, "seed"), ({"split": 0.2}, "3f" * 32, "split"),
     ({"label": "stars"}, "3f" * 32, "label")],
)  # fmt: skip
def test_other_validation_data_cannot_be_compared(
    new_run: Callable[..., Path], settings: dict[str, object], sha: str, named: str
) -> None:
    rows = compare([new_run("a", GOOD), new_run("b", BETTER, sha, **settings)])
    assert [row["same_data"] for row in rows] == [True, False]
    assert f"validated on other data than a ({named} differ): cannot be compared" == rows[1]["note"]


def add_valid(path: Path, sha: str) -> None:
    run = runs.Run.open(path)
    toml = run.read_toml()
    run.write_toml(
        toml | {"data": toml["data"] | {"valid": {"file": "v.csv", "bytes": 1, "sha256": sha, "path": "/v.csv"}}}
    )


def test_validation_file_of_its_own_decides(new_run: Callable[..., Path]) -> None:
    paths = [
        new_run("a", GOOD),
        new_run("b", BETTER, "ab" * 32, seed=2, split=0.3),
        new_run("c", GOOD),
        new_run("d", GOOD),
    ]
    for path, sha in zip(paths[:3], ("01" * 32, "01" * 32, "02" * 32), strict=True):
        add_valid(path, sha)
    # b was trained on another file with another seed, and judged on the same one; d has no file of its own.
    assert [row["same_data"] for row in compare(paths)] == [True, True, False, False]


def test_language_is_compared_by_characters(language_run: Path) -> None:
    (row,) = compare([language_run])
    assert (row["metric"], row["value"]) == ("nats_per_character", 1.4803)


@pytest.mark.parametrize(("name", "value", "same"), [("horizon", 48, False), ("test", 0.2, False), ("hidden", 9, True)])
def test_forecasts_are_compared_over_the_same_steps_and_rows(
    make: Callable[..., Path], name: str, value: object, same: bool
) -> None:
    first, second = compare([make("a"), make("b", **{name: value})])
    assert (first["metric"], first["value"]) == ("mae", 0.4123)
    assert second["same_data"] is same
    assert (second["note"] is None) is same


@pytest.fixture
def make(tmp_path: Path, forecast_run: Path) -> Callable[..., Path]:
    """Copies of the forecast run, each with settings of its own."""

    def copy(name: str, **settings: object) -> Path:
        path = shutil.copytree(forecast_run, tmp_path / name)
        run = runs.Run.open(path)
        toml = run.read_toml()
        run.write_toml(toml | {"settings": toml["settings"] | {"horizon": 24, "test": 0.1} | settings})
        return path

    return copy


def test_another_task_cannot_be_compared(new_run: Callable[..., Path], language_run: Path) -> None:
    rows = compare([new_run("a", GOOD), language_run])
    assert "another task" in rows[1]["note"]


def test_unfinished_run_has_no_score(new_run: Callable[..., Path], unfinished_run: Path) -> None:
    rows = compare([unfinished_run, new_run("a", GOOD)])
    assert rows[0]["value"] is None and "unfinished" in rows[0]["note"]
    assert rows[1]["note"] is None


def test_what_is_no_run_is_an_error(new_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(RunError):
        compare([new_run("a", GOOD), tmp_path / "b"])
    assert compare([]) == []
