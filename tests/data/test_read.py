"""Reading users' files: what is read is what the file says, and what is bad is named with its place."""

from __future__ import annotations

import csv
import gzip
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seqloom.data.read import read, read_text
from seqloom.errors import DataError, SettingError

GOOD = "text,label\n좋은 영화,1\n나쁜 영화,0\n"


def made(folder: Path, content: str | bytes, name: str = "reviews.csv") -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def error_of(path: Path, **how: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, **how)  # type: ignore[arg-type]
    assert caught.value.help
    assert caught.value.file == str(path)
    return caught.value


# --- good files ---------------------------------------------------------------------------------------------------


def test_csv_with_everything_that_quotes_allow(tmp_path: Path) -> None:
    content = 'id,"te,xt",label\r\n1,"say ""hi"",\r\n둘째 줄",a\r\n2,a "b" c,\'d\'\r\n3,"",""\r\n\r\n'
    records = read(made(tmp_path, content))
    assert records.columns == {
        "id": ["1", "2", "3"],
        "te,xt": ['say "hi",\r\n둘째 줄', 'a "b" c', ""],
        "label": ["a", "'d'", ""],
    }
    assert records.lines == [2, 4, 5]
    assert records.notes == ()
    assert not records.is_text


@pytest.mark.parametrize(("separator", "said"), [(";", ";"), ("\t", "tab"), ("|", "|")])
def test_other_separators_are_found_in_the_header_and_told(separator: str, said: str, tmp_path: Path) -> None:
    content = f'text{separator}"a,b,c,d"\n하나, 둘{separator}"1{separator}2"\n'
    records = read(made(tmp_path, content))
    assert records.columns == {"text": ["하나, 둘"], "a,b,c,d": [f"1{separator}2"]}
    assert records.notes == (f'separator "{said}"',)


def test_lines_end_in_nothing_but_lf_and_crlf(tmp_path: Path) -> None:
    odd = "a\u0085b\u2028c\x0bd\x0ce\x1cf"
    assert read(made(tmp_path, f"text,label\n{odd},1\n{odd},0\n")).columns["text"] == [odd, odd]
    assert read(made(tmp_path, f"text\tlabel\n{odd}\t1\n", "a.tsv")).columns["text"] == [odd]
    assert read(made(tmp_path, f"{odd}\n{odd}", "a.txt")).columns["text"] == [odd, odd]
    assert read(made(tmp_path, '{"text": "' + odd[:3] + '"}\n', "a.jsonl")).columns["text"] == [odd[:3]]


