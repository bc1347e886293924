"""Files of a run, written so that no kill and no full disk can damage them, and read so that no damage goes unseen.

A file is written as a temporary file in the same folder, then fsync, rename, fsync of the folder: a reader sees the old
file or the new one. Nothing is pickled.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from seqloom.errors import RunError

__all__ = [
    "COPY",
    "append_jsonl",
    "cannot_write",
    "fingerprint",
    "read_bytes",
    "read_json",
    "read_jsonl",
    "read_toml",
    "sha256",
    "sync_folder",
    "write_bytes",
    "write_json",
    "write_jsonl",
    "write_synced",
    "write_text",
    "write_toml",
]

COPY = "copy the whole run folder again from where it was made, or train anew"
"""What to do about a file that is missing or damaged."""


def write_synced(path: Path, data: bytes) -> None:
    """Writes a new file and waits until it is on the disk; not atomic by itself.

    Raises:
        OSError: as the system gives it; a part of the file may be left.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:  # a disk that is nearly full takes what fits, and says so only at the next write
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(path: Path) -> None:
    """Waits until the names in a folder (new files, renames) are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot, and need not
            raise
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a whole file or, on any failure, leaves the old one as it was and nothing beside it.

    Raises:
        RunError: the file cannot be written; says why, how much room there is, and what to do.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise cannot_write(path, error, len(data)) from error
        raise


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file as UTF-8, atomically as ``write_bytes``; half a surrogate pair becomes a question mark."""
    write_bytes(path, text.encode("utf-8", "replace"))


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON file, atomically as ``write_bytes``; NaN and infinity become null, as JSON has no word for them."""
    write_bytes(path, _json(value, indent=1))


def write_jsonl(path: str | Path, values: Iterable[Any]) -> None:
    """Writes one JSON value a line, atomically as ``write_bytes``."""
    write_bytes(path, b"".join(map(_json, values)))


def write_toml(path: str | Path, values: Mapping[str, Any]) -> None:
    """Writes a TOML file, atomically as ``write_bytes``; a key whose value is None is left out."""
    import tomli_w

    write_text(path, tomli_w.dumps(_toml_ready(values)))


def append_jsonl(path: str | Path, value: Any) -> None:
    """Appends one line; a line that an earlier kill cut off is dropped first, and one that does not fit is undone.

    Raises:
        RunError: the file cannot be written, or is damaged before its last line.
    """
    path = Path(path)
    line = _json(value)
    try:
        with path.open("ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(end - 1, 0))
            if file.read(1) not in (b"", b"\n"):
                write_jsonl(path, read_jsonl(path))
                return append_jsonl(path, value)
            try:
                _write_all(file.fileno(), line)
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise cannot_write(path, error, len(line)) from error


def cannot_write(path: Path, error: OSError, size: int) -> RunError:
    """The error for a write that failed: what, why, how much room there is, and what to do."""
    import shutil

    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        help = "make room, then start again; a training goes on with: seqloom resume RUN"
    elif error.errno == errno.EFBIG:
        help = "raise the limit on the size of a file (ulimit -f), then start again"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        help = "allow writing there, or name another folder with --out"
    else:
        help = "check the folder and its disk, then start again"
    room = ""
    with suppress(OSError):
        free = shutil.disk_usage(path.parent).free
        room = f"; it needs {size:,} bytes, and {free:,} are free there" if size else ""
    return RunError(f"cannot write {path}: {reason}{room}", help=f"{help} (what was written before is whole)")


def _json(value: Any, indent: int | None = None) -> bytes:
    value = _finite(value)
    try:
        return (json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:  # half a surrogate pair in a text: only an escape can hold it
        return (json.dumps(value, indent=indent, allow_nan=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _toml_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _toml_ready(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_toml_ready(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def read_bytes(path: Path) -> bytes:
    """Reads a whole file.

    Raises:
        RunError: the file is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}", help=COPY) from error


def read_json(path: str | Path) -> Any:
    """Reads a JSON file.

    Raises:
        RunError: the file is missing or damaged; says where.
    """
    path = Path(path)
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", help=COPY) from error


def read_jsonl(path: str | Path) -> list[Any]:
    """Reads one JSON value a line; a last line that a kill cut off is left out.

    Raises:
        RunError: the file is missing, or another line is damaged; says which.
    """
    path = Path(path)
    *lines, last = read_bytes(path).split(b"\n")
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise RunError(f"{path}:{number} is damaged: {error}", help="remove or mend that line") from error
    with suppress(ValueError):
        values.append(json.loads(last))
    return values


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, read in pieces.

    Raises:
        RunError: the file cannot be read.
    """
    return str(fingerprint(path)["sha256"])


def fingerprint(path: str | Path) -> dict[str, Any]:
    """``{"file", "bytes", "sha256"}`` of a file, read in pieces.

    Raises:
        RunError: the file cannot be read.
    """
    import hashlib

    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"file": str(path), "bytes": file.tell(), "sha256": digest}
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error


def read_toml(path: str | Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        RunError: the file is missing or damaged; says at which line.
    """
    import tomllib

    path = Path(path)
    data = read_bytes(path)
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"{path}:{line} is damaged: byte {data[error.start]:#04x} is not UTF-8"
        raise RunError(message, help=COPY) from error
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{path} is damaged: {error}", help=COPY) from error
