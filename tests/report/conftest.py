"""Run folders as a training leaves them, made without one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from seqloom import run as runs

ENVIRONMENT = {
    "versions": {"python": "3.11.9", "torch": "2.13.0+cpu", "numpy": "2.3.1", "polars": "1.31.0"},
    "machine": {"system": "Linux-6.1-x86_64", "processor": "Example CPU @ 2.4 GHz", "cores": 2},
}
SETTINGS = {"text": "review", "split": 0.1, "tokenizer": "word", "cell": "gru", "layers": 1, "hidden": 256,
            "dropout": 0.5, "bidirectional": True, "batch": 64, "lr": 0.002, "budget": 600.0, "seed": 1}  # fmt: skip
PHASES = {"read": 2.31, "prepare": 9.8, "baselines": 41.2, "train": 508.7, "evaluate": 6.4}


def classify_metrics(steps: int = 1400) -> list[dict[str, Any]]:
    rows = []
    for step in range(100, steps + 1, 100):
        place = {"step": step, "epoch": round(step / 352, 4), "examples": step * 64, "seconds": step * 0.38}
        wave = 0.012 * math.sin(step)
        train, valid = 0.68 * math.exp(-step / 500) + 0.12 + wave, 0.62 * math.exp(-step / 350) + 0.27 + step / 2e4
        rows.append({"part": "train", **place, "loss": train, "accuracy": 1 - train * 0.6, "lr": 0.002})
        accuracy = 0.896 - 0.35 * math.exp(-step / 300) - abs(step - 1200) / 2e5
        rows.append({"part": "valid", **place, "loss": valid, "accuracy": accuracy, "macro_f1": accuracy - 0.001})
    return rows


def language_metrics() -> list[dict[str, Any]]:
    rows = []
    for step in range(200, 6001, 200):
        place = {"step": step, "epoch": step / 1700, "examples": step * 32, "seconds": step * 0.09}
        train, valid = 2.6 * math.exp(-step / 500) + 1.3, 2.5 * math.exp(-step / 500) + 1.48
        rows.append({"part": "train", **place, "loss": train, "accuracy": 0.6, "lr": 0.003})
        rows.append({"part": "valid", **place, "loss": valid, "accuracy": 0.55, "perplexity": math.exp(valid)})
    return rows


def make_run(path: Path, task: str, *, settings: dict[str, Any] | None = None, sha: str = "3f" * 32) -> runs.Run:
    """A run as it is when training begins."""
    file = {"file": "reviews.csv", "bytes": 33_214_556, "sha256": sha, "path": "/data/reviews.csv"}
    contents = {"task": task, "settings": SETTINGS | (settings or {}), "data": {"train": file}, **ENVIRONMENT}
    return runs.Run.create(path, contents)


def finish(run: runs.Run, summary: dict[str, Any], metrics: list[dict[str, Any]]) -> Path:
    runs.write_json(run.summary, {"run": run.name, "stopped": "budget", "phases": PHASES, **summary})
    runs.write_jsonl(run.metrics, metrics)
    return run.path


def inspection(labels: list[str], rows: int) -> dict[str, Any]:
    """What ``data.inspect`` writes into a summary."""
    share = 1 / len(labels)
    text = {"name": "review", "kind": "text", "distinct": rows - 96, "missing": 0, "top": [],
            "characters": {"median": 970.5, "max": 13_704}, "words": {"median": 174, "max": 2_470}}  # fmt: skip
    label = {"name": "sentiment", "kind": "category", "distinct": len(labels), "missing": 0,
             "characters": {"median": 4, "max": 4}, "words": {"median": 1, "max": 1},
             "top": [{"value": name, "share": share} for name in labels]}  # fmt: skip
    conflict = {"text": "Simply <i>wonderful</i>", "labels": labels[:2], "lines": [812, 9_310]}
    return {"file": "reviews.csv", "format": "csv", "rows": rows, "columns": [text, label], "seen": "classify",
            "task": "classify", "text": "review", "label": "sentiment", "duplicates": 96, "conflicting": 3,
            "conflicts": [conflict], "hangul": 0.0, "rejects": 0, "notes": ['separator ";"']}  # fmt: skip


def classify_summary(labels: list[str], counts: list[list[int]], mistakes: list[dict[str, Any]]) -> dict[str, Any]:
    total, right = sum(map(sum, counts)), sum(counts[index][index] for index in range(len(counts)))
    per_label = []
    for index, label in enumerate(labels):
        hit, records = counts[index][index], sum(counts[index])
        taken = sum(row[index] for row in counts)
        scores = {"precision": hit / (taken or 1), "recall": hit / (records or 1), "f1": 2 * hit / (records + taken)}
        per_label.append({"label": label, **scores, "records": records, "predicted": taken})
    accuracy = right / total
    error = 1.96 * math.sqrt(accuracy * (1 - accuracy) / total)
    rows = [
        {"name": "this model", "value": accuracy, "loss": 0.2931, "seconds": 508.7, "error": error},
        {"name": "n-grams + logistic regression", "value": accuracy - 0.009, "loss": 0.31, "seconds": 39.9},
        {"name": "majority", "value": 0.5, "loss": 0.6931, "seconds": 0.0},
    ]
    return {
        "task": "classify",
        "model": {"description": "gru 1 x 256 over 31,204 words", "parameters": 8_312_066},
        "data": inspection(labels, total * 10),
        "split": {"train": total * 9, "valid": total, "how": "10% split off, stratified by label, seed 1"},
        "verdict": {"part": "valid", "records": total, "metric": "accuracy", "higher_is_better": True, "rows": rows},
        "evaluation": {"loss": 0.2931, "accuracy": accuracy, "macro_f1": accuracy - 0.0004,
                       "confusion": {"labels": labels, "counts": counts}, "per_label": per_label,
                       "mistakes": mistakes},
        "unknown": {"tokens": 5120, "share": 0.0107},
    }  # fmt: skip


REVIEWS = [
    ("I went in expecting nothing and got <script>alert('less')</script> & \"more\" than that. " * 6, "good", "bad"),
    ("Not one of the jokes is funny, not one of the people is real, and still I could not look away.", "good", "bad"),
    ("ما توقعت أن يكون الفيلم بهذا الجمال، شكرا لكل من شارك فيه", "good", "bad"),
    ("A masterpiece, if you are fond of watching paint dry in the company of people who praise it.", "bad", "good"),
]
KOREAN_REVIEWS = [
    ("배우들 연기는 좋은데 이야기가 산으로 간다. 그래도 마지막 장면 하나는 오래 남을 것 같다", "긍정", "부정"),
    ("이게 영화냐고 물으신다면, 네, 올해 본 것 중 가장 영화다운 영화였습니다", "긍정", "부정"),
    ("최고의 수면제 ㅋㅋㅋ 두 시간 푹 잤습니다", "부정", "긍정"),
]


def mistakes(reviews: list[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "text": text,
            "label": label,
            "predicted": predicted,
            "probability": 0.9987 - place / 100,
            "line": 17 + 911 * place,
        }
        for place, (text, label, predicted) in enumerate(reviews)
    ]


@pytest.fixture
def classify_run(tmp_path: Path) -> Path:
    summary = classify_summary(["bad", "good"], [[1003, 122], [112, 1013]], mistakes(REVIEWS))
    return finish(make_run(tmp_path / "reviews-classify-1", "classify"), summary, classify_metrics())


@pytest.fixture
def korean_run(tmp_path: Path) -> Path:
    labels = ["정치", "경제", "사회", "생활문화", "세계", "IT과학", "스포츠"]
    counts = [[400 if row == column else (row * 7 + column * 11) % 23 for column in range(7)] for row in range(7)]
    found = [(text, "생활문화" if label == "긍정" else "사회", "세계") for text, label, _ in KOREAN_REVIEWS]
    summary = classify_summary(labels, counts, mistakes(found))
    settings = {"tokenizer": "jamo", "text": "제목", "label": "분류"}
    return finish(make_run(tmp_path / "뉴스-classify-1", "classify", settings=settings), summary, classify_metrics())


@pytest.fixture
def language_run(tmp_path: Path) -> Path:
    rows = [
        {"name": "this model", "value": 1.4803, "loss": 1.4803, "seconds": 540.1},
        {
            "name": "5-gram, Kneser-Ney",
            "value": 1.7345,
            "loss": 1.7345,
            "seconds": 7.2,
            "note": "counted on the last part",
        },
        {"name": "unigram", "value": 3.3301, "loss": 3.3301, "seconds": 0.1},
    ]
    text = (
        "\n\nKING HENRY:\nWhat say'st thou, <b>noble</b> friend? Thou speak'st of war,\n    and yet thy eyes are peace."
    )
    samples = [{"prompt": "First Citizen:\n", "temperature": temperature, "text": text} for temperature in (0.5, 1.0)]
    samples.append({"prompt": "나는 ", "temperature": 0.8, "text": "오늘도 바닷가를 걷는다. 바람이 분다."})
    summary = {
        "task": "language",
        "model": {"description": "gru 2 x 384 over 65 characters", "parameters": 1_480_000},
        "data": {"file": "plays.txt", "format": "txt", "rows": 40_000, "task": "language", "columns": [],
                 "duplicates": 0, "conflicting": 0, "conflicts": [], "hangul": 0.0, "rejects": 0, "notes": []},
        "split": {"train": 1, "valid": 1, "how": "the last 10% of the text"},
        "verdict": {"part": "valid", "records": 111_539, "metric": "loss", "higher_is_better": False, "rows": rows},
        "evaluation": {"loss": 1.4803, "accuracy": 0.553, "perplexity": 4.394, "nats_per_character": 1.4803,
                       "bits_per_character": 2.1356, "samples": samples},
        "unknown": {"tokens": 0, "share": 0.0},
    }  # fmt: skip
    return finish(make_run(tmp_path / "plays-language-1", "language"), summary, language_metrics())


@pytest.fixture
def unfinished_run(tmp_path: Path) -> Path:
    """Killed in the middle: a summary without a verdict, and a last line of metrics that is cut off."""
    run = make_run(tmp_path / "reviews-classify-2", "classify")
    baselines = [{"name": "n-grams + logistic regression", "value": 0.887, "loss": 0.31, "seconds": 39.9}]
    split = {"train": 20_250, "valid": 2_250, "how": "10% split off"}
    runs.write_json(run.summary, {"task": "classify", "run": run.name, "baselines": baselines, "split": split})
    runs.write_jsonl(run.metrics, classify_metrics(500))
    with run.metrics.open("a", encoding="utf-8") as file:
        file.write('{"part": "train", "step": 600, "lo')
    return run.path


@pytest.fixture
def new_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a finished classify run of its own settings and data, in a folder of its own name."""

    def make(name: str, counts: list[list[int]], sha: str = "3f" * 32, **settings: Any) -> Path:
        run = make_run(tmp_path / name, "classify", settings=settings, sha=sha)
        return finish(run, classify_summary(["bad", "good"], counts, []), classify_metrics(300))

    return make


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which no font is installed but the one that comes with matplotlib."""
    from seqloom.report import fonts

    monkeypatch.setattr(fonts, "installed", lambda: ())
    fonts._font_with.cache_clear()
    yield
    fonts._font_with.cache_clear()


# --- forecasts --------------------------------------------------------------------------------------------------------

HORIZON, LOOK_BACK = 24, 96


def window(target: str, series: str, start: int, *, dated: bool = True, interval: bool = True) -> dict[str, Any]:
    """One window of an hourly wave of a day: the forecast is a little low, the rule says the day before again."""
    rows = [
        10 + 4 * math.sin(2 * math.pi * (start + row) / 24) + 0.8 * math.sin(row * 1.7)
        for row in range(LOOK_BACK + HORIZON)
    ]
    future = [value - 0.3 + 0.02 * step for step, value in enumerate(rows[LOOK_BACK:])]
    first = datetime(2026, 2, 27) + timedelta(hours=start)
    times = [(first + timedelta(hours=row)).isoformat() for row in range(LOOK_BACK + HORIZON)]
    return {
        "series": series,
        "target": target,
        "times": times if dated else None,
        "history": rows[:LOOK_BACK],
        "actual": rows[LOOK_BACK:],
        "forecast": future,
        "lower": [value - 1 - 0.05 * step for step, value in enumerate(future)] if interval else None,
        "upper": [value + 1 + 0.05 * step for step, value in enumerate(future)] if interval else None,
        "naive": rows[LOOK_BACK - 24 : LOOK_BACK],
    }


def forecast_details(targets: list[str], series: str = "", **how: bool) -> dict[str, Any]:
    """``evaluation.details["forecast"]`` as the task writes it."""
    samples = [window(target, series, 31 * place, **how) for place, target in enumerate(targets)]
    by_step = [
        {"step": step, "mae": 0.3 + 0.01 * step, "rmse": 0.4 + 0.01 * step, "naive": 0.45 + 0.002 * step}
        for step in range(1, HORIZON + 1)
    ]
    edges = [-2 + 0.2 * place for place in range(21)]
    counts = [round(900 * math.exp(-((left + 0.1 - 0.2) ** 2) / 0.5)) for left in edges[:-1]]
    errors = [{"target": target, "mae": 0.42, "rmse": 0.53, "mase": 0.81, "smape": 0.034} for target in targets]
    errors[-1]["mase"] = None  # type: ignore[typeddict-item]
    return {
        "targets": targets,
        "horizon": HORIZON,
        "look_back": LOOK_BACK,
        "frequency": "hourly" if how.get("dated", True) else None,
        "period": 24,
        "level": 0.8,
        "baseline": "seasonal naive (24)",
        "samples": samples,
        "by_step": by_step,
        "residuals": {"target": targets[0], "edges": edges, "counts": counts, "mean": 0.2, "standard_deviation": 0.5},
        "worst": [{**samples[0], "mae": 2.17}],
        "calibration": [{"level": level / 10, "coverage": (level / 10) ** 1.1} for level in range(1, 10)],
        "per_target": errors,
    }


def forecast_summary(details: dict[str, Any]) -> dict[str, Any]:
    rows = [
        {"name": "this model", "value": 0.4123, "seconds": 208.7},
        {"name": "linear", "value": 0.4702, "seconds": 1.9},
        {"name": "seasonal naive (24)", "value": 0.5511, "seconds": 0.0, "note": "season of 24 rows"},
        {"name": "naive", "value": 12_345.6, "seconds": 0.0},
    ]
    data = {"file": "temps.csv", "format": "csv", "rows": 17_420, "rejects": 0,
            "facts": {"time": "date, hourly", "targets": ", ".join(details["targets"])}, "notes": []}  # fmt: skip
    return {
        "task": "forecast",
        "model": {"description": "segment, gru 1 x 128, 96 rows to 24 steps", "parameters": 105_000},
        "data": data,
        "split": {"train": 13_936, "valid": 1_742, "how": "by time: 80 % training, 10 % validation, 10 % test"},
        "verdict": {
            "part": "test",
            "records": 1_719,
            "metric": "mae",
            "higher_is_better": False,
            "rows": rows,
        },
        "evaluation": {"mae": 0.4123, "rmse": 0.5311, "mase": None, "smape": 0.0341, "pinball": 0.151,
                       "coverage": 0.782, "standard_mse": 0.3811, "standard_mae": 0.4012, "forecast": details},
    }  # fmt: skip


def forecast_metrics() -> list[dict[str, Any]]:
    return [{**row, "mae": row["loss"]} for row in language_metrics()]


@pytest.fixture
def forecast_run(tmp_path: Path) -> Path:
    run = make_run(tmp_path / "temps-forecast-1", "forecast")
    return finish(run, forecast_summary(forecast_details(["OT", "HUFL <b>"])), forecast_metrics())


@pytest.fixture
def korean_forecast_run(tmp_path: Path) -> Path:
    details = forecast_details(["기온 (℃)"], "서울", interval=False)
    details["calibration"] = []
    run = make_run(tmp_path / "날씨-forecast-1", "forecast")
    return finish(run, forecast_summary(details), forecast_metrics())
