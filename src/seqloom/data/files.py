"""Opens a user's file: from a path to its bytes, unpacked when the name ends in .gz."""

from __future__ import annotations

import gzip
import zlib
from difflib import get_close_matches
from pathlib import Path

from seqloom.data.encoding import decode
from seqloom.errors import DataError

__all__ = ["extension", "is_gzip", "read_bytes", "read_checked_text", "write_bytes"]

OTHER_KINDS = (
    (b"\x1f\x8b", "gzip data", "add .gz to the name of the file"),
    (b"PK\x03\x04", "a zip archive or a spreadsheet (.xlsx)", "unpack it, or export the sheet as csv"),
    (b"\xd0\xcf\x11\xe0", "an old spreadsheet or document (.xls, .doc)", "export it as csv"),
    (b"%PDF-", "a PDF document", "export its text"),
    (b"SQLite format 3\0", "an SQLite database", "export the table as csv"),
    (b"PAR1", "parquet data", "give the file the ending .parquet"),
)
"""How files of other kinds begin, what they are, and what to do."""


def extension(path: Path) -> str:
    """The ending of a file's name in small letters, without ``.gz``: ``.csv`` for ``Reviews.CSV.gz``."""
    name = Path(path.stem) if is_gzip(path) else path
    return name.suffix.lower()


def is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def read_bytes(path: Path) -> bytes:
    """All bytes of a file, unpacked when its name ends in ``.gz``.

    Raises:
        DataError: not found, a folder, no permission, an empty file, a .gz that is cut off or damaged.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _not_found(path) from None
    except IsADirectoryError:
        raise _folder(path) from None
    except PermissionError:
        raise DataError(
            "no permission to read the file",
            code="D003",
            file=path,
            help=f'let yourself read it (chmod u+r "{path.name}", and u+x on its folders), or copy it',
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(
            f"the machine could not read the file: {reason}",
            code="D010",
            file=path,
            help="check the name, and copy the file to a disk that works",
        ) from None
    if is_gzip(path) and data:
        data = _unpacked(data, path)
    if not data:
        raise DataError("the file is empty", code="D005", file=path, line=1, help="give a file with records in it")
    return data


def read_checked_text(path: Path, encoding: str) -> tuple[str, list[str]]:
    """The text of a file and what was noticed: bytes, content that belongs to the name, encoding, line ends.

    Raises:
        DataError: the file cannot be opened or is not text in this encoding.
        SettingError: there is no such encoding.
    """
    data = read_bytes(path)
    for beginning, kind, help in OTHER_KINDS:
        if data.startswith(beginning):
            raise DataError(
                f"the name ends in {extension(path) or 'nothing'}, but the file holds {kind}",
                code="D014",
                file=path,
                line=1,
                column=1,
                help=help,
            )
    text, notes = decode(data, path, encoding)
    if not text:
        raise DataError(
            "the file is empty but for a byte-order mark",
            code="D005",
            file=path,
            line=1,
            help="give a file with records",
        )
    if "\r" in text and "\n" not in text:
        raise DataError(
            "lines end in CR (0x0D) alone, as on old Macs",
            code="D015",
            file=path,
            line=1,
            column=text.index("\r") + 1,
            help="save the file with the line ends of Unix (LF) or Windows (CR LF)",
        )
    return text, notes


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes, packed when the name ends in ``.gz``; the same bytes always give the same file."""
    path.write_bytes(gzip.compress(data, mtime=0) if is_gzip(path) else data)


def _unpacked(data: bytes, path: Path) -> bytes:
    try:
        return gzip.decompress(data)
    except EOFError:
        whole = _beginning(data)
        raise DataError(
            f"the .gz file is cut off: it ends after {len(whole):,} unpacked bytes, before its end mark",
            code="D006",
            file=path,
            line=whole.count(b"\n") + 1,
            help="copy or download the file again",
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        if not data.startswith(b"\x1f\x8b"):
            message, help = "the name ends in .gz, but this is not gzip data", "take .gz off the name of the file"
        else:
            message, help = f"the .gz file is damaged: {error}", "copy or download the file again"
        whole = _beginning(data)
        raise DataError(message, code="D007", file=path, line=whole.count(b"\n") + 1, help=help) from None


def _beginning(data: bytes) -> bytes:
    """What can be unpacked of the first member of damaged gzip data."""
    unpacker = zlib.decompressobj(wbits=31)
    pieces = []
    try:
        for start in range(0, len(data), 4096):
            pieces.append(unpacker.decompress(data[start : start + 4096]))
    except zlib.error:
        pass  # here the damage begins
    return b"".join(pieces)


def _not_found(path: Path) -> DataError:
    folder = path.parent
    try:
        names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        message = f'there is no file "{path.name}", nor the folder "{folder}"'
        return DataError(message, code="D001", file=path, help="check the path")
    close = get_close_matches(path.name, names, n=1, cutoff=0.5)
    if close:
        help = f'did you mean "{folder / close[0]}"?'
    else:
        help = f'in "{folder}" there is {", ".join(names[:8]) or "nothing"}{" ..." if len(names) > 8 else ""}'
    return DataError(f'there is no file "{path.name}"', code="D001", file=path, help=help)


def _folder(path: Path) -> DataError:
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
    shown = f'for example "{path / names[0]}"' if names else "it holds no files"
    return DataError("this is a folder, not a file", code="D002", file=path, help=f"name a file in it; {shown}")
