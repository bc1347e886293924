"""The split is stratified, seeded, and keeps equal texts together."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data.split import fold, split
from seqloom.errors import SettingError
from tests.data.pace import pace

ROWS = st.lists(
    st.tuples(st.sampled_from(["가", " 가", "가 나", "가\t나", "a", "b", "c", "d", "e", ""]), st.sampled_from("xyz")),
    min_size=2,
    max_size=80,
)
UNIQUE = st.lists(st.sampled_from("xyz"), min_size=2, max_size=300)
SHARES = st.floats(0.01, 0.99)


@given(ROWS, SHARES, st.integers(0, 2**31), st.booleans())
def test_every_record_once_and_equal_texts_on_one_side(
    rows: list[tuple[str, str]], share: float, seed: int, labelled: bool
) -> None:
    texts = [text for text, _ in rows]
    labels = [label for _, label in rows] if labelled else None
    if len({fold(text) for text in texts}) < 2:
        with pytest.raises(SettingError):
            split(texts, labels, share, seed)
        return
    train, valid = split(texts, labels, share, seed)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(len(texts)))
    assert len(train) > 0
    assert len(valid) > 0
    assert train.tolist() == sorted(train.tolist())
    assert valid.tolist() == sorted(valid.tolist())
    assert not {fold(texts[index]) for index in train} & {fold(texts[index]) for index in valid}
    again = split(texts, labels, share, seed)
    assert np.array_equal(again[0], train)
    assert np.array_equal(again[1], valid)


@given(UNIQUE, SHARES, st.integers(0, 2**31))
def test_each_label_gives_its_share(labels: list[str], share: float, seed: int) -> None:
    train, valid = split([str(number) for number in range(len(labels))], labels, share, seed)
    total, given_away = Counter(labels), Counter(labels[index] for index in valid)
    kept = Counter(labels[index] for index in train)
    for label, count in total.items():
        # rounded up or down; at least one stays for training; at least one record is validated
        assert abs(given_away[label] - share * count) <= 1 or given_away[label] == count - 1 or len(valid) == 1
        assert kept[label] >= 1 or len(valid) == 1


@given(st.integers(20, 400), SHARES, st.integers(0, 1000))
def test_without_labels_the_share_is_exact(rows: int, share: float, seed: int) -> None:
    train, valid = split([f"글 {number}" for number in range(rows)], None, share, seed)
    assert len(valid) == min(max(round(share * rows), 1), rows - 1)
    assert len(train) + len(valid) == rows


def test_large_groups_count_with_all_their_records() -> None:
    texts = ["굿"] * 300 + [f"영화 {number}" for number in range(700)]
    for seed in range(20):
        _, valid = split(texts, None, 0.1, seed)
        assert len(valid) == 100
        assert not any(texts[index] == "굿" for index in valid)


def test_another_seed_is_another_split() -> None:
    texts = [str(number) for number in range(1000)]
    one, two = split(texts, None, 0.1, 1)[1], split(texts, None, 0.1, 2)[1]
    assert len(set(one.tolist()) & set(two.tolist())) < 30
    assert abs(float(np.mean(one)) - 500) < 100


def test_what_makes_texts_equal() -> None:
    assert fold(" 좋은\u3000\n영화 ") == "좋은 영화"
    assert fold(unicodedata.normalize("NFD", "좋은")) == "좋은"
    assert fold("A") != fold("a")


def test_the_split_is_the_same_in_another_process() -> None:
    texts, labels = [f"글 {number % 90}" for number in range(100)], ["긍정" if n % 3 else "부정" for n in range(100)]
    code = f"from seqloom.data.split import split\nprint(split({texts!r}, {labels!r}, 0.2, 7)[1].tolist())"
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1", "PATH": ""}
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={**environment, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert found[0].decode().strip() == str(split(texts, labels, 0.2, 7)[1].tolist())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_out_of_range(share: float) -> None:
    with pytest.raises(SettingError, match="share"):
        split(["a", "b"], None, share, 1)


def test_nothing_to_split() -> None:
    for texts in ([], ["a"], ["a", " a "]):
        with pytest.raises(SettingError, match="--valid"):
            split(texts, None, 0.5, 1)


def test_many_rows_are_split_quickly(shared_data: Path) -> None:
    from seqloom.data.read import read

    records = read(shared_data / "nsmc/ratings_train.txt.gz")
    texts, labels = records.columns["document"], records.columns["label"]
    train, valid = split(texts, labels, 0.1, 1)
    assert len(train) + len(valid) == 149_979
    assert abs(len(valid) - 14_998) <= 1
    shares = Counter(labels[index] for index in valid)
    assert abs(shares["0"] - 7_499) <= 75  # 157 texts carry both labels, and count for the first one
    assert not {fold(texts[index]) for index in train} & {fold(texts[index]) for index in valid}
    assert pace(lambda: split(texts, labels, 0.1, 1), lambda: [fold(text) for text in texts]) < 4.5
