"""Bytes to text, nothing guessed in silence: the first byte that does not fit is named, with its likely encoding."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress
from difflib import get_close_matches
from encodings.aliases import aliases
from pathlib import Path

from seqloom.errors import DataError, SettingError

__all__ = ["check_codec", "decode", "looks_like"]

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte-order mark"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32 LE with a byte-order mark"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32 BE with a byte-order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 LE with a byte-order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 BE with a byte-order mark"),
)
"""Marks, the codec that reads them, and their name; UTF-32 LE begins as UTF-16 LE does, so it stands before it."""

COMMON = re.compile("[\t\r\n -\u024f\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
HANGUL = re.compile("[\u3131-\u318e\uac00-\ud7a3]")
SEVERAL_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
SAMPLE = 1_000_000
WIDE = ("utf-16", "utf-32")


def check_codec(encoding: str) -> str:
    """The name under which Python knows a text codec: ``"UTF8"`` is ``"utf-8"``.

    Raises:
        SettingError: there is no such codec, or it does not make text of bytes; names the nearest one.
    """
    try:
        name = codecs.lookup(encoding).name
        with suppress(UnicodeError):  # a text codec may not like four zeros
            bytes(4).decode(name)
    except (LookupError, ValueError):
        known = sorted({*aliases, *aliases.values(), "utf-8", "utf-16", "cp949", "euc-kr", "latin-1"})
        close = get_close_matches(encoding.lower(), known, n=1, cutoff=0.5)
        hint = f'did you mean "{close[0]}"? ' if close else ""
        raise SettingError(
            f'encoding "{encoding}" is not a text encoding of Python',
            help=f"{hint}any text codec of Python will do: utf-8, utf-16, cp949, euc-kr, cp1252, latin-1 ...",
        ) from None
    return name


def decode(data: bytes, file: str | Path, encoding: str = "utf-8") -> tuple[str, list[str]]:
    """The text of a file's bytes, without its byte-order mark, and what was noticed.

    Raises:
        DataError: a byte does not fit the encoding, or there is a NUL; names the first one and its place.
        SettingError: there is no such encoding.
    """
    codec = check_codec(encoding)
    notes: list[str] = []
    try:
        text = data.decode(codec)
        if codec != "utf-8":
            text.encode("utf-8")  # some codecs let halves of surrogate pairs through
            notes += _doubts(data, file, codec)
    except UnicodeError as error:
        raise _undecodable(data, file, encoding, error) from None
    if codec == "utf-8-sig" and data.startswith(codecs.BOM_UTF8):
        notes.append("byte-order mark removed")
    if text.startswith("\ufeff"):
        text = text[1:]
        notes.append("byte-order mark removed")
    nul = text.find("\0")
    if nul >= 0:
        raise _nul(data, text, nul, file, encoding)
    return text, notes


def looks_like(data: bytes) -> tuple[str, str] | None:
    """The codec that a file seems to need, and its name for humans; None when nothing fits well.

    Looks for byte-order marks, UTF-16 without one, UTF-8 with a few damaged bytes, Korean (cp949, of which EUC-KR is a
    part), and last cp1252 and latin-1, which fit nearly anything.
    """
    for mark, codec, name in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return codec, name
    wide = _wide(data)
    if wide:
        return wide, wide.upper().replace("-LE", " LE").replace("-BE", " BE") + " without a byte-order mark"
    if b"\0" in data:
        return None
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    else:
        return "utf-8", "UTF-8"
    high = len(data) - len(data.translate(None, bytes(range(128, 256))))
    if sum(len(found) for found in SEVERAL_BYTES.findall(data)) >= 0.8 * high:
        return "utf-8", "UTF-8 with damaged bytes"
    if _is_korean(data):
        return "cp949", "cp949 (EUC-KR, Korean)"
    if re.search(rb"[\x80-\x9f]", data):
        return None if re.search(rb"[\x81\x8d\x8f\x90\x9d]", data) else ("cp1252", "cp1252 (Western European, Windows)")
    return "latin-1", "latin-1 (ISO 8859-1, Western European)"


def _wide(data: bytes) -> str | None:
    """UTF-16 without a mark: zero bytes are frequent, and the right order of bytes gives more common characters."""
    sample = data[:SAMPLE]
    sample = sample[: len(sample) // 2 * 2]
    if sample.count(0) < max(1, len(sample) // 200):
        return None
    shares = {}
    for codec in ("utf-16-le", "utf-16-be"):
        text = sample.decode(codec, errors="replace")
        if "\0" not in text:
            shares[codec] = len(COMMON.findall(text)) / len(text)
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best and shares[best] > 0.7 else None


def _is_korean(data: bytes) -> bool:
    """Whether cp949 reads the bytes, mostly as Hangul. Bytes above 127 come in pairs there, and alone in cp1252."""
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return False
    foreign = [character for character in text[:SAMPLE] if character > "\x7f"]
    runs = re.findall(rb"[\x80-\xff]+", data[:SAMPLE])
    paired = sum(len(run) >= 2 for run in runs)
    return len(HANGUL.findall("".join(foreign))) > 0.7 * len(foreign) and paired > 0.7 * len(runs)


def _doubts(data: bytes, file: str | Path, codec: str) -> list[str]:
    """Doubts about an encoding that fits bytes which are UTF-8 as well: latin-1 fits everything."""
    if codec.startswith("utf-8") or (data.isascii() and not codec.startswith(WIDE)):
        return []
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return []
    if b"\0" not in data and codec.startswith(WIDE):
        raise DataError(
            f"the file is not {codec}: it has no zero bytes, and is valid UTF-8",
            code="D008",
            file=file,
            line=1,
            column=1,
            help="leave --encoding away, or pass --encoding utf-8",
        )
    return [f"read as {codec}, but the bytes are valid UTF-8 too: look at the text, or leave --encoding away"]


def _undecodable(data: bytes, file: str | Path, encoding: str, error: UnicodeError) -> DataError:
    start = error.start if isinstance(error, UnicodeDecodeError) else 0
    if codecs.lookup(encoding).name.startswith(WIDE):
        before = data[:start].decode(encoding, errors="ignore")
        line = before.count("\n") + 1
        column = len(before[before.rfind("\n") + 1 :].encode("utf-16-le")) + 1
    else:
        line = data.count(b"\n", 0, start) + 1
        column = start - data.rfind(b"\n", 0, start)
    guess = looks_like(data)
    what = f"byte 0x{data[start]:02X}" if start < len(data) else "the end of the file"
    message = f"{what} (byte {column} of line {line}) does not fit the encoding {encoding}"
    if guess is None or codecs.lookup(guess[0]).name == codecs.lookup(encoding).name:
        help = "the rest of the file fits: mend the damaged bytes" if guess else "pass its encoding with --encoding"
    else:
        message += f"; the file looks like {guess[1]}"
        help = f"pass --encoding {guess[0]}, or save the file as UTF-8"
    return DataError(message, code="D008", file=file, line=line, column=column, help=help)


def _nul(data: bytes, text: str, position: int, file: str | Path, encoding: str) -> DataError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    wide = looks_like(data)
    if wide and wide[0].startswith(WIDE) and not codecs.lookup(encoding).name.startswith(WIDE):
        return DataError(
            f"byte 0x00 (byte {column} of line {line}) does not fit the encoding {encoding}; "
            f"the file looks like {wide[1]}",
            code="D008",
            file=file,
            line=line,
            column=column,
            help=f"pass --encoding {wide[0]}, or save the file as UTF-8",
        )
    return DataError(
        f"a NUL byte (0x00) at character {column} of line {line}: the file is damaged, or is not text",
        code="D009",
        file=file,
        line=line,
        column=column,
        help="export the file anew, or delete the NUL bytes",
    )
