"""Bytes that do not fit their encoding are named with their place and with what the file looks like."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.data.encoding import check_codec, decode, looks_like
from seqloom.data.read import read, read_text
from seqloom.errors import DataError, SettingError

KOREAN = "text,label\n이 영화는 정말 좋았어요,1\n시간이 아까운 영화,0\n다시 보고 싶은 뙇 명작,1\n"
FRENCH = "text,label\nCe film est très réussi,1\nUn été gâché par la façade,0\n"
WINDOWS = "text,label\n“Très” réussi – 5 €,1\nbad,0\n"


def error_of(data: bytes, encoding: str = "utf-8") -> DataError:
    with pytest.raises(DataError) as caught:
        decode(data, "reviews.csv", encoding)
    assert caught.value.file == "reviews.csv"
    return caught.value


@pytest.mark.parametrize(
    ("data", "bad", "place", "looks", "advice"),
    [
        (KOREAN.encode("cp949"), "0xC0", (2, 1), "cp949", "cp949"),
        (KOREAN.replace("뙇", "").encode("euc-kr"), "0xC0", (2, 1), "EUC-KR", "cp949"),
        (FRENCH.encode("latin-1"), "0xE8", (2, 15), "latin-1", "latin-1"),
        (WINDOWS.encode("cp1252"), "0x93", (2, 1), "cp1252", "cp1252"),
        (FRENCH.encode("utf-16"), "0xFF", (1, 1), "UTF-16 LE with a byte-order mark", "utf-16"),
        (b"\xfe\xff" + FRENCH.encode("utf-16-be"), "0xFE", (1, 1), "UTF-16 BE with a byte-order mark", "utf-16"),
        (FRENCH.encode("utf-32"), "0xFF", (1, 1), "UTF-32 LE with a byte-order mark", "utf-32"),
        (b"text,label\nabc,1\n".decode().encode("utf-16-le"), "0x00", (1, 2), "UTF-16 LE without", "utf-16-le"),
        (b"text,label\nabc,1\n".decode().encode("utf-16-be"), "0x00", (1, 1), "UTF-16 BE without", "utf-16-be"),
        (KOREAN.encode("utf-16-le"), None, None, "UTF-16 LE without", "utf-16-le"),
        (KOREAN.encode("utf-16-be"), None, None, "UTF-16 BE without", "utf-16-be"),
    ],
)
def test_the_first_bad_byte_and_what_the_file_looks_like(
    data: bytes, bad: str | None, place: tuple[int, int] | None, looks: str, advice: str
) -> None:
    error = error_of(data)
    assert error.code == "D008"
    found = re.search(r"byte (0x[0-9A-F]{2}) \(byte (\d+) of line (\d+)\)", error.message)
    assert found is not None
    assert (error.line, error.column) == (int(found[3]), int(found[2]))
    if bad is not None:
        assert found[1] == bad
        assert (error.line, error.column) == place
    assert looks in error.message
    assert f"--encoding {advice}," in f"{error.help},"
    text, _ = decode(data, "reviews.csv", advice)  # the advice works
    assert text.startswith("text,label\n")


def test_the_place_of_the_bad_byte_is_right_in_a_long_file() -> None:
    lines = [f"{number},좋은 영화".encode() for number in range(5000)]
    lines[4321] = b"4321,\xea\xb0\x80b\xffc"
    error = error_of(b"\r\n".join(lines))
    assert (error.line, error.column) == (4322, 10)
    assert "0xFF" in error.message
    assert "mend" in (error.help or "")


def test_text_that_is_cut_in_the_middle_of_a_character() -> None:
    error = error_of("좋은\n영화".encode()[:-1])
    assert (error.line, error.column) == (2, 4)


def test_nul_bytes() -> None:
    error = error_of("text,label\n좋다,1\n나\0쁘다,0\n".encode())
    assert (error.code, error.line, error.column) == ("D009", 3, 2)


def test_a_wrong_encoding_that_was_asked_for() -> None:
    error = error_of(KOREAN.encode(), "euc-kr")
    assert error.code == "D008"
    assert "looks like UTF-8" in error.message
    assert "--encoding utf-8" in (error.help or "")
    assert error_of(FRENCH.encode(), "utf-16-le").code == "D008"
    assert error_of(("x" + FRENCH).encode(), "utf-16-le").code == "D008"
    assert error_of(b"plain text!!", "utf-16").code == "D008"
    odd = error_of("가\n나다".encode("utf-16-le")[:-1], "utf-16-le")
    assert (odd.line, odd.column) == (2, 3)


def test_latin_1_fits_everything_so_a_doubt_is_told() -> None:
    text, notes = decode(KOREAN.encode(), "reviews.csv", "latin-1")
    assert text != KOREAN
    assert "UTF-8" in notes[0]
    assert decode(FRENCH.encode("latin-1"), "reviews.csv", "latin-1") == (FRENCH, [])
    assert decode(b"only ascii", "reviews.csv", "latin-1") == ("only ascii", [])


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp949", "johab"])
def test_encodings_that_hold_korean(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(KOREAN.encode(encoding))
    records = read(path, encoding=encoding)
    assert records.columns["text"][2] == "다시 보고 싶은 뙇 명작"
    assert records.lines == [2, 3, 4]
    assert read_text(path, encoding=encoding) == KOREAN


@pytest.mark.parametrize(
    ("mark", "codec"), [(codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16-le")]
)
def test_byte_order_marks_are_removed_and_told(mark: bytes, codec: str) -> None:
    plain = "utf-8" if codec == "utf-8-sig" else codec
    text, notes = decode(mark + KOREAN.encode(plain), "reviews.csv", codec)
    assert text == KOREAN
    assert notes == ["byte-order mark removed"]


@pytest.mark.parametrize("encoding", ["utf-88", "cp9499", "nonsense", "", "rot13", "base64", "zip", "한글", "a\0b"])
def test_what_is_not_a_text_encoding(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_text(KOREAN, "utf-8")
    for reads in (lambda: read(path, encoding=encoding), lambda: decode(b"", path, encoding)):
        with pytest.raises(SettingError) as caught:
            reads()
        assert "any text codec" in (caught.value.help or "")
    if encoding == "cp9499":
        assert 'did you mean "cp949"' in (caught.value.help or "")


def test_codecs_have_one_name() -> None:
    assert check_codec("UTF8") == check_codec("utf_8") == "utf-8"


@given(st.binary(max_size=200), st.sampled_from(["utf-8", "cp949", "utf-16", "latin-1", "utf-7", "utf-8-sig"]))
def test_any_bytes_are_text_or_one_error(data: bytes, encoding: str) -> None:
    try:
        text, _ = decode(data, "f", encoding)
    except DataError as error:
        assert error.code in ("D008", "D009")
        assert error.line is not None
        assert error.line >= 1
        assert isinstance(error.column, int)
        assert error.column >= 1
    else:
        text.encode("utf-8")
        assert "\0" not in text
    looks_like(data)
