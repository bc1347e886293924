"""``seqloom backtest`` and forecasts on the command line: a table, a plot, JSON, and a pipe."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import seqloom as package

START = np.datetime64("2024-01-01T00", "h")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(package.__file__).parents[1]), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("backtest") / "meter.csv"
    values = 20 + 5 * np.sin(np.arange(300) / 24 * 2 * np.pi) + np.random.default_rng(1).normal(size=300)
    rows = [f"{str(START + hour).replace('T', ' ')}:00,{value:.3f}" for hour, value in enumerate(values)]
    file.write_text("\n".join(["time,load", *rows]) + "\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def run(table: Path) -> str:
    from seqloom.training.train import train

    settings = {"horizon": 5, "look_back": 24, "hidden": 6, "epochs": 2, "threads": 1}
    return str(train(table, out=table.parent / "run", task="forecast", quiet=True, **settings).path)


def test_a_table_a_plot_and_json(seqloom, in_tmp: Path, table: Path, run: str) -> None:
    answer = seqloom("backtest", run, str(table), "--origins", "9", "--plot", "errors.png")
    assert answer.status == 0, answer.err
    assert (in_tmp / "errors.png").read_bytes()[:4] == b"\x89PNG"
    for told in ("this model", "seasonal naive (24)", "naive", "drift", "MASE", "sMAPE", "coverage", "step"):
        assert told in answer.out, told
    assert "9 origins" in answer.err
    found = json.loads(seqloom("backtest", run, str(table), "--origins", "9", "--json").out)
    assert found["origins"] == 9
    assert [row["step"] for row in found["forecast"]["by_step"]] == [1, 2, 3, 4, 5]
    assert found["mae"] == pytest.approx(np.mean([row["mae"] for row in found["forecast"]["by_step"]]))


def test_a_backtest_of_no_forecast_and_of_no_origin(seqloom, table: Path, run: str) -> None:
    answer = seqloom("backtest", run, str(table), "--origins", "0")
    assert answer.status == 2
    answer = seqloom("backtest", run, str(table), "--origins", "1.5")
    assert answer.status == 2


def test_a_file_goes_on_as_a_table_with_time_stamps(seqloom, table: Path, run: str) -> None:
    answer = seqloom("predict", run, str(table), "--csv", "--quantiles", "0.05,0.5,0.95")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert list(rows[0]) == ["time", "step", "load", "load 0.05", "load 0.95"]
    assert [row["time"] for row in rows] == [str(START + 300 + step) + ":00:00" for step in range(5)]
    assert all(float(row["load 0.05"]) <= float(row["load"]) <= float(row["load 0.95"]) for row in rows)


def test_a_pipe_answers_each_row_at_once(table: Path, run: str) -> None:
    lines = table.read_text("utf-8").splitlines()
    command = [sys.executable, "-m", "seqloom", "predict", run, "-"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as process:  # type: ignore[call-overload]
        process.stdin.write("\n".join(lines[:24]) + "\n")
        for hour in (23, 24, 25):
            process.stdin.write(lines[hour + 1] + "\n")
            process.stdin.flush()
            found = json.loads(process.stdout.readline())  # the next row is not written before this one is answered
            assert found["origin"] == str(START + hour) + ":00:00"
            assert found["time"][0] == str(START + hour + 1) + ":00:00"
            assert len(found["load"]) == 5
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_json_rows_and_a_table_of_answers(table: Path, run: str) -> None:
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8"))))[:25]
    stream = "\n".join(json.dumps({"load": float(row["load"]), "time": row["time"]}) for row in rows)
    command = [sys.executable, "-m", "seqloom", "predict", run, "-", "--csv"]
    done = subprocess.run(command, env=ENVIRONMENT, input=stream, capture_output=True, text=True, check=True)
    found = list(csv.DictReader(io.StringIO(done.stdout)))
    assert list(found[0]) == ["origin", "time", "step", "load", "load 0.1", "load 0.9"]
    assert [row["step"] for row in found] == ["1", "2", "3", "4", "5"] * 2


def test_a_classifier_takes_no_quantiles(seqloom, in_tmp: Path) -> None:
    rows = [f"a text of number {row},{'good' if row % 2 else 'bad'}" for row in range(40)]
    Path("a.csv").write_text("\n".join(["text,label", *rows]) + "\n", "utf-8")
    small = ["--epochs", "1", "--hidden", "4", "--out", "run", "--quiet", "--threads", "1"]
    assert seqloom("train", "a.csv", *small).status == 0
    answer = seqloom("predict", "run", "a.csv", "--quantiles", "0.1")
    assert answer.status == 2
    assert 'does not take "quantiles"' in answer.err
    assert seqloom("backtest", "run", "a.csv").status == 2
