"""Lines of text files, gzip-compressed or not: what they are their first bytes tell, not a name."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlpotential.errors import RunError

GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def opened_lines(path: Path) -> Iterator[Iterator[bytes]]:
    """The lines of a file; those of a compressed one that is cut end where it is.

    Raises:
        OSError: if the file cannot be read.
        RunError: one whose compressed bytes are damaged.
    """
    with open(path, "rb") as handle:
        is_compressed = handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        handle.seek(0)
        if not is_compressed:
            yield handle
            return
        try:
            with gzip.open(handle) as lines:
                yield _until_cut(lines)
        except (zlib.error, gzip.BadGzipFile) as error:
            raise RunError(f"{path} is damaged: {error}") from error


def _until_cut(lines: Any) -> Iterator[bytes]:
    try:
        yield from lines
    except EOFError:
        return
