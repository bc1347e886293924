"""Each fault of a file of series is one clear error with its place, of a real process; nothing is left half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import seqloom as package

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
SETTINGS = ["--task", "forecast", "--horizon", "4", "--look-back", "8", "--epochs", "1", "--hidden", "4", "--quiet"]


def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seqloom", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, input=stdin, capture_output=True, text=True, check=False)


def hourly(count: int = 200, **changes: Any) -> list[str]:
    """The lines of a table; ``L17="..."`` puts another line there."""
    lines = ["time,load,heat"]
    for hour in range(count):
        lines.append(f"2024-01-{1 + hour // 24:02} {hour % 24:02}:00,{20 + hour % 24},{hour % 7}.5")
    for place, line in changes.items():
        lines[int(place[1:]) - 1] = line
    return lines


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def without(lines: list[str], *numbers: int) -> list[str]:
    return [line for number, line in enumerate(lines, start=1) if number not in numbers]


def autumn() -> list[str]:
    """Local time of a night with an hour twice."""
    hours = [f"2020-10-{24 + hour // 24:02} {hour % 24:02}:00" for hour in range(96)]
    hours.insert(27, "2020-10-25 02:00")
    return ["time,load", *(f"{time},{number % 24}" for number, time in enumerate(hours))]


def many() -> list[str]:
    lines = ["row,load", *(f"{row},{row % 24}" for row in range(6000))]
    lines[5001] = "5000,oops"
    return lines


CASES: dict[str, tuple[list[str], str, list[str]]] = {
    "out of order": (hourly(L90="2023-12-31 23:00,1,1"), ":90", ["D052", "out of order"]),
    "twice": (hourly(L91=hourly()[89]), ":91", ["D053", "occurs twice, first in line 90"]),
    "another format": (hourly(L90="01/04/2024 16:00,1,1"), ":90", ["D051"]),
    "a gap": (without(hourly(), 90, 91), ":90", ["D054", "2 rows missing", "--missing interpolate"]),
    "text in row 5,002": (many(), ":5002", ["D012", '"oops" is not a number', "--bad-rows skip"]),
    "NaN": (hourly(L90="2024-01-04 16:00,NaN,1", L95="2024-01-04 21:00,,1"), ":90", ["D056", "lines 90, 95"]),
    "infinite": (hourly(L90="2024-01-04 16:00,inf,1"), ":90", ["D057"]),
    "too few rows": (hourly(10), "", ["D058", "look-back 8 and horizon 4 need at least 12"]),
    "summer time": (autumn(), ":29", ["D053", "daylight saving", "UTC"]),
}


@pytest.mark.parametrize("name", CASES)
def test_a_bad_file_is_refused(in_tmp: Path, name: str) -> None:
    lines, place, told = CASES[name]
    write(in_tmp / "bad.csv", lines)
    done = run("train", "bad.csv", *SETTINGS)
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert f"--> bad.csv{place}" in done.stderr
    for words in told:
        assert words in done.stderr
    assert done.stderr.count("error[") == 1
    assert "help: " in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in in_tmp.iterdir()] == ["bad.csv"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a gap", ["--missing", "interpolate"]),
        ("NaN", ["--missing", "interpolate"]),
        ("NaN", ["--missing", "drop"]),
        ("text in row 5,002", ["--bad-rows", "skip", "--missing", "drop"]),
        ("twice", ["--bad-rows", "skip", "--missing", "drop"]),
    ],
)
def test_the_help_of_an_error_helps(seqloom, in_tmp: Path, name: str, settings: list[str]) -> None:
    write(in_tmp / "bad.csv", CASES[name][0])
    answer = seqloom("train", "bad.csv", *SETTINGS, *settings, "--out", "run")
    assert answer.status == 0, answer.err


def test_a_log_of_what_is_not_above_zero(in_tmp: Path) -> None:
    write(in_tmp / "bad.csv", hourly(L90="2024-01-04 16:00,0,1"))
    done = run("train", "bad.csv", *SETTINGS, "--transform", "log", "--target", "load")
    assert done.returncode == 3
    assert "error[D059]" in done.stderr
    assert "--> bad.csv:90" in done.stderr


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--target", "lode"], 'did you mean "load"?'),
        (["--model", "segmnt"], 'did you mean "segment"?'),
        (["--frequency", "often"], '"often" is not a frequency'),
        (["--quantiles", "0.1,0.9"], "0.5 among them"),
        (["--model", "every-step", "--normalization", "instance"], "last-step"),
        (["--text", "load"], '"text" is a setting of'),
        (["--target", "load", "--past", "load"], "named for two roles"),
    ],
)
def test_a_setting_that_cannot_be(seqloom, in_tmp: Path, flags: list[str], told: str) -> None:
    write(in_tmp / "good.csv", hourly())
    answer = seqloom("train", "good.csv", *SETTINGS, *flags)
    assert answer.status in (2, 3)
    assert told in answer.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    done = run("train", str(write(folder / "good.csv", hourly())), *SETTINGS, "--out", str(folder / "run"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_a_column_in_another_place_is_found_and_one_that_is_missing_is_told(trained: Path, in_tmp: Path) -> None:
    lines = [line.split(",") for line in hourly(20)]
    good = run("predict", str(trained), str(write(in_tmp / "a.csv", [",".join(line) for line in lines])))
    swapped = write(in_tmp / "b.csv", [",".join([line[2], line[0], "x", line[1]]) for line in lines])
    assert good.stdout
    assert run("predict", str(trained), str(swapped)).stdout == good.stdout
    missing = run("predict", str(trained), str(write(in_tmp / "c.csv", [",".join(line[:2]) for line in lines])))
    assert missing.returncode == 3
    assert "error[D026]" in missing.stderr
    assert '"heat"' in missing.stderr


@pytest.mark.parametrize(
    ("lines", "flags", "status", "told"),
    [
        (hourly(7), [], 3, "too few rows to be forecast from: 7 of 8"),
        (hourly(30), ["--horizon", "5"], 2, "horizon 5 is asked for, but this run was trained for 4"),
        (hourly(30), ["--quantiles", "0.5,1.5"], 2, "1.5"),
        (hourly(30, L20="2024-01-01 18:00,x,1"), [], 3, "a.csv:20"),
        (hourly(30, L20="2024-01-01 18:00,,1"), [], 3, "a.csv:20"),
        (without(hourly(30), 20), [], 3, "D054"),
    ],
)
def test_predictions_that_cannot_be_made(
    trained: Path, in_tmp: Path, lines: list[str], flags: list[str], status: int, told: str
) -> None:
    done = run("predict", str(trained), str(write(in_tmp / "a.csv", lines)), *flags)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def shops(**rows: int) -> list[str]:
    return ["time,shop,load", *(f"2024-01-{1 + day:02},{shop},{day % 7}" for shop in rows for day in range(rows[shop]))]


def test_a_short_series_stops_no_other(in_tmp: Path) -> None:
    write(in_tmp / "shops.csv", shops(부산=25, seoul=25))
    done = run("train", "shops.csv", *SETTINGS, "--out", "run")
    assert done.returncode == 0, done.stderr
    write(in_tmp / "more.csv", shops(jeju=3, 부산=20, ulsan=7, seoul=9))
    done = run("predict", "run", "more.csv", "--csv")
    assert done.returncode == 3
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["부산"] * 4 + ["seoul"] * 4
    told = 'error[D058]: 2 of 4 series have too few rows to be forecast from: "jeju" 3 of 8'
    assert told in done.stderr
    assert '"ulsan" 7 of 8' in done.stderr
    assert "--> more.csv:4" in done.stderr
    assert "--short-series skip" in done.stderr
    left = run("predict", "run", "more.csv", "--csv", "--short-series", "skip")
    assert (left.returncode, left.stdout) == (0, done.stdout)
    assert "left out: 2 of 4 series" in left.stderr
    assert "error" not in left.stderr
    write(in_tmp / "none.csv", shops(jeju=3, seoul=7))
    for flags in ([], ["--short-series", "skip"]):
        done = run("predict", "run", "none.csv", *flags)
        assert (done.returncode, done.stdout) == (3, "")
        assert "2 of 2 series have too few rows" in done.stderr
        assert "the others" not in done.stderr


@pytest.mark.parametrize(
    ("stdin", "told"),
    [
        ("\n".join(hourly(5)), "5 rows came, and a forecast reads 8"),
        ("", "0 rows came"),
        ("\n".join(hourly(30, L20="2024-01-01 18:00,1")), "standard input:20"),
        ("\n".join(hourly(30, L20="2024-01-01 18:00,x,1")), "standard input:20  column"),
        ("\n" + "\n".join(hourly(30, L20="2024-01-01 18:00,x,1")), "standard input:21  column"),
        ("\r".join(hourly(30)), "standard input:1"),
        ("\n".join(hourly(30, L20="2024-01-01 18:00,1\r,1")), "standard input:20"),
        ('{"time": "2024-01-01 00:00", "load": 1}\n', '"heat"'),
        ('{"time": \n', "D027"),
    ],
)
def test_a_bad_stream_is_refused(trained: Path, stdin: str, told: str) -> None:
    done = run("predict", str(trained), "-", stdin=stdin)
    assert done.returncode == 3
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_verdict_tells_all_metrics_and_a_lost_first_line_is_told(seqloom, in_tmp: Path) -> None:
    write(in_tmp / "numbers.csv", [str(20 + row % 7) for row in range(120)])
    answer = seqloom("train", "numbers.csv", *[word for word in SETTINGS if word != "--quiet"], "--out", "run")
    assert answer.status == 0, answer.err
    assert 'the first line is taken for the names of columns, but "20" looks like a value' in answer.err
    model = next(line for line in answer.err.splitlines() if "this model" in line)
    for name in ("MAE", "RMSE", "MASE", "sMAPE", "pinball loss", "coverage"):
        assert name in model
