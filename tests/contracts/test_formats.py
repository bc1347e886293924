"""What every format keeps: round trips, also packed; broken files answered with a place; one meaning a code."""

from __future__ import annotations

import ast
import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqloom
from seqloom.data.formats.base import CODES, Format
from seqloom.data.read import read
from seqloom.data.records import Records
from seqloom.errors import DataError
from seqloom.parts import describe, names, part

FORMATS = names("formats")
CHARACTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff")
ODD = ['"', '""', "a,b", "a;b|c", "a\tb", "둘째\n줄", "\r\n", "a\rb", " 가 나 ", "\u0085\u2028", "", "'", "각"]
VALUES = st.one_of(st.text(CHARACTERS, max_size=12), st.sampled_from(ODD))


def records_of(name: str, texts: list[str], labels: list[str]) -> Records:
    columns = {"text": texts} if name == "txt" else {"text": texts, "라벨;" if len(texts) % 2 else "label": labels}
    return Records("made", columns, list(range(len(texts))))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_round_trip(name: str, ending: str, tmp_path: Path) -> None:
    format: Format = part("formats", name)
    for extension in format.extensions:
        path = tmp_path / f"reviews{extension}{ending}"
        given = records_of(name, ["좋은 영화", "a “fine” film, really", "x"], ["긍정", "1", ""])
        format.write(path, given)
        found = read(path)
        assert found.columns == given.columns
        assert found.format == name
        assert len(found.lines) == 3
        assert found.lines == sorted(set(found.lines))
        assert found.rejects == ()
        assert (path.read_bytes()[:2] == b"\x1f\x8b") == (ending == ".gz")


@pytest.mark.parametrize("name", FORMATS)
def test_odd_values_are_kept_or_refused(name: str, tmp_path: Path) -> None:
    format: Format = part("formats", name)
    path = tmp_path / f"data{format.extensions[0]}"
    kept = []
    for odd in ODD:
        try:
            format.write(path, records_of(name, [odd], ["x"]))
        except DataError as error:
            assert (error.code, name in ("tsv", "txt")) == ("D031", True)
        else:
            kept.append(odd)
    assert "가" in "".join(kept)
    given = records_of(name, kept, ["x"] * len(kept))
    format.write(path, given)
    assert format.read(path).columns == given.columns


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "parquet"])  # which starts a process a file
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=6))
def test_what_is_written_is_read_or_refused(name: str, rows: list[tuple[str, str]]) -> None:
    format: Format = part("formats", name)
    given = records_of(name, [text for text, _ in rows], [label for _, label in rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"data{format.extensions[0]}"
        try:
            format.write(path, given)
        except DataError as error:
            assert error.code == "D031"
            assert name in ("tsv", "txt")
            assert not path.exists()
        else:
            assert format.read(path).columns == given.columns


@pytest.mark.parametrize("name", ["jsonl", "parquet"])
def test_types_are_kept(name: str, tmp_path: Path) -> None:
    columns = {
        "text": ["가", None, "c"],
        "whole": [1, -2, 3],
        "real": [0.5, None, 1e300],
        "truth": [True, False, None],
    }
    path = tmp_path / f"typed.{name}"
    part("formats", name).write(path, Records("made", columns, [1, 2, 3]))
    found = read(path)
    assert found.columns == columns
    assert [type(value) for value in found.columns["whole"]] == [int] * 3
    assert [type(value) for value in found.columns["truth"]] == [bool, bool, type(None)]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("broken", ["cut off", "damaged", "empty"])
def test_a_broken_file_is_answered_with_its_place(name: str, broken: str, tmp_path: Path) -> None:
    format: Format = part("formats", name)
    path = tmp_path / f"reviews{format.extensions[0]}.gz"
    texts = [f"{number} 좋은 영화 {number * 7919 % 1000}" for number in range(500)]
    format.write(path, records_of(name, texts, ["a", "b"] * 250))
    data = path.read_bytes()
    if broken == "cut off":
        path.write_bytes(data[: len(data) // 2])
    elif broken == "damaged":
        path.write_bytes(data[:-8] + b"\xff" * 4 + data[-4:])  # the checksum
    else:
        path.write_bytes(gzip.compress(b""))
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.code == {"cut off": "D006", "damaged": "D007", "empty": "D005"}[broken]
    assert caught.value.file == str(path)
    assert caught.value.line is not None
    assert caught.value.line >= 1
    assert caught.value.help


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_says_what_it_is_and_has_endings_of_its_own(name: str) -> None:
    format: Format = part("formats", name)
    assert describe("formats", name).endswith(".")
    assert format.extensions
    for extension in format.extensions:
        assert extension == extension.lower()
        assert extension.startswith(".")
        others = [other for other in FORMATS if extension in part("formats", other).extensions]
        assert others == [name]


def codes_used() -> dict[str, set[str]]:
    """Every ``code="Dnnn"`` in the package, and each string that begins like a code, with the files it stands in."""
    root = Path(seqloom.__file__).parent
    used: dict[str, set[str]] = {}
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                code = node.value
                if len(code) == 4 and code[0] == "D" and code[1:].isdigit():
                    used.setdefault(code, set()).add(str(file.relative_to(root)))
    return used


def test_every_code_is_documented_and_every_documented_code_is_used() -> None:
    used = codes_used()
    assert set(used) == set(CODES)
    for code, files in used.items():
        assert files - {"data/formats/base.py"} or code in Path(seqloom.__file__).parent.joinpath(
            "data/formats/base.py"
        ).read_text("utf-8").replace(f'"{code}": ', ""), f"{code} stands only in the table"


def test_no_code_stands_twice_in_the_table_and_each_has_a_meaning_of_its_own() -> None:
    source = Path(seqloom.__file__).parent.joinpath("data/formats/base.py").read_text("utf-8")
    tree = ast.parse(source)
    table = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict) and len(node.keys) > 5)
    keys = [key.value for key in table.keys if isinstance(key, ast.Constant)]
    assert len(keys) == len(set(keys))
    assert keys == sorted(keys)
    assert len(set(CODES.values())) == len(CODES)