def test_a_value_longer_than_the_csv_module_allows(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "가" * (limit + 10)
    assert read(made(tmp_path, f'text,label\n{long},1\n"{long}",0\n')).columns["text"] == [long, long]
    assert csv.field_size_limit() == limit


def test_tsv_takes_quotes_for_plain_text(tmp_path: Path) -> None:
    records = read(made(tmp_path, 'text\tlabel\r\n"좋아\t1\r\nit\'s "so" so\t0', "a.tsv"))
    assert records.columns == {"text": ['"좋아', 'it\'s "so" so'], "label": ["1", "0"]}
    assert records.lines == [2, 3]


def test_jsonl_keeps_types_and_order_of_keys_does_not_matter(tmp_path: Path) -> None:
    records = read(made(tmp_path, '{"text": "가", "n": 1}\n{"n": 2.5, "text": null}\n\n', "a.jsonl"))
    assert records.columns == {"text": ["가", None], "n": [1, 2.5]}
    nested = read(made(tmp_path, '{"text": "가", "tags": ["나", 1]}\n', "b.ndjson"))
    assert nested.columns["tags"] == ['["나", 1]']
    assert "JSON text" in nested.notes[0]


def test_txt_is_lines_unless_its_lines_hold_equally_many_tabs(tmp_path: Path) -> None:
    plain = read(made(tmp_path, "첫 줄\n\n셋째 줄\n", "a.txt.gz"))
    assert plain.columns == {"text": ["첫 줄", "", "셋째 줄"]}
    assert plain.lines == [1, 2, 3]
    assert plain.is_text
    table = read(made(tmp_path, 'id\tdocument\tlabel\n1\t"좋다\t1\n2\t\t0\n', "b.txt"))
    assert table.columns == {"id": ["1", "2"], "document": ['"좋다', ""], "label": ["1", "0"]}
    assert "tab-separated" in table.notes[0]
    assert not table.is_text
    assert error_of(made(tmp_path, "id\tlabel\n1\ta\n2\n3\tb\n", "c.txt")).code == "D020"
    assert read(made(tmp_path, "a tab\there\nnone\nnone\n", "d.txt")).is_text
    assert read(made(tmp_path, "가\tB\n나\tO\n\n다\tO\n라\tB\n\n마\tO\n", "e.txt")).is_text


def test_parquet_times_lists_and_bytes(tmp_path: Path) -> None:
    import datetime

    import polars

    day = datetime.datetime(2020, 1, 2, 3, 4, 5)
    path = tmp_path / "a.parquet"
    frame = {"text": ["가", None], "at": [day, None], "tags": [["나"], None], "image": [b"\x00", b"\x01"]}
    polars.DataFrame(frame).write_parquet(path)
    records = read(path)
    assert records.columns == {
        "text": ["가", None],
        "at": ["2020-01-02T03:04:05", None],
        "tags": ['["나"]', None],
    }
    assert any("image" in note for note in records.notes)
    assert records.lines == [1, 2]


def test_a_byte_order_mark_is_removed_and_told(tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv", "a.txt", "a.csv.gz"):
        content = GOOD.replace(",", "\t") if "tsv" in name else GOOD
        records = read(made(tmp_path, b"\xef\xbb\xbf" + content.encode(), name))
        assert next(iter(records.columns)) == "text"
        assert "byte-order mark removed" in records.notes
    assert read(made(tmp_path, b'\xef\xbb\xbf{"text": "x"}\n', "a.jsonl")).columns == {"text": ["x"]}


def test_read_text_is_the_whole_text(tmp_path: Path) -> None:
    assert read_text(made(tmp_path, b"\xef\xbb\xbf\xea\xb0\x80\r\nb\t\n\n", "a.txt")) == "가\nb\t\n\n"
    assert read_text(made(tmp_path, "가\u0085나", "b.txt.gz")) == "가\u0085나"
    with pytest.raises(DataError, match="empty"):
        read_text(made(tmp_path, "", "c.txt"))


def test_take_keeps_rows_and_their_lines(tmp_path: Path) -> None:
    records = read(made(tmp_path, "text,label\na,1\nb,2\nc,3\n")).take([2, 0])
    assert records.columns == {"text": ["c", "a"], "label": ["3", "1"]}
    assert records.lines == [4, 2]
    assert len(records) == 2


# --- bad files ----------------------------------------------------------------------------------------------------


def test_empty_files(tmp_path: Path) -> None:
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.txt", "a.csv.gz"):
        assert error_of(made(tmp_path, b"", name)).code == "D005"
    assert error_of(made(tmp_path, b"\xef\xbb\xbf", "b.csv")).code == "D005"


def test_only_a_header(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text,label\n"), ("a.tsv", "text\tlabel"), ("a.txt", "text\tlabel\n")):
        error = error_of(made(tmp_path, content, name))
        assert (error.code, error.line) == ("D011", 1)
    import polars

    polars.DataFrame({"text": []}).write_parquet(tmp_path / "a.parquet")
    assert error_of(tmp_path / "a.parquet").code == "D011"


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    error = error_of(made(tmp_path, GOOD), columns=["text", "lable"])
    assert (error.code, error.line, error.column) == ("D026", 1, "lable")
    assert 'did you mean "label"' in (error.help or "")


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        ("text,label\na,1\nb\n", "D020", 3, "label"),
        ('text,label\n"a\nb",1\nb,2,3\n', "D020", 4, "label"),
        ('text,label\na,1\nb,"2\nc,3\n', "D021", 3, 3),
        ('text,label\na,1\n"b"c,2\n', "D021", 3, 1),
        ('text,label\n"a,1\n"b",2\n', "D021", 2, 1),
        ('text,"label\na,1\n', "D021", 1, 6),
        (",text\n1,a\n", "D022", 1, ""),
        ("\ntext,label\na,1\n", "D022", 1, ""),
        ("text,label,text\na,1,b\n", "D023", 1, "text"),
        ("text,label\na,1\ntext,label\nb,2\n", "D024", 3, "text"),
        ("text,label\na,1\n\nb,2\n", "D025", 3, "text"),
        ("text,label\na,1\n,\n", "D025", 3, "text"),
        ("text,label\na\rb,1\n", "D015", 2, 2),
        ("text,label\ra,1\rb,2\r", "D015", 1, 11),
        ("text,label\na,1\nb\0c,2\n", "D009", 3, 2),
    ],
)
def test_bad_rows_of_csv(content: str, code: str, line: int, column: str | int, tmp_path: Path) -> None:
    for ending in ("", ".gz"):
        error = error_of(made(tmp_path, content, f"a.csv{ending}"))
        assert (error.code, error.line, error.column) == (code, line, column)


@pytest.mark.parametrize(
    ("content", "code", "line", "column"),
    [
        ("text\tlabel\na\t1\nb\n", "D020", 3, "label"),
        ("text\ttext\na\t1\n", "D023", 1, "text"),
        ("text\t\na\t1\n", "D022", 1, ""),
        ("text\tlabel\ntext\tlabel\n", "D024", 2, "text"),
        ("text\tlabel\n\na\t1\n", "D025", 2, "text"),
    ],
)
def test_bad_rows_of_tsv(content: str, code: str, line: int, column: str, tmp_path: Path) -> None:
    error = error_of(made(tmp_path, content, "a.tsv"))
    assert (error.code, error.line, error.column) == (code, line, column)


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        ('{"text": "b", "label" 1}', "D027", 23),
        ('{"text": "b", "label": NaN}', "D027", 1),
        ('{"text": "b", "text": "c", "label": 1}', "D027", 1),
        ('{"text": "\\ud800", "label": 1}', "D027", 11),
        ("[" * 100_000, "D027", 1),
        ('["b", 1]', "D028", 1),
        ("3", "D028", 1),
        ('{"text": "b"}', "D029", "label"),
        ('{"text": "b", "label": 1, "lable": 2}', "D029", "lable"),
        ("", "D025", 1),
    ],
)
def test_bad_lines_of_json(line: str, code: str, column: str | int, tmp_path: Path) -> None:
    path = made(tmp_path, '{"text": "가", "label": 1}\n' + line + '\n{"text": "c", "label": 0}\n', "a.jsonl")
    error = error_of(path)
    assert (error.code, error.line, error.column) == (code, 2, column)
    records = read(path, bad_rows="skip")
    assert records.columns == {"text": ["가", "c"], "label": [1, 0]}
    assert [(reject.line, reject.code, reject.text) for reject in records.rejects] == [(2, code, line)]


