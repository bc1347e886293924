"""The page holds what the run knows, escapes what users wrote, and needs nothing from outside."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from seqloom import run as runs
from seqloom.errors import RunError
from seqloom.report import page
from tests.report.reader import Page

FINISHED = ["classify_run", "korean_run", "language_run", "forecast_run", "korean_forecast_run"]


def test_classify(classify_run: Path) -> None:
    path = page.write(classify_run)
    assert path == classify_run / "report.html"
    sections = Page(path).sections
    assert list(sections)[:5] == ["", "verdict", "curves", "evaluation", "mistakes"]
    assert "Beats the best baseline (n-grams + logistic regression) by 0.9 points (error 1.3)." in sections["verdict"]
    assert "89.6 % ± 1.3" in sections["verdict"] and "majority 50.0 %" in sections["verdict"]
    assert "8,312,066 weights" in sections[""]
    assert re.search(r"bad 90\.0 % 89\.2 % 89\.6 % 1,125", sections["evaluation"])
    assert "predicted bad 99.9 % labelled good line 17" in sections["mistakes"]
    assert "3f" * 32 in sections["data"] and "33,214,556" in sections["data"]
    assert "repeated texts 96" in sections["data"] and "lines 812, 9,310" in sections["data"]
    assert "train 8 min 29 s" in sections["time"]
    assert f"seqloom predict {classify_run} FILE" in sections["commands"]
    assert "hidden 256" in sections["settings"] and "lr 0.002" in sections["settings"]
    assert "torch 2.13.0+cpu" in sections["made-with"] and "Example CPU" in sections["made-with"]
    assert "unfinished" not in sections


def test_long_texts_are_cut(classify_run: Path) -> None:
    mistakes = Page(page.write(classify_run)).sections["mistakes"]
    assert mistakes.count("I went in expecting nothing") == 3  # of six in the file
    assert page.cut("word " * 100, 20) == "word word word word…"
    assert page.cut(" two\n\nlines ") == "two lines"


def test_korean(korean_run: Path) -> None:
    found = Page(page.write(korean_run))
    assert "뉴스-classify-1" in found.sections[""]
    assert "생활문화" in found.sections["evaluation"] and "최고의 수면제 ㅋㅋㅋ" in found.sections["mistakes"]
    assert f"seqloom predict '{korean_run}' FILE" in found.sections["commands"]  # quoted for the shell


def test_korean_without_a_font(korean_run: Path, no_fonts: None) -> None:
    evaluation = Page(page.write(korean_run)).sections["evaluation"]
    assert "No font of the machine" in evaluation
    assert "label 1: 정치" in evaluation and "label 7: 스포츠" in evaluation


def test_language(language_run: Path) -> None:
    sections = Page(page.write(language_run)).sections
    assert "Beats the best baseline (5-gram, Kneser-Ney) by 0.254 nats." in sections["verdict"]
    assert "counted on the last part" in sections["verdict"]
    assert "perplexity 4.394" in sections["evaluation"] and "accuracy 55.3 %" in sections["evaluation"]
    assert "KING HENRY: What say'st thou, <b>noble</b> friend?" in sections["samples"]
    assert "오늘도 바닷가를 걷는다." in sections["samples"]
    assert "seqloom generate" in sections["commands"]
    assert "mistakes" not in sections


def test_samples_keep_their_lines(language_run: Path) -> None:
    text = page.write(language_run).read_text("utf-8")
    assert "\n\nKING HENRY:\nWhat say&#39;st thou" in text and "    and yet thy eyes" in text


def test_unfinished_run_says_so_and_shows_what_there_is(unfinished_run: Path) -> None:
    sections = Page(page.write(unfinished_run)).sections
    assert "This run is unfinished" in sections["unfinished"]
    assert "step 500, epoch 1.42, after 3 min 10 s" in sections["unfinished"]
    assert "Baselines" in sections["verdict"] and "88.7 %" in sections["verdict"]
    assert "curves" in sections
    assert f"seqloom resume {unfinished_run}" in sections["commands"]
    assert "predict" not in sections["commands"]


def test_run_that_has_only_begun(tmp_path: Path) -> None:
    run = runs.Run.create(tmp_path / "run", {"task": "classify"})
    sections = Page(page.write(run.path)).sections
    assert "Nothing was reported yet" in sections["unfinished"]
    assert set(sections) == {"", "unfinished", "commands"}


EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }} &amp; <!-- שלום"


def poison(value: Any) -> Any:
    """The same with every text that a user's file could have brought replaced."""
    if isinstance(value, dict):
        known = ("metric", "kind", "part", "task", "stopped", "how_many")
        return {key: item if key in known else poison(item) for key, item in value.items()}
    if isinstance(value, list):
        return [poison(item) for item in value]
    return EVIL + "\x00\x1b\u202e" if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ["classify_run", "language_run"])
