"""Inspection sees what a file holds, chooses task and columns, and says what is wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from seqloom.data.inspect import Inspection, inspect
from seqloom.data.read import read
from seqloom.errors import DataError, SettingError
from seqloom.parts import names
from tests.data.pace import pace


def seen(folder: Path, content: str, name: str = "reviews.csv", **how: str) -> Inspection:
    path = folder / name
    path.write_text(content, "utf-8", newline="")
    found = inspect(path, **how)
    assert found.task == (found.seen if found.seen in names("tasks") else None)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()
    return found


def chosen(found: Inspection) -> tuple[str | None, str | None, str | None]:
    return found.seen, found.text, found.label


REVIEWS = "id,review,sentiment\n1,아주 좋은 영화,good\n2,나쁜 영화,bad\n3,다시 보고 싶다,good\n4,시간이 아깝다,bad\n"


def test_a_table_of_reviews(tmp_path: Path) -> None:
    found = seen(tmp_path, REVIEWS)
    assert chosen(found) == ("classify", "review", "sentiment")
    assert (found.rows, found.format, found.duplicates, found.conflicting) == (4, "csv", 0, 0)
    assert [(column.name, column.kind) for column in found.columns] == [
        ("id", "id"),
        ("review", "text"),
        ("sentiment", "category"),
    ]
    assert found.column("sentiment").top == (("good", 0.5), ("bad", 0.5))
    # "아주 좋은 영화" 8, "나쁜 영화" 5, "다시 보고 싶다" 8, "시간이 아깝다" 7 characters; 3, 2, 3, 2 words
    assert found.column("review").characters == (7.5, 8)
    assert found.column("review").words == (2.5, 3)
    assert found.hangul == 1.0
    assert found.notes == ()


def test_kinds_of_columns(tmp_path: Path) -> None:
    rows = [f"{n},u{n}/x,2020-01-{n + 1:02},{n / 7:.3f},{n % 3},{'ab'[n % 2]},,some words {n}" for n in range(20)]
    found = seen(tmp_path, "n,key,day,size,grade,side,nothing,words\n" + "\n".join(rows))
    assert {column.name: column.kind for column in found.columns} == {
        "n": "id",
        "key": "id",
        "day": "time",
        "size": "number",
        "grade": "category",
        "side": "category",
        "nothing": "empty",
        "words": "text",
    }
    assert found.column("nothing").missing == 20
    assert found.column("grade").distinct == 3
    assert chosen(found) == ("classify", "words", "side")  # the fewest values, where no name tells


def test_a_telling_name_comes_before_fewer_values(tmp_path: Path) -> None:
    rows = [f"긴 문장 {n},{n % 2},{n % 4}" for n in range(12)]
    assert seen(tmp_path, "body,flag,Category\n" + "\n".join(rows)).label == "Category"
    assert seen(tmp_path, "body,flag,rating\n" + "\n".join(rows), label="flag").label == "flag"
    assert seen(tmp_path, "body,rating,label\n" + "\n".join(rows)).label == "label"


def test_named_columns_override_what_was_seen(tmp_path: Path) -> None:
    content = (
        "title,body,label\n하나 둘,긴 본문이 여기에 있다,a\n셋 넷,다른 본문이 여기에 있다,b\n하나,본문,a\n둘,글,b\n"
    )
    assert seen(tmp_path, content).text == "body"
    assert chosen(seen(tmp_path, content, text="title")) == ("classify", "title", "label")
    with pytest.raises(DataError, match='no column "titel"') as caught:
        seen(tmp_path, content, text="titel")
    assert caught.value.code == "D026"
    with pytest.raises(SettingError, match="both"):
        seen(tmp_path, content, text="body", label="body")


def test_short_texts_that_repeat_are_still_the_text(tmp_path: Path) -> None:
    content = "text,label\n" + "좋아,1\n싫어,0\n좋아,1\n싫어,0\n" * 3
    found = seen(tmp_path, content)
    assert chosen(found) == ("classify", "text", "label")
    assert found.duplicates == 10


def test_faulty_label_columns_are_chosen_so_that_the_task_can_tell(tmp_path: Path) -> None:
    assert seen(tmp_path, "text,label\n하나 둘,a\n셋 넷,a\n다섯,a\n").label == "label"
    assert seen(tmp_path, "text,label\n하나 둘,a\n셋 넷,b\n다섯,c\n").label == "label"


def test_repeated_texts_and_texts_with_two_labels(tmp_path: Path) -> None:
    rows = ["좋은 영화,1", "나쁜 영화,0", " 좋은  영화 ,0", "나쁜 영화,0", "다른 영화,1", "좋은 영화,1"]
    found = seen(tmp_path, "text,label\n" + "\n".join(rows))
    assert (found.duplicates, found.conflicting) == (3, 1)
    assert found.conflicts[0].text == "좋은 영화"
    assert found.conflicts[0].labels == ("1", "0")
    assert found.conflicts[0].lines == (2, 4, 7)


def test_what_is_told_before_training(tmp_path: Path) -> None:
    told = seen(tmp_path, REVIEWS + "5,나쁜 영화,good\n").lines()
    assert "median 2 words" in told[0]
    assert "sentiment: 2 values, 60% good" in told[0]
    assert "1 rows repeat" in told[1]
    assert "1 texts carry more than one label" in told[2]
    empty = seen(tmp_path, "text,mood\n하나 둘,\n셋 넷,\n", label="mood")
    assert "mood: 0 values" in empty.lines()[0]
    assert any("no label in 2 rows" in note for note in empty.notes)


def test_at_most_twenty_conflicts_are_shown(tmp_path: Path) -> None:
    rows = [f"영화 {n // 2},{n % 2}" for n in range(60)]
    found = seen(tmp_path, "text,label\n" + "\n".join(rows))
    assert (found.conflicting, len(found.conflicts)) == (30, 20)


def test_plain_text_is_language(tmp_path: Path) -> None:
    found = seen(tmp_path, "첫 줄이다.\n\nsecond line\n첫 줄이다.\n", "story.txt")
    assert chosen(found) == ("language", "text", None)
    assert (found.rows, found.format, found.duplicates) == (4, "txt", 0)
    assert found.hangul == pytest.approx(8 / 20)
    assert found.notes == ()


def test_a_table_with_text_alone_is_language(tmp_path: Path) -> None:
    found = seen(tmp_path, '{"text": "첫 문장이다."}\n{"text": "둘째 문장이다."}\n{"text": "끝"}\n', "a.jsonl")
    assert chosen(found) == ("language", "text", None)


@pytest.mark.parametrize(
    ("content", "name", "task", "said"),
    [
        (
            "en,ko\nI go home.,나는 집에 간다.\nYou are here.,너는 여기 있다.\nHi you.,안녕.\n",
            "a.csv",
            "translate",
            "en",
        ),
        ("date,load\n2020-01-01,1.5\n2020-01-02,2.5\n2020-01-03,2.25\n", "a.csv", "forecast", "date"),
        ("나\tNP\n는\tJX\n\n간다\tVV\n.\tSF\n\n끝\tNNG\n", "a.txt", "tag", "empty lines"),
        ("a,b\n1.5,2.5\n2.5,3.25\n", "a.csv", None, "no column of text"),
    ],
)
def test_what_other_tasks_take_is_seen_too(
    content: str, name: str, task: str | None, said: str, tmp_path: Path
) -> None:
    found = seen(tmp_path, content, name)
    assert found.seen == task
    assert found.label is None
    if task not in names("tasks"):
        assert found.task is None
        assert said in found.notes[-1]
        assert "this version has" in found.notes[-1]


def test_what_is_odd_is_noted(tmp_path: Path) -> None:
    rows = ["긴 문장 하나,a", "긴 문장 둘,b ", ",a", "긴 문장 셋,", "긴 문장 넷,b"]
    found = seen(tmp_path, "text;label\n".replace(";", ",") + "\n".join(rows))
    said = "\n".join(found.notes)
    assert 'no text in 1 row of column "text": line 4' in said
    assert 'no label in 1 row of column "label": line 5' in said
    assert "white space around the label in 1 row" in said
    assert found.column("label").distinct == 2
    assert "looks like a value" in seen(tmp_path, "Go.\t가.\nHi.\t안녕.\nRun!\t뛰어!\n", "a.tsv").notes[0]


def test_what_was_left_out_is_counted(tmp_path: Path) -> None:
    found = seen(tmp_path, REVIEWS + "5,short\n", bad_rows="skip")
    assert (found.rows, found.rejects) == (4, 1)
    assert "line 6" in found.notes[0]


def test_imdb_and_nsmc(shared_data: Path) -> None:
    for file, text, rows in (
        ("imdb/train.csv.gz", "text", 22_500),
        ("nsmc/ratings_train.txt.gz", "document", 149_979),
        ("nsmc/ratings_dev.txt.gz", "document", 4_999),
    ):
        records = read(shared_data / file)
        found = inspect(records)
        assert chosen(found) == ("classify", text, "label")
        assert found.rows == rows
        assert [value for value, _ in found.column("label").top] in (["0", "1"], ["1", "0"])
        assert (found.hangul > 0.8) == file.startswith("nsmc")
        assert found.duplicates == rows - len({" ".join(t.split()) for t in records.columns[text]} - {""}) - sum(
            not t.strip() for t in records.columns[text]
        )


@pytest.mark.parametrize(("file", "passes"), [("imdb/train.csv.gz", 4.5), ("nsmc/ratings_train.txt.gz", 10)])
def test_a_look_at_a_file_takes_few_passes_over_it(file: str, passes: float, shared_data: Path) -> None:
    """So many passes were 3 s on an AMD EPYC of 2021; `python -m bench.reading` has the seconds themselves."""

    def one_pass() -> None:
        with gzip.open(shared_data / file, "rt", encoding="utf-8", newline="") as stream:
            for line in stream:
                line.split()

    assert pace(lambda: inspect(read(shared_data / file)), one_pass) < passes


def test_other_real_files(shared_data: Path) -> None:
    expected = {
        "chatbot_ko/ChatbotData.csv": "classify",
        "tatoeba_eng_kor/train.tsv.gz": "translate",
        "stocks/AAPL.csv": "forecast",
        "ett/ETTh1.csv.gz": "forecast",
        "beijing_pm25/pollution.csv.gz": "forecast",
        "tiny_shakespeare/input.txt": "language",
        "wikitext2/valid.txt.gz": "language",
    }
    assert {file: inspect(shared_data / file).seen for file in expected} == expected
