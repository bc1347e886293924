"""Fonts are found by their character maps, and what none has is known before it is drawn."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import matplotlib
import pytest
from matplotlib.ft2font import FT2Font

from seqloom.report import fonts

STIX = Path(matplotlib.get_data_path()) / "fonts/ttf/STIXGeneral.ttf"


def lacking() -> str:
    """A character that STIX has and DejaVu Sans has not."""
    base = FT2Font(str(STIX.with_name("DejaVuSans.ttf"))).get_charmap()
    found = sorted(code for code in FT2Font(str(STIX)).get_charmap() if code not in base and code > 0x1000)
    return next(chr(code) for code in found if unicodedata.category(chr(code))[0] in "LS")


def test_base_font_needs_no_other() -> None:
    assert fonts.families(["loss 0.25", "Ünïcödé", "Ελλάδα", "Россия", ""]) == [fonts.BASE]
    assert fonts.drawable("accuracy, validation")


def test_without_fonts_korean_is_known_to_be_missing(no_fonts: None) -> None:
    assert fonts.hangul() is None
    assert not fonts.drawable("긍정")
    assert fonts.drawable("positive")
    assert fonts.families(["긍정", "positive"]) == [fonts.BASE]


def test_control_characters_and_halves_of_surrogates_cannot_be_drawn() -> None:
    assert not fonts.drawable("a\x00b")
    assert not fonts.drawable("\ud83d")
    assert fonts.drawable("two words\tand\nlines")


def test_font_is_found_by_its_character_map(monkeypatch: pytest.MonkeyPatch, no_fonts: None) -> None:
    character = lacking()
    assert not fonts.drawable(character)
    monkeypatch.setattr(fonts, "installed", lambda: (STIX,))
    fonts._font_with.cache_clear()
    assert fonts.drawable(character)
    assert fonts.families(["loss", character]) == [fonts.BASE, "STIXGeneral"]


def test_file_that_is_no_font_is_passed_over(monkeypatch: pytest.MonkeyPatch, no_fonts: None, tmp_path: Path) -> None:
    broken = tmp_path / "Broken.ttf"
    broken.write_bytes(b"not a font")
    monkeypatch.setattr(fonts, "installed", lambda: (broken, STIX))
    fonts._font_with.cache_clear()
    assert fonts.families([lacking()]) == [fonts.BASE, "STIXGeneral"]


def test_plain_fonts_come_before_fancy_ones() -> None:
    files = ["NanumMyeongjo.ttf", "NanumGothicBold.ttf", "NanumGothicCoding.ttf", "NanumPen.ttf", "NanumGothic.ttf"]
    assert min(map(Path, files), key=fonts._oddity).name == "NanumGothic.ttf"


def test_emoji_and_last_resort_fonts_are_never_taken() -> None:
    names = {file.name.lower() for file in fonts.installed()}
    assert not [name for name in names if "emoji" in name or "lastresort" in name]
    assert fonts._has(Path("/x/LastResortHE-Regular.ttf"), fonts.UNUSABLE)
    assert fonts._has(Path("/x/NotoColorEmoji.ttf"), fonts.UNUSABLE)


def test_installed_font_with_hangul() -> None:
    family = fonts.hangul()
    if family is None:
        pytest.skip("no font with Hangul is installed")
    assert fonts.drawable("한국어 뉴스")
    assert family in fonts.families(["정치"])
