"""What reaches training from the flags: only what was given, under the setting's own name."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqloom.training import train as training


@pytest.fixture
def reached(monkeypatch):
    calls = []
    monkeypatch.setattr(training, "train", lambda file, **keywords: calls.append((file, keywords)))
    return calls


def test_only_given_flags_reach_training(seqloom, reached):
    line = "train a.csv --hidden 7 --no-bidirectional --lowercase --max-length=9 --budget 90s --task classify --quiet"
    assert seqloom(*line.split()).status == 0
    own = {"task": "classify", "out": None, "overwrite": False, "config": None, "quiet": True}
    settings = {"hidden": "7", "bidirectional": False, "lowercase": True, "max_length": "9", "budget": "90s"}
    assert reached == [(Path("a.csv"), own | settings)]


def test_a_column_may_have_any_name(seqloom, reached):
    assert seqloom("train", "a.csv", "--text", "리뷰 본문", "--label=-x").status == 0
    assert reached[0][1]["text"] == "리뷰 본문"
    assert reached[0][1]["label"] == "-x"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--task language --pooling max", "pooling"),
        ("--task classify --window 9", "window"),
        ("--task classify --hidden many", "setting \"hidden\" is 'many'"),
        ("--task classify --budget 10q", '"10q" is not a duration'),
        ("--task classify --cell gruu", 'did you mean "gru"?'),
        ("--task classify --epochs 2 --budget 9s", "epochs or budget, not both"),
        ("--task clasify", 'did you mean "classify"?'),
        ("--config none.toml", "none.toml"),
    ],
)
def test_a_bad_setting_is_refused_before_anything_is_written(seqloom, tmp_path, monkeypatch, line, said):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,label\n" + "".join(f"word {n % 7},{n % 2}\n" for n in range(40)), "utf-8")
    status, out, err = seqloom("train", "a.csv", *line.split())
    assert said in err
    assert (status, out) == (2, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]
