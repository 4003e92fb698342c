"""Folders of long work: one process at a time, and files that are either old or new, never half.

`lock_folder` holds a POSIX lock, which the system releases however the process ends, so a lock left
by kill -9 is never mistaken for a live one.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import io
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from mlpotential.errors import RunError

LOCK_NAME = "run.lock"


def made_folder(folder: str | Path) -> Path:
    """The folder, made where it is not there. Raises RunError if that cannot be."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {folder}: {error.strerror}") from error
    return path


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Creates the folder where needed and keeps every other process out of it.

    Raises:
        RunError: if another process works in it (named by pid and host), or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # a link would have another file emptied; the lock lives as long as the handle
        handle = open(_opened(folder / LOCK_NAME, os.O_RDWR | os.O_APPEND), "a+")  # noqa: SIM115
    except OSError as error:
        is_link = error.errno == errno.ELOOP
        reason = f"its {LOCK_NAME} is a link: remove it" if is_link else error.strerror
        raise RunError(f"cannot write in the folder {folder}: {reason}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "another process"
            raise RunError(
                f"{folder} is in use by {owner}: wait for it, stop it, or choose another folder"
            ) from error
        except OSError as error:
            raise RunError(f"cannot lock the folder {folder}: {error.strerror}") from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        handle.flush()
        yield


def _opened(path: Path, flags: int) -> int:
    """The descriptor of a file, made where needed. Raises OSError for a symbolic link."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replaces a file in one step: after a crash it holds the old content or the new.

    Raises:
        RunError: if the disk is full or the folder cannot be written; the old file stays.
    """
    with opened_atomically(path) as handle:
        handle.write(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Strict JSON, in one step. Raises RunError if the disk is full, as `write_atomically`."""
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def csv_text(rows: Sequence[Mapping[str, Any]], header: bool = True) -> str:
    """Lines of a table whose columns are those of the first row; nothing without rows."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to be written piece by piece that has its name when it is whole, not before.

    Raises:
        RunError: if the disk is full or the folder cannot be written; an old file stays, as after
            any other exception.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        with open(_opened(partial, os.O_WRONLY | os.O_TRUNC), "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # the folder may be what is wrong
            partial.unlink()
        if isinstance(error, OSError):
            raise RunError(f"cannot write {path}: {error.strerror}") from error
        raise
