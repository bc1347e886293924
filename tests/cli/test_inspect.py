from __future__ import annotations

import json
from pathlib import Path


def test_a_table_is_described_with_its_columns_and_contradictions(seqloom, in_tmp):
    rows = [f"정말 좋은 영화 {number},좋음" for number in range(12)] + [
        f"아주 나쁜 영화 {number},나쁨" for number in range(12)
    ]
    Path("reviews.csv").write_text("\n".join(["review,sentiment", *rows, "정말 좋은 영화 0,나쁨"]), "utf-8")
    status, out, err = seqloom("inspect", "reviews.csv")
    assert status == 0
    assert out.startswith("reviews.csv   25 rows")
    table = {line.split()[0]: line.split() for line in out.splitlines() if line.startswith(("review ", "sentiment "))}
    assert table["sentiment"][1:4] == ["category", "2", "0"]
    assert table["review"][1] == "text"
    assert "line 2, 26: 좋음 and 나쁨: 정말 좋은 영화 0" in out
    assert "seqloom train reviews.csv" in err


def test_lines_stand_under_each_other_also_behind_a_name_in_hangul(seqloom, in_tmp):
    Path("영화리뷰.csv").write_text("review,sentiment\n" + "좋은 영화,좋음\n나쁜 영화,나쁨\n" * 12, "utf-8")
    first, second, *_ = seqloom("inspect", "영화리뷰.csv").out.splitlines()
    assert first.startswith("영화리뷰.csv  24 rows")  # 12 places on a terminal: Hangul takes two each
    assert second.startswith(f"{'':<13} 22 rows repeat")


def test_json_is_all_that_was_found(seqloom, in_tmp):
    Path("poem.txt").write_text("the sea\n" * 30, "utf-8")
    answer = seqloom("inspect", "poem.txt", "--json")
    found = json.loads(answer.out)
    assert answer.err == ""
    assert (found["task"], found["rows"], found["columns"][0]["name"]) == ("language", 30, "text")
