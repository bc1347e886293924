from __future__ import annotations

import pytest

from bench.results import finish, table, write_section


def test_a_section_is_added_and_then_replaced_in_its_place(tmp_path):
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n\nfirst\n")
    write_section("one", "1\n", file)
    write_section("two", "2", file)
    write_section("one", "11\n\n", file)
    assert file.read_text() == (
        "# Results\n\nfirst\n\n<!-- one -->\n11\n<!-- /one -->\n\n<!-- two -->\n2\n<!-- /two -->\n"
    )


def test_text_behind_a_section_stays(tmp_path):
    file = tmp_path / "RESULTS.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- /a -->\n\nafter\n")
    write_section("a", "new", file)
    assert file.read_text() == "before\n<!-- a -->\nnew\n<!-- /a -->\n\nafter\n"


@pytest.mark.parametrize("text", ["<!-- a -->\n", "<!-- /a -->\n", "<!-- a --><!-- /a -->" * 2])
def test_marks_that_do_not_pair_are_told(tmp_path, text):
    file = tmp_path / "RESULTS.md"
    file.write_text(text)
    with pytest.raises(ValueError, match="once each"):
        write_section("a", "new", file)
    assert file.read_text() == text


@pytest.mark.parametrize("write", [True, False])
def test_a_bench_ends_with_its_section_shown_and_written_where_told(tmp_path, capsys, write):
    file = tmp_path / "RESULTS.md"
    file.write_text("# Results\n")
    finish("bench.one", "## One\n", write=write, file=file)
    shown, told = capsys.readouterr()
    assert shown == "## One\n\n"
    assert told == (f"written into {file}\n" if write else "")
    assert ("<!-- bench.one -->\n## One\n<!-- /bench.one -->\n" in file.read_text()) == write


def test_table():
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