def test_broken_parquet(tmp_path: Path) -> None:
    import polars

    path = tmp_path / "a.parquet"
    polars.DataFrame({"text": [f"{n} 글" for n in range(500)]}).write_parquet(path)
    data = path.read_bytes()
    middle = len(data) - 40
    for broken in (
        data[:100],
        b"text,label\na,1\n",
        data[:-8] + b"\xff\xff\xff\x7fPAR1",
        data[:middle] + b"\xff" * 30 + data[middle + 30 :],
    ):
        path.write_bytes(broken)
        assert error_of(path).code == "D030"


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    error = error_of(made(tmp_path, gzip.compress(GOOD.encode()), "a.csv"))
    assert error.code == "D014"
    assert ".gz" in (error.help or "")
    assert error_of(made(tmp_path, b"PK\x03\x04....", "a.csv")).code == "D014"


def test_packed_files_that_are_cut_off_or_damaged(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{n},{n * n}\n" for n in range(9000)).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    error = error_of(path)
    assert error.code == "D006"
    assert error.line is not None
    assert 1000 < error.line < 9000
    for broken in (whole[:-8] + b"1234" + whole[-4:], whole[:2000] + b"\0" * 50 + whole[2050:], GOOD.encode()):
        path.write_bytes(broken)
        assert error_of(path).code == "D007"


def test_a_folder_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    made(tmp_path, GOOD)
    folder = error_of(tmp_path)
    assert folder.code == "D002"
    assert "reviews.csv" in (folder.help or "")
    absent = error_of(tmp_path / "review.csv")
    assert absent.code == "D001"
    assert "reviews.csv" in (absent.help or "")
    assert error_of(tmp_path / "no" / "where.csv").code == "D001"
    assert error_of(tmp_path / "reviews.csv" / "x.csv").code == "D001"
    assert error_of(tmp_path / "nothing").code == "D001"
    assert error_of(tmp_path / ("x" * 300 + ".csv")).code == "D010"


def test_an_ending_that_no_format_has(tmp_path: Path) -> None:
    error = error_of(made(tmp_path, GOOD, "a.cvs"))
    assert error.code == "D004"
    assert 'did you mean ".csv"' in (error.help or "")
    assert ".parquet" in (error.help or "")
    assert error_of(made(tmp_path, GOOD, "reviews")).code == "D004"


@contextmanager
def denied(path: Path) -> Iterator[None]:
    """Takes the permission away; root, whom no mode stops, becomes nobody meanwhile."""
    path.chmod(0)
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("runs as root and may not become another user")
    try:
        yield
    finally:
        os.seteuid(0)


def test_no_permission(tmp_path: Path) -> None:
    path = made(tmp_path, GOOD)
    read(path)  # everything that reading imports is there before permissions go
    with denied(path):
        error = error_of(path)
    assert error.code == "D003"
    assert "chmod" in (error.help or "")


# --- bad rows left out --------------------------------------------------------------------------------------------


def test_bad_rows_are_left_out_and_listed(tmp_path: Path) -> None:
    content = "text,label\n가,1\nb\n\ntext,label\nc,2,3\n,\nd,0\n"
    records = read(made(tmp_path, content), bad_rows="skip")
    assert records.columns == {"text": ["가", "d"], "label": ["1", "0"]}
    assert records.lines == [2, 8]
    assert [(reject.line, reject.code, reject.text) for reject in records.rejects] == [
        (3, "D020", "b"),
        (4, "D025", ""),
        (5, "D024", "text,label"),
        (6, "D020", "c,2,3"),
        (7, "D025", ","),
    ]
    assert records.rejects[0].to_dict()["message"] == "the row has 1 value, the header has 2 columns"
    assert any("5 rows left out" in note for note in records.notes)


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    records = read(made(tmp_path, 'text,label\na,1\n"b,2\nc,3\nd,4\n'), bad_rows="skip")
    assert records.columns == {"text": ["a", "c", "d"], "label": ["1", "3", "4"]}
    assert [(reject.line, reject.code, reject.text) for reject in records.rejects] == [(3, "D021", '"b,2')]


def test_the_rest_of_a_broken_value_is_not_taken_for_rows(tmp_path: Path) -> None:
    content = 'text,label\na,1\n"b\nsecond"x,2\nc,"3"\n'
    records = read(made(tmp_path, content), bad_rows="skip")
    assert records.columns == {"text": ["a", "c"], "label": ["1", "3"]}
    assert [reject.line for reject in records.rejects] == [3, 4]
    assert records.lines == [2, 5]


def test_when_every_row_is_bad_it_is_an_error(tmp_path: Path) -> None:
    error = error_of(made(tmp_path, "text,label\na\nb\n"), bad_rows="skip")
    assert error.code == "D011"
    assert "2 rows" in error.message


def test_faults_of_the_whole_file_are_errors_all_the_same(tmp_path: Path) -> None:
    assert error_of(made(tmp_path, b"text,label\n\xff,1\nb,2\n"), bad_rows="skip").code == "D008"
    assert error_of(made(tmp_path, "text,text\na,1\n"), bad_rows="skip").code == "D023"


def test_a_way_with_bad_rows_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="skip"):
        read(made(tmp_path, GOOD), bad_rows="skipp")


# --- real files ---------------------------------------------------------------------------------------------------


def test_imdb_is_what_the_csv_module_reads(shared_data: Path) -> None:
    path = shared_data / "imdb/dev.csv.gz"
    start = time.process_time()
    records = read(path)
    seconds = time.process_time() - start
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(io.StringIO(stream.read(), newline="")))
    assert list(records.columns) == rows[0]
    assert [list(row) for row in zip(*records.columns.values(), strict=True)] == rows[1:]
    assert seconds < 1


def test_nsmc_has_all_its_rows(shared_data: Path) -> None:
    start = time.process_time()
    records = read(shared_data / "nsmc/ratings_train.txt.gz")
    seconds = time.process_time() - start
    assert len(records) == 149_979
    assert list(records.columns) == ["id", "document", "label"]
    assert set(records.columns["label"]) == {"0", "1"}
    assert records.lines[-1] == 149_980
    assert seconds < 3


def test_tagged_tokens_are_not_taken_for_a_table(shared_data: Path) -> None:
    error = error_of(shared_data / "klue_ner_small/dev.tsv.gz")
    assert error.code == "D025"
    assert "tagged" in (error.help or "")