def test_whatever_users_wrote_is_shown_and_never_run(kind: str, request: pytest.FixtureRequest) -> None:
    run = runs.Run.open(request.getfixturevalue(kind))
    clean = Page(page.write(run.path))
    runs.write_json(run.summary, poison(runs.read_json(run.summary)))
    toml = run.read_toml()
    evil = {"settings": {"text": EVIL, EVIL: 1}, "data": {EVIL: {"file": EVIL, "bytes": 1, "sha256": EVIL}}}
    run.write_toml(toml | evil | {"extra": EVIL})
    found = Page(page.write(run.path))
    outside_plots = [tag for tag, _ in found.tags if tag in {"script", "img", "iframe", "b", "i"}]
    assert set(outside_plots) <= {tag for tag, _ in clean.tags}
    assert "script" not in outside_plots and "img" not in outside_plots
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    for section in ("verdict", "data", "settings"):
        assert EVIL.replace("<!-- ", "<!-- ") in found.sections[section]
    text = run.report.read_text("utf-8")
    assert "\x00" not in text and "\x1b" not in text and "␀" in text


def test_right_to_left_and_mixed_texts_are_isolated(classify_run: Path) -> None:
    text = page.write(classify_run).read_text("utf-8")
    assert '<p dir="auto">ما توقعت' in text


def test_half_a_surrogate_pair_does_not_stop_the_page(classify_run: Path) -> None:
    run = runs.Run.open(classify_run)
    summary = runs.read_json(run.summary)
    summary["evaluation"]["mistakes"][0]["text"] = "half \ud83d pair"
    runs.write_json(run.summary, summary)
    assert "half ? pair" in Page(page.write(classify_run)).sections["mistakes"]


@pytest.mark.parametrize("kind", [*FINISHED, "unfinished_run"])
def test_nothing_comes_from_outside(kind: str, request: pytest.FixtureRequest) -> None:
    path = page.write(request.getfixturevalue(kind))
    found = Page(path)
    for _, attributes in found.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,"))
    text = path.read_text("utf-8")
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("kind", FINISHED)
def test_plots_have_ids_of_their_own_and_the_colours_of_the_page(kind: str, request: pytest.FixtureRequest) -> None:
    path = page.write(request.getfixturevalue(kind))
    found = Page(path)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {target[1:] for _, attributes in found.tags if (target := attributes.get("xlink:href"))}
    assert used and used <= set(ids)
    plots_alone = "".join(re.findall(r"<svg.*?</svg>", path.read_text("utf-8"), flags=re.S))
    assert "var(--first)" in plots_alone
    assert not re.search(r"#[0-9a-f]{6}\b", plots_alone)  # a fixed colour would not follow dark mode


def test_wide_plots_are_drawn_for_a_phone_too(classify_run: Path) -> None:
    text = page.write(classify_run).read_text("utf-8")
    wide, phone, confusion = re.findall(r'<div class="(wide|phone|scroll)"><svg role="img" aria-label="(.*?)"', text)
    assert (wide[0], phone[0], confusion[0]) == ("wide", "phone", "scroll")
    assert wide[1] == phone[1] != confusion[1]


def test_same_run_gives_the_same_bytes(korean_run: Path) -> None:
    first = page.write(korean_run).read_bytes()
    assert page.write(korean_run).read_bytes() == first


def test_best_step_is_the_first_of_the_best() -> None:
    rows = [
        {"part": "valid", "step": step, "accuracy": value} for step, value in ((1, 0.5), (2, 0.9), (3, 0.9), (4, None))
    ]
    rows.append({"part": "train", "step": 5, "accuracy": 1.0})
    assert page._best_step(rows, "accuracy", True) == 2
    assert page._best_step(rows, "accuracy", False) == 1
    assert page._best_step([], "loss", False) is None


def test_many_labels_are_folded_away(classify_run: Path) -> None:
    run = runs.Run.open(classify_run)
    summary = runs.read_json(run.summary)
    labels = [f"label {index}" for index in range(60)]
    summary["evaluation"]["confusion"] = {
        "labels": labels,
        "counts": [[int(r == c) + r for c in range(60)] for r in range(60)],
    }
    row = {"precision": 0.5, "recall": 0.25, "f1": 0.3}
    summary["evaluation"]["per_label"] = [{"label": name, **row, "records": place} for place, name in enumerate(labels)]
    runs.write_json(run.summary, summary)
    evaluation = Page(page.write(classify_run)).sections["evaluation"]
    assert "Shown are the 20 largest of 60 labels" in evaluation and "35 more labels" in evaluation


def test_damaged_run_is_an_error_and_the_old_page_stays(classify_run: Path) -> None:
    before = page.write(classify_run).read_bytes()
    (classify_run / "summary.json").write_text('{"task": ', "utf-8")
    with pytest.raises(RunError, match=r"summary\.json is damaged"):
        page.write(classify_run)
    assert (classify_run / "report.html").read_bytes() == before
    assert not list(classify_run.glob("*.tmp")) and not list(classify_run.glob(".*.tmp"))


def test_what_is_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder"):
        page.write(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"no run\.toml"):
        page.write(tmp_path)


def test_words_for_numbers() -> None:
    assert [page.number(value) for value in (True, 1234567, 600.0, 0.002, 1e-7, "x", [1, 2], {"a": 1.5})] == [
        "yes", "1,234,567", "600", "0.002", "1e-07", "x", "1, 2", "a 1.5"]  # fmt: skip
    assert [page.duration(value) for value in (0.034, 7.23, 59.4, 59.7, 560.1, 3840)] == [
        "0.034 s", "7.2 s", "59 s", "60 s", "9 min 20 s", "1 h 4 min"]  # fmt: skip
    assert page.moment("2026-05-04T22:37:16+09:00") == "2026-05-04 13:37 UTC"
    assert page.moment("yesterday") == "yesterday"
